"""EC2's refusals in its own words: code and message as the real service gives them."""

from __future__ import annotations

from moto.ec2.exceptions import EC2ClientError


def refuse(code: str, message: str) -> EC2ClientError:
    """The error to raise; the code is what the product's retry decisions look at."""
    return EC2ClientError(code, message)
