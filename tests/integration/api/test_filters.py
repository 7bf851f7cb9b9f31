"""A filter selects the same VMs in a list, in the live feed and in the past.

A new filter is tested once it is declared: it is asked for the values that its predicate finds in the fleet below.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, get_args

import anyio.from_thread
import anyio.to_thread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.api_stack import api_stack, placed_vm
from support.published import OBSERVED_AT

from summit_api.access.principal import EVERYTHING
from summit_api.feed.frame import Frame, Verb
from summit_api.feed.messages import frame_of
from summit_api.feed.selection import Selection
from summit_api.query.journal import entries
from summit_api.query.selection.filters import VmFilters
from summit_api.query.transaction.position import Position
from summit_api.render.moment import Moment
from summit_models.contract import Revision
from summit_models.event import VmEvent, VmEventType
from summit_models.vm import Vm, VmStatus

Json = dict[str, Any]
Check = Callable[[Json], None]

CLUSTERS = {"vulcan": "dc-solna", "romulus": "dc-solna", "kronos": "dc-uppsala"}
NAMESPACES = ("prod", "test", "a'b%_")
STATUSES = (VmStatus.RUNNING, VmStatus.STOPPED, VmStatus.ERROR)
LABELS: tuple[dict[str, str], ...] = ({}, {"app": "web"}, {"app": "db", "tier": "1"}, {"app": "", "legacy": "yes"})
SYSTEMS = (None, "Fedora Linux 43 (Server)", "Windows Server 2025")
SELECTORS = (
    *("app=web", "app!=web", "app in (web,db)", "app notin (db,x)", "app", "!app", "app=", "tier=1,app=db"),
    *("legacy,app!=web", "!legacy,!tier", "app=web,app=db", "no-such"),
)
WORDS = (
    *("running-1", "RUN", "run stop", "10.0", "0.1.2", "10.0.1.2", "fe80::", "worker-2", "fedora 43", "(server)", "w"),
    *("", " ", "-", "'", "\\", "a'b%_", "%", "no-such", "unning", "& | !", ":*", "x" * 500),
)
TEXTS = [name for name, field in Vm.model_fields.items() if field.annotation == str | None]


def fleet(*, version: int = 1, time: datetime = OBSERVED_AT) -> list[VmEvent]:
    """A VM for each combination of place and status. All other texts vary over them, and with the version."""
    combinations = [
        (namespace, cluster, datacenter, status)
        for cluster, datacenter in CLUSTERS.items()
        for namespace in NAMESPACES
        for status in STATUSES
    ]
    return [
        placed_vm(
            f"{status}-{n}",
            versions=(version, 0),
            time=time,
            managed=n % 5 != 0,
            problems=["disk: not seen"] if m % 6 == 0 else [],
            labels=LABELS[m % len(LABELS)],
            **{text: None if m % 4 == 0 else f"{text}-{m % 3}" for text in TEXTS}
            | {
                "namespace": namespace,
                "cluster": cluster,
                "datacenter": datacenter,
                "status": status if version == 1 else VmStatus.PAUSED,
                "node_name": None if m % 4 == 0 else f"worker-{m % 3}.example.com",
                "guest_os": SYSTEMS[m % len(SYSTEMS)],
                "ip": f"10.0.{m % 2}.{m}" if m % 2 else None,
                "ips": [f"10.0.{m % 2}.{m}", f"fe80::{m}"] if m % 2 else [],
            },
        )
        for n, (namespace, cluster, datacenter, status) in enumerate(combinations)
        for m in (n + version,)
    ]


def states(events: Iterable[VmEvent]) -> list[Json]:
    """The last state of each VM as the journal has it."""
    return [*{event.data.id: json.loads(event.data.model_dump_json()) for event in events}.values()]


def with_changes(before: VmEvent, after: VmEvent) -> VmEvent:
    """The later event, with the old values of the members that differ, as a watcher publishes it."""
    (old,), (new,) = states([before]), states([after])
    changes = {name: value for name, value in old.items() if new[name] != value}
    return after.model_copy(update={"data": after.data.model_copy(update={"changes": changes})})


MOMENT = Moment(OBSERVED_AT, frozenset())
LATER = OBSERVED_AT + timedelta(hours=1)
WAS = [event.model_copy(update={"type": VmEventType.CREATED}) for event in fleet()]
CHANGED = [*map(with_changes, WAS, fleet(version=2, time=LATER))][::2]
NOW = states([*WAS, *CHANGED])


def texts_in(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from texts_in(one)
        case dict():
            yield from texts_in([*value.values()])


def values_of(name: str) -> list[Any]:
    """Values that a filter can be asked for: those that it finds in the fleet, and one that it does not find."""
    if name in ("label", "q"):
        return list(SELECTORS if name == "label" else WORDS)
    annotation = VmFilters.model_fields[name].annotation
    if annotation == bool | None:
        return [True, False]
    matches = VmFilters.declared()[name].matches
    found = {text for text in texts_in(NOW) if any(matches([text], state) for state in NOW)}
    assert len(found) > 1, f"filter {name!r} finds too little: let its member vary over the VMs of fleet()"
    return [*sorted(found), *([] if VmStatus in get_args(annotation) else ["no-such"])]


VALUES = {VmFilters.model_fields[name].alias or name: values_of(name) for name in VmFilters.declared()}


def wanted(name: str) -> st.SearchStrategy[Any]:
    """One value, or several for a filter that can be repeated."""
    value = st.sampled_from(VALUES[name])
    return value if True in VALUES[name] else st.lists(value, max_size=3)


def followed(frames: Iterable[Frame], filters: VmFilters) -> set[str]:
    """Ids of the VMs that a client of the feed knows after these messages."""
    shown: set[str] = set()
    selection = Selection(EVERYTHING, filters)
    for frame in frames:
        state = frame.after or {}
        match selection.verb(frame):
            case Verb.ADDED:
                shown.add(state["id"])
            case Verb.REMOVED:
                shown.remove(state["id"])
            case Verb.UPDATED:
                assert state["id"] in shown
    return shown


async def check_all(database_url: str, ask: Callable[[Check], None]) -> None:
    """Let `ask` pass filters to a check that compares the list, the past, and the feed as it reads the journal."""
    async with api_stack(database_url) as stack:
        await stack.apply(*WAS)
        await stack.apply(*CHANGED)
        async with stack.app.state.services.read_models.transaction() as transaction:
            journal = await entries(transaction, Revision(0), until=transaction.revision, limit=1000)
        frames = [frame_of(entry, MOMENT, Position(entry.revision, "e4a")) for entry in journal]
        changes = [frame for frame in frames if frame]
        assert len(changes) == len(WAS) + len(CHANGED)

        async def listed(filters: Json, **more: str) -> set[str]:
            items = (await stack.get("/api/v1/vms", limit="500", **filters, **more))["items"]
            return {item["id"] for item in items}

        def check(filters: Json) -> None:
            wanted = VmFilters.model_validate(filters)
            assert anyio.from_thread.run(listed, filters) == followed(changes, wanted)
            past = partial(listed, filters, at=OBSERVED_AT.isoformat())
            assert anyio.from_thread.run(past) == followed(changes[: len(WAS)], wanted)

        await anyio.to_thread.run_sync(ask, check)


async def test_list_feed_and_past_agree_on_each_filter(database_url: str) -> None:
    """Each filter by itself, with each of its values."""

    def ask(check: Check) -> None:
        for name, values in VALUES.items():
            for value in values:
                check({name: value if value in (True, False) else [value]})

    await check_all(database_url, ask)


async def test_list_feed_and_past_agree_on_filters_together(database_url: str) -> None:
    """Any filters, with any number of values."""

    def ask(check: Check) -> None:
        filters = st.fixed_dictionaries({}, optional={name: wanted(name) for name in VALUES})
        settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))(given(filters)(check))()

    await check_all(database_url, ask)
