"""A small CloudFormation: makes the resources of a template by API calls, in the local AWS.

It knows the functions, resource types and properties that our template uses, and fails on every other. What the
template gets wrong is meant to fail here, not in a user's account.
"""
