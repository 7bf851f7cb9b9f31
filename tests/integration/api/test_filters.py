"""A filter means the same to a list, which asks in SQL, and to the live feed, which asks of one VM at a time."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import anyio.from_thread
import anyio.to_thread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.api_stack import Stack, api_stack, placed_vm
from support.published import OBSERVED_AT

from summit_api.query.filters import VmFilters
from summit_models.event import VmEvent
from summit_models.vm import VmStatus

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
    "running-1",
    "RUN",
    "run stop",
    "10.0",
    "0.1.2",
    "10.0.1.2",
    "fe80::",
    "worker-2",
    "fedora 43",
    "(server)",
    "w",
)
ODD_WORDS = ("", " ", "-", "'", "\\", "a'b%_", "%", "no-such", "unning", "& | !", ":*", "x" * 500)


def fleet(*, version: int = 1, time: datetime = OBSERVED_AT) -> list[VmEvent]:
    """A VM for each combination of place and status, with what else is filtered on spread over them by version."""
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
            namespace=namespace,
            cluster=cluster,
            datacenter=datacenter,
            status=status if version == 1 else VmStatus.PAUSED,
            labels=LABELS[m % len(LABELS)],
            node_name=None if m % 4 == 0 else f"worker-{m % 3}.example.com",
            guest_os=SYSTEMS[m % len(SYSTEMS)],
            ip=f"10.0.{m % 2}.{m}" if m % 2 else None,
            ips=[f"10.0.{m % 2}.{m}", f"fe80::{m}"] if m % 2 else [],
            managed=n % 5 != 0,
            problems=["disk: not seen"] if m % 6 == 0 else [],
        )
        for n, (namespace, cluster, datacenter, status) in enumerate(combinations)
        for m in (n + version,)
    ]


def some_of(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from([*values, "no-such"]), max_size=3)


TEXTS = st.lists(st.sampled_from(WORDS) | st.sampled_from(ODD_WORDS), max_size=2).map(" ".join)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "datacenter": some_of(*CLUSTERS.values()),
        "cluster": some_of(*CLUSTERS),
        "namespace": some_of(*NAMESPACES),
        "name": some_of("running-0", "stopped-1"),
        "status": st.lists(st.sampled_from(VmStatus), max_size=3),
        "node": some_of("worker-1.example.com", "worker-2.example.com"),
        "managed": st.booleans(),
        "problems": st.booleans(),
        "label": st.lists(st.sampled_from(SELECTORS), max_size=2),
        "q": st.lists(TEXTS, max_size=2),
    },
)


async def listed(stack: Stack, parameters: dict[str, Any], **more: str) -> set[str]:
    """Ids of the listed VMs."""
    answer = await stack.http.get("/api/v1/vms", params={"limit": "500", **parameters, **more})
    assert answer.status_code == 200, answer.text
    return {item["id"] for item in answer.json()["items"]}


async def test_list_and_feed_agree_on_every_filter(database_url: str) -> None:
    """The condition in SQL and the predicate select the same VMs, whatever the parameters, now and as of a time."""
    async with api_stack(database_url) as stack:
        was, changed = fleet(), fleet(version=2, time=OBSERVED_AT + timedelta(hours=1))[::2]
        now = {event.data.id: event.data for event in (*was, *changed)}.values()
        await stack.apply(*was)
        await stack.apply(*changed)

        @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
        @given(FILTERS)
        def holds(parameters: dict[str, Any]) -> None:
            filters = VmFilters.model_validate(parameters)
            assert anyio.from_thread.run(listed, stack, parameters) == {vm.id for vm in now if filters.matches(vm)}
            then = partial(listed, stack, parameters, at=OBSERVED_AT.isoformat())
            assert anyio.from_thread.run(then) == {event.data.id for event in was if filters.matches(event.data)}

        await anyio.to_thread.run_sync(holds)
