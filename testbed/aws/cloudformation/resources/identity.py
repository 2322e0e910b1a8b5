"""Roles, the instance profile, the operator's user and its policy, and by what else the operator may be known."""

from __future__ import annotations

from testbed.aws.cloudformation.errors import TemplateError
from testbed.aws.cloudformation.properties import Properties
from testbed.aws.cloudformation.resources.kind import Clients, Kind, Made, document

# Characters without white space. The local IAM does not count.
ROLE_POLICIES_LIMIT = 10_240
MANAGED_POLICY_LIMIT = 6_144


def _role(clients: Clients, wanted: Properties) -> Made:
    name, trust = wanted.text("RoleName"), document(wanted, "AssumeRolePolicyDocument")
    role = clients("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
    _put_role_policies(clients, name, wanted)
    for policy in wanted.texts("ManagedPolicyArns", []):
        clients("iam").attach_role_policy(RoleName=name, PolicyArn=policy)
    return Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})


def _put_role_policies(clients: Clients, role: str, wanted: Properties) -> None:
    policies = {p.text("PolicyName"): document(p, "PolicyDocument") for p in wanted.objects("Policies", [])}
    _check_size(f"the policies of role {role}", "".join(policies.values()), ROLE_POLICIES_LIMIT)
    for policy, text in policies.items():
        clients("iam").put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=text)


def _update_role(clients: Clients, standing: Made, wanted: Properties) -> None:
    _put_role_policies(clients, standing.reference, wanted)
    trust = document(wanted, "AssumeRolePolicyDocument")
    clients("iam").update_assume_role_policy(RoleName=standing.reference, PolicyDocument=trust)


def _oidc_provider(clients: Clients, wanted: Properties) -> Made:
    url, takes = wanted.text("Url"), wanted.texts("ClientIdList")
    made = clients("iam").create_open_id_connect_provider(Url=url, ClientIDList=takes)
    return Made(made["OpenIDConnectProviderArn"], {"Arn": made["OpenIDConnectProviderArn"]})


def _pod_identity_association(clients: Clients, wanted: Properties) -> Made:
    names = ("ClusterName", "Namespace", "ServiceAccount", "RoleArn")
    given = {name[0].lower() + name[1:]: wanted.text(name) for name in names}
    made = clients("eks").create_pod_identity_association(**given)["association"]
    return Made(made["associationId"], {"AssociationArn": made["associationArn"]})


def _instance_profile(clients: Clients, wanted: Properties) -> Made:
    iam, name = clients("iam"), wanted.text("InstanceProfileName")
    profile = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    for role in wanted.texts("Roles"):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
    return Made(name, {"Arn": profile["Arn"]})


def _user(clients: Clients, wanted: Properties) -> Made:
    name = wanted.text("UserName")
    return Made(name, {"Arn": clients("iam").create_user(UserName=name)["User"]["Arn"]})


def _managed_policy(clients: Clients, wanted: Properties) -> Made:
    iam, name = clients("iam"), wanted.text("ManagedPolicyName")
    text = _managed_document(wanted, name)
    policy = iam.create_policy(PolicyName=name, PolicyDocument=text, Description=wanted.text("Description", ""))
    arn = policy["Policy"]["Arn"]
    for user in wanted.texts("Users"):
        iam.attach_user_policy(UserName=user, PolicyArn=arn)
    return Made(arn)


def _update_managed_policy(clients: Clients, standing: Made, wanted: Properties) -> None:
    """A new default version, and none left of the old ones: IAM keeps at most five."""
    iam, arn = clients("iam"), standing.reference
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=_managed_document(wanted, arn), SetAsDefault=True)
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


def _managed_document(wanted: Properties, name: str) -> str:
    text = document(wanted, "PolicyDocument")
    _check_size(f"policy {name}", text, MANAGED_POLICY_LIMIT)
    return text


def _check_size(what: str, text: str, limit: int) -> None:
    size = len("".join(text.split()))
    if size > limit:
        raise TemplateError(f"{what}: {size} characters, IAM takes {limit}")


KINDS = {
    "AWS::IAM::Role": Kind(_role, frozenset({"Policies", "AssumeRolePolicyDocument"}), _update_role),
    "AWS::IAM::OIDCProvider": Kind(_oidc_provider),
    "AWS::EKS::PodIdentityAssociation": Kind(_pod_identity_association),
    "AWS::IAM::InstanceProfile": Kind(_instance_profile),
    "AWS::IAM::User": Kind(_user),
    "AWS::IAM::ManagedPolicy": Kind(_managed_policy, frozenset({"PolicyDocument"}), _update_managed_policy),
}
