"""The users of NATS, tried from outside: each may do the work of its role, and nothing more.

That each can do its work, the other tests show: in all of them watchers, projectors and apis log in with the users of
their roles (`support.roles`), and the server's log must be free of violations.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import BadRequestError
from pydantic import SecretStr
from support.nats_server import nats_server
from support.projecting import publisher
from support.roles import as_role
from support.standalone_command import COMMAND, run
from support.waiting import until

from summit_models.subject import STREAM
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient, NotPermittedError
from summit_runtime.nats.rights import Role, User, inbox, render, rights
from summit_runtime.nats.streams.stream import ensure_stream, stream_state
from summit_runtime.process import FatalError
from summit_standalone.embedded.nats import embedded_nats

HEALTH, LEASES, OTHER = "KV_summit-clusters", "KV_summit-leases", "OTHER"
STREAMS = (STREAM, HEALTH, LEASES, OTHER)
W, P, A, F = Role.WATCHER, Role.PROJECTOR, Role.API, Role.FEED
LIMITED = (W, P, A, F, Role.LIVE)

EVENTS = {
    "vms.dc-solna.vulcan.prod.web": {W},
    "vms.dc-solna.-.-.0b2f": {A},
    "vms.dc-solna.-.prod.web": set(),
    "vms.dc-solna": set(),
    "migrations.dc-solna.vulcan.prod.m": {W},
    "clusters.dc-solna.vulcan": {W},
    "datacenters.dc-solna": {W, A},
    "operations.dc-solna.vulcan.0b2f": {W, A},
    "bulk_operations.0b2f": {A},
    "others.dc-solna": set(),
}
"""Who publishes which events."""
ENTRIES = {
    "$KV.summit-clusters.dc-solna.vulcan": {W},
    "$KV.summit-leases.cluster.dc-solna.vulcan": {W},
    "$KV.summit-leases.member.watch-1_1/a": {W},
    "$KV.summit-leases.other": set(),
    "$KV.other.key": set(),
}
READ_LOG = f"CONSUMER.CREATE.{STREAM}.n.summit.>"
REQUESTS = {
    "INFO": {W, P},
    **{f"STREAM.{verb}.{name}": {W, P} for verb in ("INFO", "CREATE") for name in (STREAM, HEALTH, LEASES)},
    f"STREAM.INFO.{STREAM}": {W, P, A, F},
    f"STREAM.INFO.{HEALTH}": {W, P, F},
    f"STREAM.MSG.GET.{STREAM}": {W, P, A},
    f"STREAM.MSG.GET.{HEALTH}": {W},
    f"STREAM.MSG.GET.{LEASES}": {W},
    READ_LOG: {W, P, F},
    f"CONSUMER.CREATE.{STREAM}.n": {F},
    f"CONSUMER.CREATE.{STREAM}": {F},
    f"CONSUMER.CREATE.{HEALTH}.n.$KV.summit-clusters.>": {A, F},
    f"CONSUMER.CREATE.{LEASES}.n.$KV.summit-leases.>": {W, A},
    **{f"CONSUMER.{verb}.{name}.n": {F} for verb in ("INFO", "DELETE") for name in (STREAM, HEALTH)},
}
"""Who may ask which request of JetStream's API; nobody any other."""
VERBS = (
    *("STREAM.NAMES", "STREAM.LIST", "SERVER.REMOVE", "ACCOUNT.PURGE.$G", "META.LEADER.STEPDOWN"),
    *(
        f"STREAM.{verb}.{{}}"
        for verb in ["INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE", "MSG.GET", "MSG.DELETE"]
    ),
    *(f"STREAM.{verb}.{{}}" for verb in ("TEMPLATE.CREATE", "LEADER.STEPDOWN", "PEER.REMOVE")),
    *("DIRECT.GET.{}", "DIRECT.GET.{}.summit.vms.dc-solna.vulcan.prod.web", "CONSUMER.LIST.{}", "CONSUMER.NAMES.{}"),
    *(
        f"CONSUMER.{verb}.{{}}.n"
        for verb in ["CREATE", "INFO", "DELETE", "MSG.NEXT", "PAUSE", "RESET", "UNPIN", "DURABLE.CREATE"]
    ),
    *("CONSUMER.CREATE.{}", "CONSUMER.CREATE.{}.n.>", "CONSUMER.CREATE.{}.n.other"),
)
OUTSIDE = (
    "summit.vms.dc-solna.vulcan.prod.web",
    "_INBOX_other.x",
    "_INBOX.x",
    "$SYS.REQ.SERVER.PING",
    "$SRV.PING",
    "x",
)


def attempts() -> Iterator[tuple[str, set[Role]]]:
    """Subjects, and the roles that may publish there."""
    yield from ((f"ingest.summit.{event}", roles) for event, roles in EVENTS.items())
    yield from ENTRIES.items()
    requests = dict.fromkeys((verb.format(name) for verb in VERBS for name in STREAMS), frozenset[Role]()) | REQUESTS
    yield from ((f"$JS.API.{request}", roles) for request, roles in requests.items())
    yield from ((subject, set()) for subject in OUTSIDE)
    yield "$JS.FC.SUMMIT.n.1", {W, P, A, F}
    yield "$JS.ACK.SUMMIT.n.1.1.1.1.0", set()


class Tried:
    """A user, and what the server has denied it."""

    def __init__(self, client: EventClient, denied: list[str]) -> None:
        self.client = client
        self._denied = denied

    async def denied(self, subjects: Sequence[str], *, subscribing: bool = False) -> list[str]:
        """Those of the subjects that may not be published or subscribed to. The bodies are not what anybody wants."""
        self._denied.clear()
        for subject in subjects:
            if subscribing:
                await self.client.subscribe(subject)
            else:
                await self.client.publish(subject, b"?")
        for _ in range(2):  # nats-py sends a ping before what waits to be sent
            await self.client.flush()
        return [subject for subject in subjects if any(f'"{subject.lower()}"' in error for error in self._denied)]


@asynccontextmanager
async def trying(url: str, user: str) -> AsyncIterator[Tried]:
    denied: list[str] = []
    client = EventClient()

    async def note(error: Exception) -> None:
        denied.append(str(error))

    await client.dial(url, inbox_prefix=inbox(user).encode(), error_cb=note)
    try:
        yield Tried(client, denied)
    finally:
        await bus.close(client)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A server with the stream and the buckets, whose log may have violations."""
    async with embedded_nats(tmp_path_factory.mktemp("nats")) as url:
        async with publisher(url) as client:
            await client.jetstream().add_stream(name=OTHER, subjects=["other"])
        yield url


@pytest.mark.parametrize("role", LIMITED)
async def test_a_role_publishes_what_its_work_needs_and_nothing_else(server: str, role: Role) -> None:
    """Every kind of event, every entry of the buckets, and every request of JetStream's API for every stream."""
    wanted = dict(attempts())
    assert len(wanted) > 100
    async with trying(as_role(server, role), role) as user, publisher(server) as admin:
        denied = await user.denied(list(wanted))
        assert {subject: subject not in denied for subject in wanted} == {s: role in r for s, r in wanted.items()}
        assert len(await admin.jetstream().streams_info()) == len(STREAMS)


@pytest.mark.parametrize("role", LIMITED)
async def test_a_role_receives_its_answers_and_nothing_else(server: str, role: Role) -> None:
    """Only readers of events receive them, and nobody what somebody else is answered."""
    others = [f"{inbox(other)}.>" for other in Role if other is not role]
    events = ["summit.>", "summit.vms.dc-solna.>", "$KV.summit-clusters.>"]
    foreign = [">", "*.>", "_INBOX.>", "ingest.>", "$KV.>", "$KV.summit-leases.>", "$JS.>", "$SYS.>"]
    async with trying(as_role(server, role), role) as user:
        denied = await user.denied([*others, *events, *foreign, f"{inbox(role)}.>"], subscribing=True)
        may_listen = role in (Role.FEED, Role.LIVE)
        own = [f"{inbox(role)}.>"] if role is Role.LIVE else []
        assert denied == [*others, *([] if may_listen else events), *foreign, *own]


USERS = [
    User("summit", "p", None),
    *(User(f"{role}-dc-a", "p", rights(role, ["dc-a"], user=f"{role}-dc-a")) for role in (W, F, Role.LIVE)),
    User("reader", "p", rights(A, user="reader")),
]


async def test_users_of_a_datacenter_have_nothing_to_do_with_another(tmp_path: Path) -> None:
    """A watcher writes nothing there, and readers of events receive and read none of it."""
    writes = [*(f"ingest.summit.{event}" for event, roles in EVENTS.items() if W in roles), *list(ENTRIES)[:2]]
    here, there = ([s.replace("dc-solna", place) for s in writes] for place in ("dc-a", "dc-b"))
    async with nats_server(tmp_path / "nats", more=render(USERS)) as (address, _):
        async with trying(f"nats://watcher-dc-a:p@{address}", "watcher-dc-a") as watcher:
            assert await watcher.denied([*here, *there]) == there
            assert await watcher.denied(["_INBOX_watcher.>"], subscribing=True) == ["_INBOX_watcher.>"]
        listened = [
            s.format(place) for place in ("dc-a", "dc-b") for s in ("summit.*.{}.>", "$KV.summit-clusters.{}.*")
        ]
        foreign = [*listened[2:], "summit.>", "summit.vms.>", "summit.bulk_operations.*"]
        denied = await asyncio.to_thread(run, COMMAND, "sub", "summit.>", "--server", f"nats://live-dc-a:p@{address}")
        assert "may not subscribe to 'summit.>': name a part of it" in denied.stderr
        for name in ("feed-dc-a", "live-dc-a"):
            async with trying(f"nats://{name}:p@{address}", name) as reader:
                assert await reader.denied([*listened, *foreign[2:]], subscribing=True) == foreign
        async with (
            publisher(f"nats://summit:p@{address}"),
            trying(f"nats://feed-dc-a:p@{address}", "feed-dc-a") as reader,
        ):
            stream = reader.client.jetstream()
            for subjects in ("summit.vms.dc-a.>", "summit.*.dc-a.>", "summit.datacenters.dc-a"):
                await stream.add_consumer(STREAM, name="ours", filter_subject=subjects, deliver_subject="x")
                await stream.delete_consumer(STREAM, "ours")
            for subjects in ("summit.vms.dc-b.>", "summit.>", "summit.*.>"):
                with pytest.raises(NotPermittedError):
                    await stream.add_consumer(STREAM, name="theirs", filter_subject=subjects, deliver_subject="x")
            body = {"stream_name": STREAM, "config": {"name": "n", "filter_subject": "summit.vms.dc-b.>"}}
            answer = await reader.client.request(
                f"$JS.API.CONSUMER.CREATE.{STREAM}.n.summit.vms.dc-a.>", json.dumps(body).encode()
            )
            assert "did not match filtered subject" in answer.data.decode()


@pytest.mark.parametrize("role", [W, P, F])
async def test_what_a_reader_of_the_log_lets_deliver_elsewhere_changes_nothing(server: str, role: Role) -> None:
    """A server sends to any subject, also those that the one who asked may not publish to (nats-server #8274)."""
    quick = {"ack_policy": AckPolicy.NONE, "filter_subject": "summit.>", "idle_heartbeat": 0.1}
    async with trying(as_role(server, role), role) as reader, publisher(server) as admin:
        log, states = (await stream_state(admin)).last_sequence, await admin.jetstream().stream_info(LEASES)
        targets = [f"$JS.API.STREAM.{verb}.{OTHER}" for verb in ("DELETE", "PURGE")]
        for number, subject in enumerate((*targets, "$KV.summit-leases.cluster.dc-solna.vulcan")):
            config = ConsumerConfig(name=f"{role}{number}", deliver_subject=subject, **quick)
            await reader.client.jetstream().add_consumer(STREAM, config)
        config = ConsumerConfig(name=role, deliver_subject="ingest.summit.vms.dc-solna.vulcan.prod.web", **quick)
        with pytest.raises(BadRequestError):
            await reader.client.jetstream().add_consumer(STREAM, config)
        await admin.jetstream().publish("ingest.summit.vms.dc-solna.vulcan.prod.db", b"")
        name = f"{role}0"
        consumed = await until(lambda: admin.jetstream().consumer_info(STREAM, name), lambda i: i.num_pending)
        assert consumed.delivered.consumer_seq == 0
        assert (await admin.jetstream().stream_info(OTHER)).config.name == OTHER
        assert (await stream_state(admin)).last_sequence == log + 1
        assert (await admin.jetstream().stream_info(LEASES)).state.last_seq == states.state.last_seq


# What a service does that lacks a permission


async def test_a_request_that_is_not_permitted_ends_at_once_and_is_logged_once(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It ended with the time-out, and the log had the name of a consumer that nobody gave."""
    async with bus.connected(SecretStr(as_role(server, A)), name="test") as client:
        for _ in range(2):
            with pytest.raises(NotPermittedError, match=r"CONSUMER\.CREATE\.SUMMIT\.\*\.summit\.>'"):
                async with asyncio.timeout(3):
                    await client.request(f"$JS.API.{READ_LOG}", timeout=20)
        assert (await client.request(f"$JS.API.STREAM.INFO.{STREAM}", timeout=5)).data
    permission = "publish '$JS.API.CONSUMER.CREATE.SUMMIT.*.summit.>': give that user this permission"
    assert len([line for line in caplog.messages if permission in line]) == 1


async def test_an_inbox_that_may_not_be_read_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise nothing would answer, and nobody would know why."""
    few = 'authorization { users: [{ user: me, password: p, permissions: { subscribe: { allow: ["_INBOX.>"] } } }] }'
    async with nats_server(tmp_path / "nats", more=few) as (address, _):  # noqa: SIM117  one needs the other
        async with bus.connected(SecretStr(f"nats://me:p@{address}"), name="test") as client:
            with pytest.raises(NatsError):
                await client.request("$JS.API.INFO", timeout=0.2)
    assert "does not permit the user of NATS_URL to subscribe to '_INBOX_me.>'" in caplog.text


async def test_streams_that_are_there_are_enough_for_a_user_who_may_not_make_them(tmp_path: Path) -> None:
    """An administrator has made them. What is missing, and what a version needs more, is said with the remedy."""
    denied = ", ".join(f'"$JS.API.STREAM.{verb}.>"' for verb in ("CREATE", "UPDATE"))
    few = f"{{ user: few, password: p, permissions: {{ publish: {{ deny: [{denied}] }} }} }}"
    users = f"authorization {{ users: [ {{ user: all, password: p }}, {few} ] }}"
    async with nats_server(tmp_path / "nats", more=users) as (address, _):  # noqa: SIM117  one needs the other
        async with (
            bus.connected(SecretStr(f"nats://all:p@{address}"), name="test") as admin,
            bus.connected(SecretStr(f"nats://few:p@{address}"), name="test") as client,
        ):
            with pytest.raises(
                FatalError, match=r"nobody has made the stream 'SUMMIT': NATS does .* as an administrator"
            ):
                await ensure_stream(client)
            await ensure_stream(admin)
            await ensure_stream(client)
            await admin.jetstream().delete_stream(LEASES)
            with pytest.raises(FatalError, match="nobody has made the bucket 'summit-leases': NATS"):
                await ensure_stream(client)
            await ensure_stream(admin)
            config = (await admin.jetstream().stream_info(STREAM)).config
            await admin.jetstream().update_stream(config, allow_atomic=False)
            with pytest.raises(FatalError, match=r"the stream 'SUMMIT' lacks what this version needs: NATS"):
                await ensure_stream(client)
