"""EKS Pod Identity: what EKS's AssumeRoleForPodIdentity does with a pod's token.

The cluster of a run is no EKS cluster; the account has a record of it as one and of another, so that associations can be
made for them. The token must be the API server's, for `pods.eks.amazonaws.com`; the cluster's association of its namespace
and account names the role; and the role's trust policy must let `pods.eks.amazonaws.com` assume it with the tags that say
which pod asks.
"""

from __future__ import annotations

import datetime
import json
import time
from typing import Any

from ministack import app
from ministack.core import iam_evaluator as evaluator
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import sts
from ministack.services.iam import _gen_secret, _gen_session_access_key, _gen_session_token

from ..layout import ACCOUNT, EKS_CLUSTER, OTHER_EKS_CLUSTER, REGION
from . import audit
from .tokens import Claims, TokenError, verify

AUDIENCE = SERVICE = "pods.eks.amazonaws.com"
SECONDS = 6 * 3600
ACTION = "eks-auth:AssumeRoleForPodIdentity"


def seed() -> None:
    """The records of the clusters."""
    with request_scope(ACCOUNT, REGION):
        eks = app._get_module("eks")
        for name in (EKS_CLUSTER, OTHER_EKS_CLUSTER):
            eks._clusters[name] = {"name": name, "arn": eks._cluster_arn(name), "status": "ACTIVE"}


def issue(token: str, cluster: str = EKS_CLUSTER) -> dict[str, Any]:
    """Credentials as the agent hands them to the pod, or `{"refused": code, "message": ...}`."""
    with request_scope(ACCOUNT, REGION):
        role, who = "-", "-"
        try:
            claims = verify(token)
            who = claims.subject
            if AUDIENCE not in claims.audiences:
                raise TokenError("InvalidTokenException", f"the token is for {', '.join(claims.audiences)}, not {AUDIENCE}")
            role = _associated_role(claims, cluster)
            made = _session(role, tags(claims, cluster))
        except TokenError as error:
            code = {"InvalidIdentityToken": "InvalidTokenException"}.get(error.code, error.code)
            audit.write("deny", ACTION, role, who=who, reason=f"{code}: {error.message}")
            return {"refused": code, "message": error.message}
        audit.write("allow", ACTION, role, who=who)
        return made


def _associated_role(claims: Claims, cluster: str) -> str:
    pod = claims.all.get("kubernetes.io") or {}
    asked = cluster, pod.get("namespace"), (pod.get("serviceaccount") or {}).get("name")
    for found in app._get_module("eks")._pod_identity_associations.values():
        if (found["clusterName"], found["namespace"], found["serviceAccount"]) == asked:
            return str(found["roleArn"])
    raise TokenError("ResourceNotFoundException", f"no association for {asked[1]}/{asked[2]} in {cluster}")


def tags(claims: Claims, cluster: str) -> dict[str, str]:
    """The session tags that EKS sets."""
    pod = claims.all["kubernetes.io"]
    return {
        "eks-cluster-arn": app._get_module("eks")._cluster_arn(cluster),
        "eks-cluster-name": cluster,
        "kubernetes-namespace": pod["namespace"],
        "kubernetes-service-account": pod["serviceaccount"]["name"],
        "kubernetes-pod-name": (pod.get("pod") or {}).get("name", ""),
        "kubernetes-pod-uid": (pod.get("pod") or {}).get("uid", ""),
    }


def _session(role_arn: str, given: dict[str, str]) -> dict[str, Any]:
    account, name = get_account_id(), role_arn.rsplit("/", 1)[-1]
    role = app._get_module("iam")._roles.get(name)
    for action in ("sts:AssumeRole", "sts:TagSession"):
        if role is None or not _trusts(role, role_arn, action, given):
            raise TokenError("AccessDeniedException", f"{SERVICE} is not authorized to perform {action} on {role_arn}")
    key, secret, session = _gen_session_access_key(), _gen_secret(), _gen_session_token()
    session_name = f"eks-{given['eks-cluster-name']}-{given['kubernetes-pod-name'] or 'pod'}"[:64]
    expires = time.time() + SECONDS
    sts.register_session(
        key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session_name}",
            "UserId": f"{role['RoleId']}:{session_name}",
            "SecretAccessKey": secret,
            "SessionToken": session,
            "Expiration": expires,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
            "SessionTags": [{"Key": tag, "Value": value} for tag, value in given.items()],
        },
    )
    until = datetime.datetime.fromtimestamp(expires, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = {"AccessKeyId": key, "SecretAccessKey": secret, "Token": session, "AccountId": account, "Expiration": until}
    return found


def _trusts(role: dict[str, Any], role_arn: str, action: str, given: dict[str, str]) -> bool:
    """Whether the trust policy lets the service do it with these tags; ministack knows services only as root's."""
    document = role.get("AssumeRolePolicyDocument") or "{}"
    document = json.loads(document) if isinstance(document, str) else document
    context = evaluator.EvalContext(
        principal_arn=f"service:{SERVICE}",
        principal_type="Service",
        principal_account=get_account_id(),
        action=action,
        resource_arn=role_arn,
        region=get_region(),
        request_tags=given,
        tag_keys=list(given),
    )
    statements = document.get("Statement", [])
    named = [s for s in statements if _names_service(s.get("Principal"))]
    # The principal is settled; ministack judges the rest.
    settled = {**document, "Statement": [{**statement, "Principal": "*"} for statement in named]}
    return bool(evaluator.evaluate_trust_policy(settled, context.principal_arn, context))


def _names_service(principal: Any) -> bool:
    names = principal.get("Service", []) if isinstance(principal, dict) else []
    return SERVICE in (names if isinstance(names, list) else [names])
