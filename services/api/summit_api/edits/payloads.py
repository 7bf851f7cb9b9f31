"""Payloads of edits: the original's members, validated.

As in the original, a member that is missing or null leaves the value as it is, and unknown members are ignored: its
clients send back whole VMs with one changed member.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from summit_models.contract import DatacenterId, Uid
from summit_models.vm import VmStatus

MAX_TEXT = 253
"""The limit of a Kubernetes name. Longer texts do not fit the indexes."""


_PLAIN = r"^[^\x00-\x1f\x7f<>]*$"
"""No line breaks and no tags: the original's map writes names into its page as they are."""
_ID = r"^[A-Za-z0-9_-]*$"


def _plain(text: str) -> str:
    if not re.fullmatch(_PLAIN, text):
        raise ValueError("cannot contain line breaks, other control characters, < or >")
    return text


def _usable_as_id(text: str) -> str:
    if not re.fullmatch(_ID, text):
        raise ValueError("can only contain letters from A to Z, digits, _ and -: it is part of addresses and subjects")
    return text


# The documents have the patterns. Functions check them, since a pattern does not explain what is wrong.
Text = Annotated[str, Field(max_length=MAX_TEXT, json_schema_extra={"pattern": _PLAIN}), AfterValidator(_plain)]
Name = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TEXT, json_schema_extra={"pattern": _PLAIN}),
    AfterValidator(_plain),
]
Id = Annotated[str, Field(max_length=MAX_TEXT, json_schema_extra={"pattern": _ID}), AfterValidator(_usable_as_id)]
Size = Annotated[int, Field(ge=0, le=2**40)]
"""A number, or MiB, which fit a column in bytes as well."""
Disk = Annotated[int, Field(ge=0, le=2**33 - 1)]
"""GiB that fit a column in bytes. Somebody who gives bytes exceeds it."""
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


class _Payload(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    def given(self) -> dict[str, Any]:
        """The given values by field; an empty text removes the value."""
        return {name: None if value == "" else value for name, value in dict(self).items() if value is not None}


class DatacenterPatch(_Payload):
    name: Name | None = Field(default=None, examples=["Solna North"])
    location: Text | None = Field(default=None, description="Empty to remove it", examples=["Solna, Sweden"])
    coordinates: tuple[Latitude, Longitude] | None = Field(
        default=None, description="Latitude and longitude in degrees", examples=[(59.36, 18.0)]
    )


class VmPatch(_Payload):
    name: Name | None = Field(default=None, examples=["erp-db-01"])
    status: VmStatus | None = None
    cpu: Size | None = Field(default=None, description="Virtual CPUs", examples=[2])
    memory: Size | None = Field(default=None, description="MiB", examples=[8192])
    disk: Disk | None = Field(default=None, description="GiB", examples=[530])
    cluster: Text | None = Field(default=None, description="Any text; empty to remove it", examples=["old-vmware"])


class NewVm(_Payload):
    """A VM to be added by hand."""

    id: Id | None = Field(
        default=None, description="Must never have been used in any datacenter. The default is a new UUID"
    )
    name: Name = Field(examples=["erp-db-01"])
    status: Annotated[VmStatus | None, BeforeValidator(_none_if_empty)] = Field(
        default=None, description="The default, and an empty text, is 'unknown'"
    )
    cpu: Size | None = Field(default=None, description="Virtual CPUs", examples=[2])
    memory: Size | None = Field(default=None, description="MiB", examples=[8192])
    disk: Disk | None = Field(default=None, description="GiB", examples=[530])
    cluster: Text | None = Field(default=None, description="Any text", examples=["old-vmware"])
    namespace: Text | None = None
    phase: Text | None = None
    ip: Text | None = None
    node_name: Text | None = None
    ready: bool | None = None


class Migrate(_Payload):
    """Which VM, from where, to where."""

    vm_id: Uid = Field(default=Uid(""), description="`id` of the VM")
    from_datacenter: DatacenterId = Field(default=DatacenterId(""), alias="fromDC", examples=["dc-solna"])
    to_datacenter: DatacenterId = Field(default=DatacenterId(""), alias="toDC", examples=["dc-uppsala"])
