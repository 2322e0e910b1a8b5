"""The EC2 back end: moto's EC2 with the gaps closed that the product meets, and a control API for the testbed.

moto checks no credentials and is reached by the API emulator and the instance host only.
"""
