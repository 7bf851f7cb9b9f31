"""Rows of a large fleet, as its projector would have written them, made without it: by COPY into `vms`."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from summit_models.tables import vms
from summit_models.vm import Vm, VmStatus

CLUSTERS = 50
NOW = datetime(2026, 11, 25, tzinfo=UTC)
_COLUMNS = tuple(column.name for column in vms.columns if column.computed is None)
_RANDOM = random.Random(1)  # noqa: S311  the same fleet each time
_SYSTEMS = ("Red Hat Enterprise Linux 9.6 (Plow)", "Ubuntu 24.04.1 LTS", "Microsoft Windows Server 2022 Standard", None)


async def seed(database: asyncpg.Connection, numbers: range) -> None:
    """Add the VMs of these numbers, and let the planner know of them."""
    await database.copy_records_to_table("vms", records=list(_rows(numbers)), columns=_COLUMNS)
    await database.execute("VACUUM ANALYZE")
    await database.execute(
        "INSERT INTO checkpoint (stream, revision, generation, stream_created_at, applied_at)"
        " VALUES ('SUMMIT', $1, 0, now(), now()) ON CONFLICT (stream) DO UPDATE SET revision = excluded.revision",
        numbers.stop,
    )


def _rows(numbers: range) -> Iterator[tuple[Any, ...]]:
    for number in numbers:
        state = {name: getattr(_vm(number), name) for name in Vm.model_fields}
        provenance = {"observed_at": NOW, "epoch": 1, "vm_version": number, "vmi_version": number, "revision": number}
        row: dict[str, Any] = {**state, **provenance}
        yield tuple(_stored(row.get(name)) for name in _COLUMNS)


def _stored(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, (list, dict)) else value


def _vm(number: int) -> Vm:
    cluster = number % CLUSTERS
    app, role = _RANDOM.choice(("erp", "crm", "web", "batch", "mail")), _RANDOM.choice(("db", "app", "front"))
    running = number % 5 != 0
    memory = _RANDOM.choice((2048, 4096, 8192, 16384))
    address = f"10.{cluster}.{number // 256 % 256}.{number % 256}"
    return Vm(
        id=str(UUID(int=_RANDOM.getrandbits(128))),
        name=f"{app}-{role}-{number:06}",
        namespace=f"{_RANDOM.choice(('prod', 'test'))}-{app}",
        cluster=f"cluster-{cluster:02}",
        datacenter=f"dc-{cluster % 10}",
        status=VmStatus.RUNNING if running else VmStatus.STOPPED,
        printable_status="Running" if running else "Stopped",
        phase="Running" if running else "Stopped",
        ready=running,
        run_strategy="Always",
        cpu=memory // 2048,
        memory=memory,
        memory_bytes=memory << 20,
        disk=40,
        disk_bytes=40 << 30,
        ip=address if running else None,
        ips=[address, f"fe80::{number:x}"] if running else [],
        node_name=f"worker-{number % 20:02}.cluster-{cluster:02}.example.com" if running else None,
        guest_os=_RANDOM.choice(_SYSTEMS) if running else None,
        instancetype="u1.large",
        machine_type="pc-q35-rhel9.6.0",
        firmware_uuid=str(UUID(int=number)),
        labels={"app": app, "role": role, "team": f"team-{number % 40}", "kubevirt.io/os": "linux"},
        live_migratable=running,
        created_at=NOW - timedelta(minutes=number),
        started_at=NOW - timedelta(minutes=number // 2) if running else None,
    )
