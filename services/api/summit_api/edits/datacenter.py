"""An edit of a datacenter: the new state, and the event that is published. Pure."""

from datetime import datetime

from summit_api.edits.payloads import DatacenterPatch
from summit_api.edits.vm import digest
from summit_models.contract import Revision
from summit_models.datacenter import Datacenter
from summit_models.event import DatacenterEvent, datacenter_event


def patched(datacenter: Datacenter, patch: DatacenterPatch) -> Datacenter:
    """The datacenter with the patched values. It keeps the declared ones, those of the configuration."""
    declared = datacenter.declared or datacenter.values
    return datacenter.with_values(datacenter.values.model_copy(update=patch.given()), declared=declared)


def edited(datacenter: Datacenter, basis: Revision, now: datetime, by: str | None) -> DatacenterEvent:
    """Its id has the basis and the new state: if two people make the same edit at once, it is published once."""
    return datacenter_event(datacenter, version=f"{basis}/{digest(datacenter)}", time=now, by=by)
