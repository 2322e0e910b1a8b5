"""The certificate authority of a run, and the certificate of its AWS endpoints, made by openssl.

Nothing on the host trusts the authority: each client is told of it by a setting that it has on AWS too. It is made anew
for each run and its key stays in the run's directory, for root alone.
"""

from __future__ import annotations

from pathlib import Path

from testbed.common.shell import run

from .layout import API_ADDRESS, S3_ADDRESS, Names

# Within the run's directory.
AUTHORITY = "tls/ca.crt"
# The names by which pods know the endpoints; see the cluster's dns-hosts.
DNS_NAMES = ("aws.drawbridge.test", "s3.drawbridge.test")
# An own config, because a distribution's default adds extensions of its own.
CONFIG = "[req]\ndistinguished_name = name\n[name]\n"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
DAYS = "3650"


def server(directory: Path) -> tuple[str, str]:
    """The endpoints' certificate and key."""
    return str(directory / "tls/server.crt"), str(directory / "tls/server.key")


def make(directory: Path, names: Names) -> None:
    """Makes both. openssl gives keys the mode 0600."""
    place = directory / "tls"
    place.mkdir(mode=0o700)
    (place / "openssl.cnf").write_text(CONFIG)
    authority(place, "ca", "drawbridge-testbed-aws")
    addresses = (API_ADDRESS, S3_ADDRESS, names.services_address)
    hosts = [*(f"DNS:{name}" for name in DNS_NAMES), *(f"IP:{address}" for address in addresses)]
    _request(
        place,
        "server",
        *("-subj", "/CN=local-aws", "-CA", str(place / "ca.crt"), "-CAkey", str(place / "ca.key")),
        *("-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=critical,digitalSignature"),
        *("-addext", "extendedKeyUsage=serverAuth", "-addext", f"subjectAltName={','.join(hosts)}"),
    )


def authority(place: Path, file: str, name: str) -> Path:
    """An authority in `place`; a test makes another one, which nobody should trust."""
    _request(
        place,
        file,
        *("-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    return place / f"{file}.crt"


def _request(place: Path, file: str, *arguments: str) -> None:
    run(
        *("openssl", "req", "-x509", "-config", str(place / "openssl.cnf"), "-days", DAYS, *NEW_KEY, *arguments),
        *("-keyout", str(place / f"{file}.key"), "-out", str(place / f"{file}.crt")),
    )
