"""The base of all models: frozen values, snake_case in Python and SQL, camelCase in JSON, unknown fields ignored.

Ignoring unknown fields lets old readers live with newer writers; changes are additive only.
"""

from typing import NewType

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

DatacenterId = NewType("DatacenterId", str)
ClusterName = NewType("ClusterName", str)
Uid = NewType("Uid", str)
"""`metadata.uid` of a Kubernetes object: the identity of VMs and migrations. Names are not identities."""
Revision = NewType("Revision", int)
"""JetStream stream sequence of the event that produced a row; the same number in lists, ETags and feeds."""


class Contract(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        extra="ignore",
    )
