"""AssumeRoleWithWebIdentity with a token that is verified. ministack believes whatever a token says."""

from __future__ import annotations

import contextvars
from typing import Any, Callable

from ministack import app
from ministack.core.responses import get_account_id
from ministack.services import sts

from . import audit, request
from .tokens import Claims, TokenError, verify

Answer = tuple[int, dict[str, str], bytes]
ACTION = "AssumeRoleWithWebIdentity"

_verified: contextvars.ContextVar[Claims | None] = contextvars.ContextVar("drawbridge_token", default=None)


def provider_arn(host: str) -> str:
    return f"arn:aws:iam::{get_account_id()}:oidc-provider/{host}"


def providers() -> dict[str, Any]:
    """The account's OIDC providers by ARN."""
    return dict(app._get_module("iam")._oidc_providers.items())


def believe(token: str) -> Claims:
    """The claims, if an OIDC provider of the account stands for the issuer and takes the audience."""
    claims = verify(token)
    provider = providers().get(provider_arn(claims.host))
    if provider is None:
        message = f"No OpenIDConnect provider found in your account for {claims.issuer}"
        raise TokenError("InvalidIdentityToken", message)
    if not set(claims.audiences) & set(provider["ClientIDList"]):
        raise TokenError("InvalidIdentityToken", "Incorrect token audience")
    return claims


def condition_key(key: str) -> bool:
    """Whether a condition key is one of a provider's: `HOST:sub` and the like."""
    host, _, name = key.lower().rpartition(":")
    return name in ("sub", "aud") and any(arn.lower().endswith(f":oidc-provider/{host}") for arn in providers())


def _principal(_token: str, _provider: str, _role: str) -> tuple[str, dict[str, Any]]:
    claims = _verified.get()
    if claims is None:
        raise RuntimeError("a token that was not verified must not be judged")
    # Of several audiences, those that the provider takes; a trust policy compares with each.
    host, takes = claims.host.lower(), set(providers()[provider_arn(claims.host)]["ClientIDList"])
    audiences = [audience for audience in claims.audiences if audience in takes]
    keys = {f"{host}:sub": claims.subject, f"{host}:aud": audiences[0] if len(audiences) == 1 else audiences}
    return provider_arn(claims.host), keys


def _change_audiences(change: Callable[[list[str], str], list[str]], action: str) -> Callable[[dict[str, Any]], Answer]:
    """AddClientIDToOpenIDConnectProvider and its contrary, which ministack lacks."""
    iam = app._get_module("iam")

    def handle(parameters: dict[str, Any]) -> Answer:
        arn, audience = (iam._p(parameters, name) for name in ("OpenIDConnectProviderArn", "ClientID"))
        provider = iam._oidc_providers.get(arn)
        if provider is None:
            return iam._error(404, "NoSuchEntity", f"OIDC provider {arn} not found.", ns="iam")  # type: ignore[no-any-return]
        provider["ClientIDList"] = change(provider["ClientIDList"], audience)
        return iam._xml(200, f"{action}Response", "", ns="iam")  # type: ignore[no-any-return]

    return handle


def _install_audiences() -> None:
    def without(known: list[str], audience: str) -> list[str]:
        return [one for one in known if one != audience]

    changes = {
        "AddClientIDToOpenIDConnectProvider": lambda known, audience: [*without(known, audience), audience],
        "RemoveClientIDFromOpenIDConnectProvider": without,
    }
    for action, change in changes.items():
        app._get_module("iam")._IAM_HANDLERS[action] = _change_audiences(change, action)


def install() -> None:
    _install_audiences()
    module = app._get_module("sts")
    original = module.handle_request

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
        now = request.current()
        parameters = {**sts.parse_qs(body.decode("utf-8", errors="replace")), **query}
        if sts._p(parameters, "Action") != ACTION:
            return await original(method, path, headers, body, query)  # type: ignore[no-any-return]
        role = sts._p(parameters, "RoleArn")
        try:
            claims = believe(sts._p(parameters, "WebIdentityToken"))
        except TokenError as error:
            audit.write("deny", f"sts:{ACTION}", role, reason=f"{error.code}: {error.message}", who=now.source)
            return sts._error(400, error.code, error.message, ns="sts")  # type: ignore[no-any-return]
        mark = _verified.set(claims)
        try:
            answer: Answer = await original(method, path, headers, body, query)
        finally:
            _verified.reset(mark)
        audit.write("allow" if answer[0] == 200 else "deny", f"sts:{ACTION}", role, who=claims.subject)
        return answer

    module.handle_request = handle
    sts._web_identity_principal = _principal
