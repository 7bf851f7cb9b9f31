"""What an edit of a datacenter makes of it, and the event that says so. Pure."""

from datetime import datetime

from summit_api.edits.payloads import DatacenterPatch
from summit_api.edits.vm import digest
from summit_models.contract import Revision
from summit_models.datacenter import Datacenter
from summit_models.event import DatacenterEvent, datacenter_event


def patched(datacenter: Datacenter, said: DatacenterPatch) -> Datacenter:
    """The datacenter with what is said of it, remembering what the configuration says."""
    values = {name: value for name, value in dict(said).items() if value is not None}
    if values.get("location") == "":
        values["location"] = None
    declared = datacenter.declared or datacenter.values
    return datacenter.with_values(datacenter.values.model_copy(update=values), declared=declared)


def said(datacenter: Datacenter, basis: Revision, now: datetime) -> DatacenterEvent:
    """Its id names what it was made from and what comes of it: two people who want the same at once have it once."""
    return datacenter_event(datacenter, version=f"{basis}/{digest(datacenter)}", time=now)
