"""What may be said of datacenters and VMs: the original's members, checked.

As in the original a member that is missing or null leaves the value as it is, and members it does not know are passed
over: its clients send back whole VMs with the one member they change.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from summit_models.contract import DatacenterId, Uid
from summit_models.vm import VmStatus

MAX_TEXT = 253
"""As long as a Kubernetes name may be; longer texts do not fit the indexes."""


_PLAIN = r"^[^\x00-\x1f\x7f<>]*$"
"""No line breaks, and nothing that begins a tag: the original's map writes names into its page as they are."""
_ID = r"^[A-Za-z0-9_-]*$"


def _plain(text: str) -> str:
    if not re.fullmatch(_PLAIN, text):
        raise ValueError("may have no line breaks, no other control characters, and no < or >")
    return text


def _usable_as_id(text: str) -> str:
    if not re.fullmatch(_ID, text):
        raise ValueError("may have letters from A to Z, digits, _ and - only: it is part of addresses and subjects")
    return text


# The documents tell the patterns; functions check them, since a pattern tells nothing to who sends something else.
Text = Annotated[str, Field(max_length=MAX_TEXT, json_schema_extra={"pattern": _PLAIN}), AfterValidator(_plain)]
Name = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TEXT, json_schema_extra={"pattern": _PLAIN}),
    AfterValidator(_plain),
]
Id = Annotated[str, Field(max_length=MAX_TEXT, json_schema_extra={"pattern": _ID}), AfterValidator(_usable_as_id)]
Size = Annotated[int, Field(ge=0, le=2**40)]
"""In bytes, too, it fits a column."""
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


class _Payload(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class DatacenterPatch(_Payload):
    name: Name | None = Field(default=None, examples=["Solna North"])
    location: Text | None = Field(default=None, description="Empty for none", examples=["Solna, Sweden"])
    coordinates: tuple[Latitude, Longitude] | None = Field(
        default=None, description="Latitude and longitude in degrees", examples=[(59.36, 18.0)]
    )


class VmPatch(_Payload):
    name: Name | None = Field(default=None, examples=["erp-db-01"])
    status: VmStatus | None = None
    cpu: Size | None = Field(default=None, description="Virtual CPUs", examples=[2])
    memory: Size | None = Field(default=None, description="MiB", examples=[8192])
    disk: Size | None = Field(default=None, description="GiB", examples=[530])
    cluster: Text | None = Field(default=None, description="Any text; empty for none", examples=["old-vmware"])


class NewVm(_Payload):
    """A VM to be added by hand."""

    id: Id | None = Field(
        default=None, description="Never used before in any datacenter; a UUID is made when there is none"
    )
    name: Name = Field(examples=["erp-db-01"])
    status: Annotated[VmStatus | None, BeforeValidator(_none_if_empty)] = Field(
        default=None, description="'unknown' when there is none, or an empty text"
    )
    cpu: Size | None = Field(default=None, description="Virtual CPUs", examples=[2])
    memory: Size | None = Field(default=None, description="MiB", examples=[8192])
    disk: Size | None = Field(default=None, description="GiB", examples=[530])
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
