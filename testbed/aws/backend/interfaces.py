"""Network interfaces and security groups: attachment rules, what is in use, and ClientToken on creation."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import elastic_ip_addresses, elastic_network_interfaces as model, security_groups, subnets
from moto.ec2.responses import elastic_network_interfaces as responses
from moto.core.responses import EmptyResult

from .addresses import release_public_address
from .errors import refuse
from .idempotency import idempotent

# Interfaces that the smallest of the types in use (t3.small) takes.
INTERFACES_PER_INSTANCE = 3

_Response = responses.ElasticNetworkInterfaces
_original_init = model.NetworkInterface.__init__
_original_attach = model.NetworkInterfaceBackend.attach_network_interface
_original_delete = _Response.delete_network_interface
_original_modify = _Response.modify_network_interface_attribute
_original_delete_subnet = subnets.SubnetBackend.delete_subnet
_original_release = elastic_ip_addresses.ElasticAddressBackend.release_address


def _init(self: Any, backend: Any, *args: Any, **options: Any) -> None:
    """moto makes up a security group for an id that it does not know."""
    for group in options.get("group_ids") or []:
        if isinstance(group, str) and not backend.get_security_group_from_id(group):
            raise refuse("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
    _original_init(self, backend, *args, **options)


def _attach(self: Any, eni_id: str, instance_id: str, device_index: int) -> Any:
    interface = self.get_network_interface(eni_id)
    instance = self.get_instance(instance_id)
    if instance._state.name not in ("running", "stopped"):
        raise refuse("IncorrectState", f"Instance '{instance_id}' is not 'running' or 'stopped'.")
    if interface.instance is not None:
        raise refuse("InvalidNetworkInterface.InUse", f"Interface: {eni_id} in use.")
    if int(device_index) in instance.nics:
        raise refuse(
            "InvalidParameterValue",
            f"Instance '{instance_id}' already has an interface attached at device index '{device_index}'.",
        )
    if len(instance.nics) >= INTERFACES_PER_INSTANCE:
        raise refuse("AttachmentLimitExceeded", f"Interface count {len(instance.nics) + 1} exceeds the limit.")
    if interface.subnet.availability_zone != instance.availability_zone:
        raise refuse(
            "InvalidParameterCombination", "You may not attach a network interface in another availability zone."
        )
    return _original_attach(self, eni_id, instance_id, device_index)


def _delete(response: Any) -> Any:
    interface = response.ec2_backend.enis.get(response._get_param("NetworkInterfaceId"))
    if interface is not None and interface.instance is not None:
        raise refuse("InvalidParameterValue", f"Network interface '{interface.id}' is currently in use.")
    return _original_delete(response)


def _modify(response: Any) -> Any:
    """moto ignores Attachment.DeleteOnTermination, which is what keeps a hot-attached interface from leaking."""
    attachment = response._get_param("Attachment", {})
    if not attachment or "DeleteOnTermination" not in attachment:
        return _original_modify(response)
    interface = response.ec2_backend.get_network_interface(response._get_param("NetworkInterfaceId"))
    if attachment.get("AttachmentId") != interface.attachment_id:
        raise refuse(
            "InvalidAttachmentID.NotFound",
            f"The interface attachment '{attachment.get('AttachmentId')}' does not exist on '{interface.id}'.",
        )
    interface.delete_on_termination = attachment["DeleteOnTermination"] in (True, "true")
    return EmptyResult()


def _delete_group(self: Any, vpc_id: str | None, group_id: str) -> None:
    """moto looks at rules, not at the interfaces that wear the group."""
    for interface in list(self.enis.values()):
        if any(group.id == group_id for group in interface._group_set):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
    for groups in list(self.groups.values()):
        for group in list(groups.values()):
            for rule in [*group.ingress_rules, *group.egress_rules]:
                if group.id != group_id and rule.source_group.get("GroupId") == group_id:
                    raise DependencyViolationError(f"resource {group_id} has a dependent object")
    groups = self.groups[vpc_id or self.default_vpc.id]
    if groups[group_id].name == "default":
        raise refuse("CannotDelete", f'the specified group: "{group_id}" name: "default" cannot be deleted by a user')
    groups.pop(group_id)


def _delete_subnet(self: Any, subnet_id: str) -> Any:
    if any(nic.subnet.id == subnet_id for nic in list(self.enis.values())):
        raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
    return _original_delete_subnet(self, subnet_id)


def _release(self: Any, address: str | None = None, allocation_id: str | None = None) -> Any:
    found = self.address_by_allocation([allocation_id]) if allocation_id else self.address_by_ip([address])
    if found and found[0].association_id:
        raise refuse("InvalidIPAddress.InUse", f"Address {found[0].public_ip} is in use.")
    result = _original_release(self, address=address, allocation_id=allocation_id)
    release_public_address(found[0].public_ip if found else None)
    return result


def install() -> None:
    model.NetworkInterface.__init__ = _init
    # moto adds the instance's groups to each of its interfaces; in EC2 each has its own.
    model.NetworkInterface.group_set = property(lambda self: list(self._group_set))
    model.NetworkInterfaceBackend.attach_network_interface = _attach
    _Response.create_network_interface = idempotent("CreateNetworkInterface", _Response.create_network_interface)
    _Response.delete_network_interface = _delete
    _Response.modify_network_interface_attribute = _modify
    security_groups.SecurityGroupBackend._delete_security_group = _delete_group
    subnets.SubnetBackend.delete_subnet = _delete_subnet
    elastic_ip_addresses.ElasticAddressBackend.release_address = _release
