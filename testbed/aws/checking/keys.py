"""KMS's asymmetric keys: signatures that openssl takes, the key's own policy, and the conditions on how to sign."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from testbed.aws.layout import ACCOUNT

from .kit import Bed, Checks, allow, policy

MESSAGE = b"certified"
DENIED = "AccessDeniedException"
ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def signing(bed: Bed, checks: Checks) -> None:
    """A key that one user may sign with, in one way, and that its policy keeps from everybody else."""
    only = {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/checks-key-signer"}}
    administer = {"Principal": ROOT, **allow(["kms:GetPublicKey", "kms:DescribeKey", "kms:PutKeyPolicy"])}
    sign = {"Principal": ROOT, **allow("kms:Sign", Condition=only)}
    made = bed.client("kms").create_key(
        KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Policy=policy(administer, sign)
    )["KeyMetadata"]
    way = {"StringEquals": {"kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "RAW"}}
    signer = bed.client("kms", bed.user("checks-key-signer", allow("kms:Sign", made["Arn"], Condition=way)))
    admin = bed.client("kms", bed.user("checks-key-admin", allow("*")))
    plain = {"KeyId": made["Arn"], "Message": MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
    raw = {**plain, "MessageType": "RAW"}
    digest = {**plain, "MessageType": "DIGEST", "Message": b"d" * 32}

    answer = checks.allowed("Sign in the way that the policy names", lambda: signer.sign(**raw))
    checks.denied("... of a digest", lambda: signer.sign(**digest), DENIED)
    checks.denied("... with nothing said of the message", lambda: signer.sign(**plain), DENIED)
    checks.denied("... by who may do everything, but for the key's policy", lambda: admin.sign(**raw), DENIED)
    found = checks.allowed("GetPublicKey by the same", lambda: admin.get_public_key(KeyId=made["KeyId"]))
    checks.denied("GetPublicKey by the signer", lambda: signer.get_public_key(KeyId=made["KeyId"]), DENIED)
    checks.denied("a grant by who may do everything", lambda: _grant(admin, made["KeyId"]), DENIED)
    own = admin.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    checks.allowed("... of a key under KMS's own policy", lambda: _grant(admin, own["KeyId"]))
    checks.that("openssl takes the signature", answer and _verifies(found["PublicKey"], answer["Signature"], MESSAGE))
    checks.that("... and not of another message", not _verifies(found["PublicKey"], answer["Signature"], b"another"))


def _grant(kms: Any, key: str) -> Any:
    return kms.create_grant(KeyId=key, GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:root", Operations=["Sign"])


def _verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        files = {"key": public_key, "signature": signature, "message": message}
        for name, content in files.items():
            Path(directory, name).write_bytes(content)
        command = "openssl dgst -sha256 -keyform DER -verify key -signature signature message"
        return subprocess.run(command.split(), cwd=directory, capture_output=True, check=False).returncode == 0
