"""The AsyncAPI document: where each event is published, and what it contains. `docs/asyncapi.json` is what this prints.

Schemas and most examples come from the models' fields, and a test compares the addresses with `subject_of`.
docs/events.md has what AsyncAPI cannot express: the stream, consumers, snapshots. Specification: AsyncAPI 3.1.0.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from summit_api.asyncapi.examples import EXAMPLES
from summit_models.cluster import Heartbeat
from summit_models.contract import Contract
from summit_models.event import (
    BulkOperationEvent,
    ClusterEvent,
    DatacenterEvent,
    MigrationEvent,
    OperationEvent,
    VmEvent,
)
from summit_models.subject import HEALTH_BUCKET

CLOUD_EVENT = "application/cloudevents+json"

_DESCRIPTION = """\
Every change of a virtual machine, a migration, a cluster's connection and a datacenter, as one CloudEvent each. A plain
subscriber receives exactly the log: no duplicates, and no event that was rejected. To receive the present state and
then every change without a gap, use a JetStream consumer on the stream SUMMIT with the deliver policy last_per_subject.

A dot in a name becomes an underscore in its subject. Ignore members that you do not know; unknown values are null.
All times are UTC."""


@dataclass(frozen=True)
class Channel:
    """Where one sort of message is published."""

    address: str
    model: type[Contract]
    description: str

    @property
    def message(self) -> str:
        return self.model.__name__


CHANNELS: Mapping[str, Channel] = {
    "vms": Channel(
        "summit.vms.{datacenter}.{cluster}.{namespace}.{name}",
        VmEvent,
        "A VM of a watched cluster was created, updated or deleted; `observed` repeats an unchanged state about once "
        "a month.",
    ),
    "unmanagedVms": Channel(
        "summit.vms.{datacenter}.-.-.{id}", VmEvent, "The same for a VM that was added by hand (`managed` is false)."
    ),
    "migrations": Channel(
        "summit.migrations.{datacenter}.{cluster}.{namespace}.{name}",
        MigrationEvent,
        "A live migration was created, progressed or ended, or its object was deleted.",
    ),
    "operations": Channel(
        "summit.operations.{datacenter}.{cluster}.{operation}",
        OperationEvent,
        "Somebody asked for something to be done to a VM, or this has come a step further or has ended.",
    ),
    "bulkOperations": Channel(
        "summit.bulk_operations.{bulkOperation}",
        BulkOperationEvent,
        "An action on many VMs was confirmed, paused, resumed or canceled, or has ended. What becomes of each VM is an "
        "operation of its own, with `parent`.",
    ),
    "clusters": Channel(
        "summit.clusters.{datacenter}.{cluster}", ClusterEvent, "The state of a cluster's connection changed."
    ),
    "datacenters": Channel(
        "summit.datacenters.{datacenter}", DatacenterEvent, "A datacenter was declared, or edited by hand."
    ),
    "health": Channel(
        f"$KV.{HEALTH_BUCKET}.{{datacenter}}.{{cluster}}",
        Heartbeat,
        "Entry of a key-value bucket, written about every ten seconds while a cluster is watched.",
    ),
}

MESSAGES: Mapping[str, type[Contract]] = {channel.message: channel.model for channel in CHANNELS.values()}

_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "datacenter": {"description": "Id of the datacenter", "examples": ["dc-solna"]},
    "cluster": {"description": "Name of the cluster", "examples": ["vulcan"]},
    "namespace": {"description": "Namespace of the object", "examples": ["prod-finance"]},
    "name": {"description": "Name of the object, with `_` for each dot", "examples": ["erp-db-01"]},
    "operation": {"description": "Id of the operation", "examples": ["0f8fad5b-d9cb-569f-a165-70867728950e"]},
    "bulkOperation": {"description": "Its id", "examples": ["5d1f6c1a-7c1e-5f0e-8a55-3b0c9a7e2f11"]},
    "id": {"description": "Id of the VM", "examples": ["5f0c7c9e-3b0a-4f6e-9a51-6d1b0d2c7e11"]},
}

_HEADERS = {
    "type": "object",
    "properties": {
        "Nats-Msg-Id": {"type": "string", "description": "The event's id"},
        "Nats-Sequence": {"type": "string", "description": "Sequence in the stream, which is the revision"},
        "Nats-Last-Sequence": {
            "type": "string",
            "description": "Sequence of the event before it under this subject, 0 if there is none; if you have not "
            "seen that one, there is a gap",
        },
        "Nats-Time-Stamp": {"type": "string", "format": "date-time", "description": "When the server stored it"},
        "Nats-Stream": {"type": "string", "const": "SUMMIT"},
        "Nats-Subject": {"type": "string", "description": "The subject it is stored under"},
        "traceparent": {
            "type": "string",
            "description": "The trace that the event belongs to, if it is traced, as in the W3C's Trace Context",
        },
    },
}


def document() -> str:
    """The document as it is committed: sorted, indented, one newline at the end."""
    return json.dumps(_document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _document() -> dict[str, Any]:
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "summit-connect events",
            "version": version("summit-connect"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "servers": {
            "nats": {"host": "127.0.0.1:4222", "protocol": "nats", "description": "Any NATS client; 2.14.3 or newer"}
        },
        "channels": {name: _channel(channel) for name, channel in CHANNELS.items()},
        "operations": {f"send_{name}": _operation(name, channel) for name, channel in CHANNELS.items()},
        "components": {
            "messages": {name: _message(name) for name in MESSAGES},
            "parameters": dict(_PARAMETERS),
            "schemas": _schemas(),
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "address": channel.address,
        "description": channel.description,
        "parameters": {name: _reference("parameters", name) for name in parameters(channel.address)},
        "messages": {channel.message: _reference("messages", channel.message)},
    }


def _operation(name: str, channel: Channel) -> dict[str, Any]:
    """Seen from us, as AsyncAPI 3 wants it: we send, you receive."""
    return {
        "action": "send",
        "summary": channel.description,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{channel.message}"}],
    }


def _message(name: str) -> dict[str, Any]:
    is_event = name != "Heartbeat"
    return {
        "name": name,
        "contentType": CLOUD_EVENT if is_event else "application/json",
        "payload": _reference("schemas", name),
        "examples": [
            {"name": summary, "payload": json.loads(message.model_dump_json())}
            for summary, message in EXAMPLES.items()
            if type(message).__name__ == name
        ],
        **({"headers": _HEADERS} if is_event else {}),
    }


def _schemas() -> Any:
    _, schemas = models_json_schema(
        [(model, "serialization") for model in MESSAGES.values()], ref_template="#/components/schemas/{model}"
    )
    return _draft_7(schemas["$defs"])


def _draft_7(schema: Any) -> Any:
    """AsyncAPI's schemas are JSON Schema draft 7, in which a tuple's `prefixItems` are called `items`."""
    if isinstance(schema, dict):
        return {"items" if name == "prefixItems" else name: _draft_7(value) for name, value in schema.items()}
    return [_draft_7(value) for value in schema] if isinstance(schema, list) else schema


def parameters(address: str) -> Iterator[str]:
    """Names of the parts of an address that vary."""
    return (token[1:-1] for token in address.split(".") if token.startswith("{"))


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


if __name__ == "__main__":
    sys.stdout.write(document())
