"""Migrations as readers of the log see them: who began each, and which make no progress."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.operating import TIMES, Operating
from support.virtctl import Virtctl
from support.waiting import until
from support.watched import watching

from summit_models.operation import OperationState as S

IMPATIENT = replace(TIMES, stuck_seconds=0.5, stuck_check_seconds=0.1)


@pytest.fixture
async def impatient(nats_url: str, config: Path, operating: Operating) -> AsyncIterator[Operating]:
    """A watcher for which half a second is long."""
    async with watching(nats_url, config, IMPATIENT):
        yield operating


def migrations(operating: Operating) -> list[dict[str, Any]]:
    """The states of migrations, oldest first."""
    return [json.loads(m.body)["data"] for m in operating.log.messages if m.subject.startswith("summit.migrations.")]


async def test_a_migration_names_its_operation(watched: Operating, virtctl: Virtctl) -> None:
    """So that who asked for it is known."""
    await virtctl.create("Always")
    id_ = await watched.ask("migrate")
    assert (await watched.end(id_)).state is S.SUCCEEDED
    assert {(one["initiator"], one["operation"]) for one in migrations(watched)} == {("operation", id_)}


async def test_a_migration_of_a_drain_is_an_evacuation(watched: Operating, virtctl: Virtctl) -> None:
    """KubeVirt annotates it."""
    await virtctl.create("Always")
    await until(lambda: watched.log.newest("web"))
    virtctl.cluster.drain(virtctl.vmi["status"]["nodeName"])
    await until(lambda: migrations(watched))
    assert (migrations(watched)[0]["initiator"], migrations(watched)[0]["operation"]) == ("evacuation", None)


async def test_a_migration_that_stands_still_is_marked_until_it_goes_on(impatient: Operating, virtctl: Virtctl) -> None:
    """Every reader sees it, as it is an event."""
    await virtctl.create("Always")
    await until(lambda: impatient.log.newest("web"))
    virtctl.cluster.clock.speed = 0
    await virtctl.migrate("m")
    await until(lambda: [one["stuck"] for one in migrations(impatient)], lambda found: found and found[-1])
    virtctl.cluster.clock.advance(60)
    await virtctl.cluster.settle()
    await until(lambda: migrations(impatient), lambda found: found[-1]["completed"])
    assert (migrations(impatient)[-1]["phase"], migrations(impatient)[-1]["stuck"]) == ("Succeeded", None)
