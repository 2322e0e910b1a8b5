"""Service account tokens, verified as IAM and EKS do: signature, issuer, audience, time.

IAM fetches an issuer's public keys from the internet. In a run the issuer is the real API server, and what it publishes
lies in a file (testbed.py asks for it); the file is read anew for each token, as the keys are fetched.
"""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

LARGEST = 20_000  # STS takes no more
LEEWAY_SECONDS = 5


@dataclass
class TokenError(Exception):
    """A token that is not believed; `code` is STS's."""

    code: str
    message: str


@dataclass(frozen=True)
class Claims:
    """What a verified token says."""

    issuer: str
    subject: str
    audiences: tuple[str, ...]
    all: dict[str, Any]

    @property
    def host(self) -> str:
        """The issuer as IAM names its provider and its condition keys."""
        return self.issuer.partition("://")[2]


def verify(token: str) -> Claims:
    """The claims of a token whose issuer signed it and whose time has come and not gone."""
    try:
        head, body, signature = token.split(".")
        header, claims = json.loads(_decode(head)), json.loads(_decode(body))
        found = Claims(claims["iss"], claims["sub"], _audiences(claims["aud"]), claims)
        begins, ends = float(claims.get("nbf", claims.get("iat", 0))), float(claims["exp"])
        if len(token) > LARGEST or not all(isinstance(text, str) for text in (found.issuer, found.subject)):
            raise ValueError("too large, or its claims have other types")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenError("InvalidIdentityToken", f"The ID Token provided is not a valid JWT ({error}).") from None
    _verify_signature(_key(found.issuer, header), header, f"{head}.{body}".encode(), _decode(signature))
    now = time.time()
    if now > ends + LEEWAY_SECONDS:
        raise TokenError("ExpiredTokenException", f"Token expired: it is {now:.0f}, and it was good until {ends:.0f}")
    if now < begins - LEEWAY_SECONDS:
        raise TokenError("InvalidIdentityToken", "The token is not valid yet")
    return found


def _audiences(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value)


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _key(issuer: str, header: dict[str, Any]) -> dict[str, Any]:
    path = Path(os.environ["DRAWBRIDGE_ISSUERS"])
    published = json.loads(path.read_text()) if path.exists() else {}
    for key in published.get(issuer, {}).get("keys", []):
        if key.get("kid") == header.get("kid"):
            return dict(key)
    raise TokenError("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")


def _verify_signature(key: dict[str, Any], header: dict[str, Any], signed: bytes, signature: bytes) -> None:
    """By the key's own kind: a header that names another algorithm, or none, convinces nobody."""
    refusal = TokenError("InvalidIdentityToken", "The signature of the token does not verify")

    def number(name: str) -> int:
        return int.from_bytes(_decode(key[name]), "big")

    try:
        match key["kty"], header.get("alg"):
            case "RSA", "RS256":
                rsa.RSAPublicNumbers(number("e"), number("n")).public_key().verify(
                    signature, signed, padding.PKCS1v15(), SHA256()
                )
            case "EC", "ES256":
                point = ec.EllipticCurvePublicNumbers(number("x"), number("y"), ec.SECP256R1())
                r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
                point.public_key().verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
            case _:
                raise refusal
    except (InvalidSignature, ValueError, KeyError):
        raise refusal from None
