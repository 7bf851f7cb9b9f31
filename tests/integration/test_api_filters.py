"""A filter means the same to a list, which asks in SQL, and to the live feed, which asks of one VM at a time."""

import anyio.from_thread
import anyio.to_thread
from api_stack import Stack, api_stack, placed_vm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from summit_api.query.filters import VmFilters
from summit_models.event import VmEvent, VmEventData
from summit_models.vm import VmStatus

CLUSTERS = {"vulcan": "dc-solna", "romulus": "dc-solna", "kronos": "dc-uppsala"}
NAMESPACES = ("prod", "test", "a'b%_")
STATUSES = (VmStatus.RUNNING, VmStatus.STOPPED, VmStatus.ERROR)


def fleet() -> list[VmEvent]:
    """A VM for each combination of what is filtered on."""
    return [
        placed_vm(f"{status}-{n}", namespace=namespace, cluster=cluster, datacenter=datacenter, status=status)
        for n, (cluster, datacenter) in enumerate(CLUSTERS.items())
        for namespace in NAMESPACES
        for status in STATUSES
    ]


def some_of(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from([*values, "no-such"]), max_size=3)


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "datacenter": some_of(*CLUSTERS.values()),
        "cluster": some_of(*CLUSTERS),
        "namespace": some_of(*NAMESPACES),
        "status": st.lists(st.sampled_from(VmStatus), max_size=3),
    },
)


async def listed(stack: Stack, parameters: dict[str, list[str]]) -> set[str]:
    """Ids of the listed VMs."""
    answer = await stack.http.get("/api/v1/vms", params={"limit": "500", **parameters})
    return {item["id"] for item in answer.json()["items"]}


async def test_list_and_feed_agree_on_every_filter(database_url: str) -> None:
    """The condition in SQL and the predicate select the same VMs, whatever the parameters."""
    async with api_stack(database_url) as stack:
        vms: list[VmEventData] = [event.data for event in fleet()]
        await stack.apply(*fleet())

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(FILTERS)
        def holds(parameters: dict[str, list[str]]) -> None:
            matching = {vm.id for vm in vms if VmFilters.model_validate(parameters).matches(vm)}
            assert anyio.from_thread.run(listed, stack, parameters) == matching

        await anyio.to_thread.run_sync(holds)
