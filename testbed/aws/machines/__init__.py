"""The instance host: turns the back end's pending instances into machines in network namespaces.

What an instance may not be able to undo lives outside of it: security groups, route tables and address translation
are rules of the fabric's namespace, and the metadata service is a socket that this host holds.
"""
