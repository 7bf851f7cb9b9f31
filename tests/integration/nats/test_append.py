"""Appending to the log by hand: all events or none, and only if the log has nothing newer."""

import asyncio
import logging
from pathlib import Path

import pytest
from nats.aio.client import Client
from support.projecting import publisher
from support.published import unmanaged_event

from summit_models.contract import Revision, Uid
from summit_models.event import VmEvent, VmEventType
from summit_models.subject import subject_of, unmanaged_vm_subjects
from summit_runtime.nats.publishing.append import Basis, ConflictError, NotStoredError, append, append_until_stored
from summit_runtime.nats.streams.consumer import last_per_subject
from summit_runtime.nats.streams.stream import stream_state
from summit_standalone.embedded.nats import embedded_nats

DELETED, UPDATED = VmEventType.DELETED, VmEventType.UPDATED


def basis(revision: int, vm_id: str = "vm-001") -> Basis:
    return Basis(unmanaged_vm_subjects(Uid(vm_id)), Revision(revision))


def event(number: int, type_: VmEventType = UPDATED, datacenter: str = "dc-solna") -> VmEvent:
    return unmanaged_event(type_=type_, datacenter=datacenter).model_copy(update={"id": f"event-{number}"})


async def newest(client: Client) -> dict[str, int]:
    return {message.subject: message.sequence async for message in last_per_subject(client, "summit.vms.>")}


async def test_event_is_stored_onto_the_revision_it_was_made_from(client: Client) -> None:
    """Revision 0 means that there is none yet."""
    assert await append(client, [event(1)], basis(0)) == 1
    assert await append(client, [event(2)], basis(1)) == 2


async def test_the_second_of_two_events_made_from_one_revision_is_refused(client: Client) -> None:
    """The error has the revision that it has not seen, even if that is in another datacenter."""
    await append(client, [event(1)], basis(0))
    with pytest.raises(ConflictError) as conflict:
        await append(client, [event(2, datacenter="dc-uppsala")], basis(0))
    assert conflict.value.newest == 1
    assert (await stream_state(client)).last_sequence == 1


async def test_two_events_are_stored_together_or_not_at_all(client: Client) -> None:
    """A VM that moves ends under one subject and continues under the other, for every reader."""
    await append(client, [event(1)], basis(0))
    moved = [event(2, DELETED), event(3, datacenter="dc-uppsala")]
    assert await append(client, moved, basis(1)) == 3
    assert await newest(client) == {subject_of(event): n for n, event in enumerate(moved, 2)}
    with pytest.raises(ConflictError):
        await append(client, [event(4), event(5, datacenter="dc-uppsala")], basis(1))
    assert (await stream_state(client)).last_sequence == 3


async def test_plain_subscriber_sees_both_events_of_a_batch(client: Client) -> None:
    """The stream republishes them like all others."""
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def receive(message: object) -> None:
        seen.put_nowait(message.subject)  # type: ignore[attr-defined]

    await client.subscribe("summit.>", cb=receive)
    await append(client, [event(1, DELETED), event(2, datacenter="dc-uppsala")], basis(0))
    async with asyncio.timeout(10):
        assert [await seen.get(), await seen.get()] == [
            "summit.vms.dc-solna.-.-.vm-001",
            "summit.vms.dc-uppsala.-.-.vm-001",
        ]


async def test_a_refusal_has_the_servers_reason(client: Client) -> None:
    """An event that is too large for the stream, for example."""
    large = unmanaged_event(name="x" * 300_000)
    with pytest.raises(NotStoredError, match="exceeds maximum") as refused:
        await append(client, [large], basis(0))
    assert not refused.value.unsure


async def test_nothing_is_kept_for_a_server_that_is_away(tmp_path: Path) -> None:
    """The client would buffer it and send it after a reconnect, long after it has reported the failure."""
    async with embedded_nats(tmp_path / "nats") as url, publisher(url) as client:
        pass
    with pytest.raises(NotStoredError, match="not connected"):
        await append(client, [event(1)], basis(0))


async def test_an_append_is_repeated_until_it_is_stored(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Another writer may be faster, and NATS may be away; the log has a line about an outage and one about its end."""
    caplog.set_level(logging.INFO, "summit.nats")
    await append(client, [event(1)], basis(0))
    errors = [NotStoredError("not connected to NATS"), TimeoutError(), ConflictError(Revision(1))]

    async def work() -> Revision:
        if errors:
            raise errors.pop(0)
        return await append(client, [event(2)], basis(1))

    assert await append_until_stored(work, what="the retirement of cluster vulcan", level=logging.INFO) == 2
    first, last = caplog.messages
    assert first == (
        "the retirement of cluster vulcan is not stored yet (not connected to NATS): trying again until it is"
    )
    assert last.startswith("the retirement of cluster vulcan is stored, after ")
