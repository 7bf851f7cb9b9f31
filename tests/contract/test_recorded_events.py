"""The contract's models and the projector can read every event that was ever published.

`recorded/` has one event of each type for each time that the contract grew, under the subject it was stored under.
Add a directory when it grows; never change what is there.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from support.recorded import difference

from summit_models.event import (
    BulkOperationEvent,
    ClusterEvent,
    DatacenterEvent,
    Event,
    MigrationEvent,
    OperationEvent,
    VmEvent,
)
from summit_models.subject import subject_of
from summit_projector.project import project
from summit_runtime.nats.streams.consumer import StreamMessage

DIRECTORY = Path(__file__).parent / "recorded"
RECORDED: dict[str, Any] = {
    str(path.relative_to(DIRECTORY)): json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*/*.json"))
}
MODELS: dict[str, type[Event]] = {
    "vms": VmEvent,
    "migrations": MigrationEvent,
    "clusters": ClusterEvent,
    "datacenters": DatacenterEvent,
    "operations": OperationEvent,
    "bulk_operations": BulkOperationEvent,
}


def collection(recorded: dict[str, Any]) -> str:
    return str(recorded["subject"].split(".")[1])


def test_each_type_is_recorded() -> None:
    """The first version has all types that existed then."""
    types = {recorded["event"]["type"] for name, recorded in RECORDED.items() if name.startswith("1-first")}
    assert types == {
        *(f"summit.vm.{kind}" for kind in ("created", "updated", "deleted", "observed")),
        *(f"summit.migration.{kind}" for kind in ("created", "updated", "deleted")),
        "summit.cluster.degraded",
        "summit.datacenter.updated",
    }


@pytest.mark.parametrize("model", list(MODELS.values()))
def test_each_member_is_recorded(model: type[Event]) -> None:
    """This finds a member that was added to the contract without a recorded event."""
    recorded = {name for one in RECORDED.values() if MODELS[collection(one)] is model for name in one["event"]["data"]}
    data: Any = model.model_fields["data"].annotation
    assert {field.alias or name for name, field in data.model_fields.items()} - recorded == set()


@pytest.mark.parametrize("name", RECORDED)
def test_models_read_what_was_recorded(name: str) -> None:
    """Every value is still there under its name, and the event still belongs under its subject."""
    recorded = RECORDED[name]
    event = MODELS[collection(recorded)].model_validate(recorded["event"])
    assert difference(recorded["event"], event.model_dump(mode="json"), "event") is None
    assert subject_of(event) == recorded["subject"]


@pytest.mark.parametrize("name", RECORDED)
def test_projector_applies_what_was_recorded(name: str) -> None:
    """It becomes a row, as it did then."""
    recorded = RECORDED[name]
    batch = project([StreamMessage(7, recorded["subject"], json.dumps(recorded["event"]).encode(), 0)])
    assert batch.dead_letters == []
    assert [table for table, rows in batch.rows.items() if rows] == [collection(recorded)]


@pytest.mark.parametrize("name", RECORDED)
def test_event_of_a_later_version_is_read_too(name: str) -> None:
    """Unknown members are ignored, in the envelope and in the state."""
    recorded = RECORDED[name]
    event = recorded["event"] | {"later": {"a": 1}, "data": recorded["event"]["data"] | {"later": ["b"]}}
    batch = project([StreamMessage(7, recorded["subject"], json.dumps(event).encode(), 0)])
    assert batch.dead_letters == []
    assert MODELS[collection(recorded)].model_validate(event)
