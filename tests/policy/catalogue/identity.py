"""Who is taken for the operator when it has no key: its service account's token, by IAM and by EKS Pod Identity.

The tokens are the real API server's. Refusals by a trust policy are denials; what is refused before one is asked has an
error of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from testbed.aws.layout import EKS_CLUSTER, OTHER_EKS_CLUSTER
from tests.policy.belongings import FURTHER_AUDIENCE
from tests.policy.catalogue.requests import Request
from tests.policy.probe import Family
from tests.policy.tokens import ACCOUNT, ELSEWHERE, NAMESPACE, OTHER, PODS, STS

Minting = Callable[[Any], str]


def families() -> list[Family]:
    return [_accounts(), _tokens(), _session(), _pods()]


def minted(audience: str | None, namespace: str = NAMESPACE, account: str = ACCOUNT) -> Minting:
    return lambda world: world.tokens.mint(audience, namespace, account)


def _accounts() -> Family:
    return (
        Family("operator-web-identity: account")
        .allowed("operator", "its own token", assume(minted(STS)))
        .denied("another account", "of the operator's namespace", assume(minted(STS, NAMESPACE, OTHER)))
        .denied("another account", "of the same name elsewhere", assume(minted(STS, ELSEWHERE, ACCOUNT)))
        .denied("operator", "for another audience that the provider takes", assume(minted(FURTHER_AUDIENCE)))
    )


def _tokens() -> Family:
    invalid = "InvalidIdentityToken"
    return (
        Family("operator-web-identity: token")
        .allowed("the cluster's key", "a token as the API server makes it", assume(lambda w: w.tokens.forge()))
        .refused("the cluster's key", "expired", "ExpiredTokenException", assume(lambda w: w.tokens.expired()))
        .refused(
            "the cluster's key",
            "another issuer",
            invalid,
            assume(lambda w: w.tokens.forge(iss="https://another.example")),
        )
        .refused("a stranger's key", "signed by it", invalid, assume(lambda w: w.tokens.forge(by_stranger=True)))
        .refused("nobody's key", "not signed at all", invalid, assume(lambda w: w.tokens.forge(algorithm="none")))
        .refused("operator", "for an audience that the provider does not take", invalid, assume(minted("vault")))
        .refused("operator", "for the API server", invalid, assume(minted(None)))
        .refused("operator", "for EKS", invalid, assume(minted(PODS)))
    )


def _session() -> Family:
    return (
        Family("operator-web-identity: session")
        .allowed("operator", "Invoke of create", _with_session(_invoke))
        .denied("operator", "list of the backup bucket", _with_session(_list))
        .denied("operator", "AssumeRole of the box's role", _with_session(_assume_box_role))
    )


def _pods() -> Family:
    return (
        Family("operator-pod-identity")
        .allowed("operator", "its pod's token", pod(minted(PODS)))
        .denied("another account", "that somebody associated with the role", pod(minted(PODS, NAMESPACE, OTHER)))
        .denied("another namespace", "that somebody associated with the role", pod(minted(PODS, ELSEWHERE, ACCOUNT)))
        .denied("another cluster", "that somebody associated with the role", pod(minted(PODS), OTHER_EKS_CLUSTER))
        .refused("operator", "a token for STS", "InvalidTokenException", pod(minted(STS)))
        .refused(
            "a stranger's key",
            "signed by it",
            "InvalidTokenException",
            pod(lambda world: world.tokens.forge(by_stranger=True, aud=[PODS])),
        )
        .refused(
            "nobody", "an account without an association", "ResourceNotFoundException", pod(minted(PODS, account="default"))
        )
    )


def assume(mint: Minting) -> Request:
    def request(world: Any) -> Any:
        return session(world, mint(world))

    return request


def session(world: Any, token: str) -> dict[str, str]:
    """Credentials for the token; the call itself carries no others."""
    role = world.outputs["OperatorRoleArn"]
    sts = world.client("sts", "root")
    answer = sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="probe", WebIdentityToken=token)
    found: dict[str, str] = answer["Credentials"]
    return found


def _with_session(use: Callable[[Any, Callable[[str], Any]], None]) -> Request:
    def request(world: Any) -> None:
        found = session(world, world.tokens.mint(STS))
        keys = (found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
        use(world, lambda service: world.client_with(service, keys))

    return request


def _invoke(world: Any, client: Callable[[str], Any]) -> None:
    client("lambda").invoke(FunctionName=world.outputs["CreateFunctionArn"], InvocationType="DryRun")


def _list(world: Any, client: Callable[[str], Any]) -> None:
    client("s3").list_objects_v2(Bucket=world.outputs["BackupBucket"], MaxKeys=1)


def _assume_box_role(world: Any, client: Callable[[str], Any]) -> None:
    client("sts").assume_role(RoleArn=world.outputs["JumpBoxRoleArn"], RoleSessionName="probe")


def pod(mint: Minting, cluster: str = EKS_CLUSTER) -> Request:
    """What EKS's agent asks for a pod of the cluster that has this token."""

    def request(world: Any) -> None:
        answer = world.pod_identity(mint(world), cluster)
        if "refused" in answer:
            error = {"Code": answer["refused"], "Message": answer["message"]}
            raise ClientError({"Error": error}, "AssumeRoleForPodIdentity")  # type: ignore[arg-type]

    return request
