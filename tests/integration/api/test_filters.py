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

from summit_api.query.filters import VmFilters
from summit_models.event import VmEvent
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


WAS, CHANGED = fleet(), fleet(version=2, time=OBSERVED_AT + timedelta(hours=1))[::2]
THEN, NOW = states(WAS), states([*WAS, *CHANGED])


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


VALUES = {name: values_of(name) for name in VmFilters.declared()}


def wanted(name: str) -> st.SearchStrategy[Any]:
    """One value, or several for a filter that can be repeated."""
    value = st.sampled_from(VALUES[name])
    return value if True in VALUES[name] else st.lists(value, max_size=3)


async def check_all(database_url: str, ask: Callable[[Check], None]) -> None:
    """Let `ask` pass filters to a check that compares the list, the past and the feed's predicate."""
    async with api_stack(database_url) as stack:
        await stack.apply(*WAS)
        await stack.apply(*CHANGED)

        async def listed(filters: Json, **more: str) -> set[str]:
            items = (await stack.get("/api/v1/vms", limit="500", **filters, **more))["items"]
            return {item["id"] for item in items}

        def check(filters: Json) -> None:
            matches = VmFilters.model_validate(filters).matches
            assert anyio.from_thread.run(listed, filters) == {vm["id"] for vm in NOW if matches(vm)}
            past = partial(listed, filters, at=OBSERVED_AT.isoformat())
            assert anyio.from_thread.run(past) == {vm["id"] for vm in THEN if matches(vm)}

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
