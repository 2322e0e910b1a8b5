"""Roles, the instance profile, the operator's user and its policy, and by whose tokens it is known."""

from __future__ import annotations

from infra.forms.hcl import Block
from infra.forms.kind import Kind, Resource, plain
from infra.forms.properties import Properties


def _role(resource: Resource, wanted: Properties) -> list[Block]:
    trust = resource.document(wanted, "AssumeRolePolicyDocument")
    found = [resource.of("aws_iam_role", {**wanted.texts("RoleName:name"), "assume_role_policy": trust})]
    role = {"role": resource.translator.expression({"Ref": resource.logical})}
    for _, policy in wanted.objects("Policies"):
        document = resource.document(policy, "PolicyDocument")
        attributes = {**role, **policy.texts("PolicyName:name"), "policy": document}
        found.append(resource.of("aws_iam_role_policy", attributes, suffix=str(policy.raw("PolicyName"))))
    for index, arn in enumerate(wanted.raw("ManagedPolicyArns", [])):
        attached = {**role, "policy_arn": resource.translator.expression(arn)}
        found.append(resource.of("aws_iam_role_policy_attachment", attached, suffix=f"managed_{index}"))
    return found


def _profile(resource: Resource, wanted: Properties) -> list[Block]:
    (role,) = wanted.raw("Roles")
    attributes = {**wanted.texts("InstanceProfileName:name"), "role": resource.translator.expression(role)}
    return [resource.of("aws_iam_instance_profile", attributes)]


def _managed_policy(resource: Resource, wanted: Properties) -> list[Block]:
    document = resource.document(wanted, "PolicyDocument")
    found = [resource.of("aws_iam_policy", {**wanted.texts("ManagedPolicyName:name Description"), "policy": document})]
    arn = resource.translator.expression({"Ref": resource.logical})
    for index, user in enumerate(wanted.raw("Users", [])):
        attributes: dict[str, str | None] = {"user": resource.translator.expression(user), "policy_arn": arn}
        found.append(resource.of("aws_iam_user_policy_attachment", attributes, suffix=f"user_{index}"))
    return found


KINDS = {
    "AWS::IAM::Role": Kind("aws_iam_role", _role, "name", {"Arn": "arn", "RoleId": "unique_id"}),
    "AWS::IAM::InstanceProfile": Kind("aws_iam_instance_profile", _profile, "name", {"Arn": "arn"}),
    "AWS::IAM::User": plain("aws_iam_user", "UserName:name", reference="name", Arn="arn"),
    "AWS::IAM::OIDCProvider": plain("aws_iam_openid_connect_provider", "Url ClientIdList", reference="arn", Arn="arn"),
    "AWS::EKS::PodIdentityAssociation": plain(
        "aws_eks_pod_identity_association", "ClusterName Namespace ServiceAccount RoleArn"
    ),
    "AWS::IAM::ManagedPolicy": Kind("aws_iam_policy", _managed_policy, "arn"),
}
