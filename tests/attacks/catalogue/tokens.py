"""Tokens of accounts in a cluster, brought to AWS in the operator's place. The real API server mints them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from testbed.aws.layout import OTHER_EKS_CLUSTER
from testbed.kubernetes.control_plane import ISSUER
from tests.attacks.attack import Attack, Control, Thief, asks
from tests.attacks.controls import Statement
from tests.attacks.documents import POD_IDENTITY, WEB_IDENTITY
from tests.policy.belongings import FURTHER_AUDIENCE
from tests.policy.catalogue.identity import Minting, assume, minted, pod
from tests.policy.kubernetes_probes import GATHERER
from tests.policy.tokens import ACCOUNT, ELSEWHERE, NAMESPACE, OTHER, PODS, STS

INVALID, DENIED, NOT_AUTHORISED = "InvalidIdentityToken", "AccessDenied", "AccessDeniedException"
PROVIDER = ISSUER.removeprefix("https://")


@dataclass(frozen=True)
class Audience:
    """That the account's provider does not take tokens for this audience."""

    audience: str

    @property
    def name(self) -> str:
        return f"the provider takes no audience {self.audience}"

    @contextlib.contextmanager
    def removed(self, ground: Any) -> Iterator[None]:
        iam, named = ground.client("iam", "root"), {"OpenIDConnectProviderArn": _provider(ground), "ClientID": self.audience}
        iam.add_client_id_to_open_id_connect_provider(**named)
        try:
            yield
        finally:
            iam.remove_client_id_from_open_id_connect_provider(**named)

    def state(self, ground: Any) -> list[str]:
        found = ground.client("iam", "root").get_open_id_connect_provider(OpenIDConnectProviderArn=_provider(ground))
        return sorted(found["ClientIDList"])


def _provider(ground: Any) -> str:
    return str(ground.stack.resources["OidcProvider"]["reference"])


def _condition(claim: str) -> Statement:
    return Statement(WEB_IDENTITY, "TheOperatorsAccount", ("Condition", "StringEquals", f"{PROVIDER}:{claim}"))


def _tag(name: str) -> Statement:
    return Statement(POD_IDENTITY, "TheOperatorsPods", ("Condition", "StringEquals", f"aws:RequestTag/{name}"))


SUBJECT, AUDIENCE = _condition("sub"), _condition("aud")


def attacks() -> list[Attack]:
    return [*_web(), *_pods()]


def _web() -> list[Attack]:
    own = asks("operator", "the operator's own token, for STS", assume(minted(STS)))

    def row(name: str, thief: Thief, what: str, token: Minting, error: str, *controls: Control) -> Attack:
        call = f"sts:AssumeRoleWithWebIdentity with {what}"
        # The trust policy says no by a word of its own.
        alone = {control.name: DENIED for control in controls if isinstance(control, Statement)}
        return Attack(name, thief, asks("a thief", call, assume(token)), error, own, controls, alone)

    return [
        row(
            "gatherer-shows-its-token-to-aws",
            Thief.GATHERER,
            "a gatherer's token as the operator mints it",
            minted(None, ELSEWHERE, GATHERER),
            INVALID,
            Audience(ISSUER),
            AUDIENCE,
            SUBJECT,
        ),
        row(
            "gatherer-gets-a-token-for-aws",
            Thief.GATHERER,
            "a gatherer's token, minted for STS",
            minted(STS, ELSEWHERE, GATHERER),
            DENIED,
            SUBJECT,
        ),
        row(
            "namespace-admin-makes-an-account-of-the-operator-s-name",
            Thief.NAMESPACE_ADMIN,
            "the token of an account of the same name in his namespace",
            minted(STS, ELSEWHERE, ACCOUNT),
            DENIED,
            SUBJECT,
        ),
        row(
            "token-of-its-neighbour-account",
            Thief.TOKEN,
            "the token of another account of the operator's namespace",
            minted(STS, NAMESPACE, OTHER),
            DENIED,
            SUBJECT,
        ),
        row(
            "middle-keeps-a-token-that-was-sent-to-it",
            Thief.MIDDLE,
            "the operator's token for a service that was shown it",
            minted("vault"),
            INVALID,
            Audience("vault"),
            AUDIENCE,
        ),
        row(
            "middle-keeps-a-token-for-an-audience-of-the-account",
            Thief.MIDDLE,
            "the operator's token for another audience that the provider takes",
            minted(FURTHER_AUDIENCE),
            DENIED,
            AUDIENCE,
        ),
    ]


def _pods() -> list[Attack]:
    own = asks("operator", "the operator's pod", pod(minted(PODS)))

    def row(name: str, thief: Thief, what: str, token: Minting, tag: str, *cluster: str) -> Attack:
        call = f"eks-auth:AssumeRoleForPodIdentity for {what}"
        return Attack(name, thief, asks("a thief", call, pod(token, *cluster)), NOT_AUTHORISED, own, (_tag(tag),))

    account, namespace = minted(PODS, NAMESPACE, OTHER), minted(PODS, ELSEWHERE, ACCOUNT)
    return [
        row(
            "token-of-its-neighbour-s-pod",
            Thief.TOKEN,
            "another account's pod that somebody associated with the role",
            account,
            "kubernetes-service-account",
        ),
        row(
            "namespace-admin-runs-a-pod-of-the-operator-s-name",
            Thief.NAMESPACE_ADMIN,
            "a pod of his namespace that somebody associated with the role",
            namespace,
            "kubernetes-namespace",
        ),
        row(
            "neighbour-runs-a-pod-of-the-operator-s-name",
            Thief.OTHER_CLUSTER,
            "a pod of another cluster that somebody associated with the role",
            minted(PODS),
            "eks-cluster-arn",
            OTHER_EKS_CLUSTER,
        ),
    ]
