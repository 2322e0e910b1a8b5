"""The API emulator: ministack with IAM enforced, and what it lacks for the product's security to be testable.

A policy that the emulator cannot judge must never pass for one that holds: what is not modelled fails loudly.
"""
