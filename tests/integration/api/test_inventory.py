"""GET /metrics/inventory: the VMs as series for Prometheus, opt-in, bounded, and only those that the reader may see."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message
from support.api_stack import Stack, api_stack, placed_vm

from summit_api.access.identify import Access
from summit_api.access.policy import PolicyFile
from summit_api.access.principal import Principal, Role
from summit_api.access.tokens import digest, new_token
from summit_api.query.inventory import PIECE_LINES, SERIES_OF_A_VM, InventorySeries
from summit_api.requests.scrape import Scrape
from summit_models.event import VmEventType

PATH = "/metrics/inventory"
Sample = tuple[str, dict[str, str], float]


@asynccontextmanager
async def inventory_stack(
    database_url: str, series: int = 1000, *labels: str, access: Access | None = None
) -> AsyncIterator[Stack]:
    async with api_stack(database_url, access) as stack:
        services = stack.app.state.services
        stack.app.state.services = replace(services, inventory=InventorySeries(series, labels))
        yield stack


def samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


async def test_each_vm_has_its_series(database_url: str) -> None:
    """With its place, its status and its sizes; what is not known has no series."""
    async with inventory_stack(database_url) as stack:
        vm = placed_vm("web", cpu=2, memory_bytes=4 << 30, disk_bytes=None, node_name="node-1")
        await stack.apply(vm)
        answer = await stack.http.get(PATH)
    uid = vm.data.id
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {name: (labels, value) for name, labels, value in samples(answer.text)}
    identity = {"cluster": "vulcan", "uid": uid}
    place = {"datacenter": "dc-solna", "namespace": "prod", "name": "web", "node": "node-1", "status": "running"}
    assert found == {
        "summit_inventory_left_out_vms": ({}, 0),
        "summit_vm_info": (identity | place, 1),
        "summit_vm_status": (identity | {"status": "running"}, 1),
        "summit_vm_cpu_cores": (identity, 2),
        "summit_vm_memory_bytes": (identity, 4 << 30),
    }


async def test_labels_of_vms_are_shown_if_they_are_allowed(database_url: str) -> None:
    """Under the names that kube-state-metrics gives them, whatever characters their values have."""
    value = 'quo"te, back\\slash, new\nline, tab\t, ö'
    async with inventory_stack(database_url, 1000, "app.kubernetes.io/name", "team") as stack:
        await stack.apply(placed_vm("web", labels={"app.kubernetes.io/name": value, "secret": "x"}))
        text = (await stack.http.get(PATH)).text
    (info,) = [labels for name, labels, _ in samples(text) if name == "summit_vm_info"]
    assert info["label_app_kubernetes_io_name"] == value.replace("\t", "\\t")
    assert info["label_team"] == ""
    assert "label_secret" not in info


async def test_a_deleted_vm_has_no_series(database_url: str) -> None:
    """Prometheus marks them as ended with the next scrape."""
    async with inventory_stack(database_url) as stack:
        await stack.apply(placed_vm("web"), placed_vm("web", type_=VmEventType.DELETED, versions=(2, 0)))
        assert "web" not in (await stack.http.get(PATH)).text


async def test_series_have_a_limit_and_say_what_is_left_out(database_url: str) -> None:
    """Whole VMs are left out, and the same ones each time."""
    async with inventory_stack(database_url, 2 * SERIES_OF_A_VM + 1) as stack:
        vms = [placed_vm(f"vm-{number}", cpu=1) for number in range(5)]
        await stack.apply(*vms)
        text, again = [(await stack.http.get(PATH)).text for _ in range(2)]
    shown = {labels["uid"] for name, labels, _ in samples(text) if name == "summit_vm_info"}
    assert text == again
    assert shown == set(sorted(vm.data.id for vm in vms)[:2])
    assert ("summit_inventory_left_out_vms", {}, 3.0) in samples(text)


async def test_there_are_no_series_unless_somebody_wants_them(database_url: str) -> None:
    """A hundred thousand VMs are half a million series: not every Prometheus has room for them."""
    async with api_stack(database_url) as stack:
        answer = await stack.http.get(PATH)
    assert answer.status_code == 404
    assert "API_INVENTORY_SERIES" in answer.json()["detail"]


async def test_the_inventory_needs_a_token_as_all_reads(database_url: str) -> None:
    """`/metrics` has no names and needs none."""
    async with api_stack(database_url, Access(admin_token=new_token())) as stack:
        assert (await stack.http.get(PATH)).status_code == 401
        assert (await stack.http.get("/metrics")).status_code == 200


async def test_a_reader_with_limits_gets_its_part(database_url: str, tmp_path: Path) -> None:
    """What it may not see is not counted as left out either."""
    token, file = new_token(), tmp_path / "access.yaml"
    file.write_text(f"tokens:\n- {{name: t, role: viewer, sha256: {digest(token)}, namespaces: [prod]}}\n")
    async with inventory_stack(database_url, access=Access(policy=PolicyFile(file))) as stack:
        await stack.apply(placed_vm("seen"), placed_vm("hidden", namespace="dev"))
        text = (await stack.http.get(PATH, headers={"Authorization": f"Bearer {token}"})).text
    assert "seen" in text
    assert "hidden" not in text
    assert ("summit_inventory_left_out_vms", {}, 0.0) in samples(text)


async def test_a_scrape_is_sent_piece_by_piece(database_url: str) -> None:
    """The text of a hundred thousand VMs is 60 MB: neither is it made at once, nor does the feed wait for it."""
    sizes: list[int] = []

    async def count(message: Message) -> None:
        sizes.append(len(message.get("body", b"")))

    async with inventory_stack(database_url, 10_000) as stack:
        await stack.apply(*(placed_vm(f"vm-{number}", cpu=1) for number in range(PIECE_LINES + 100)))
        services = stack.app.state.services
        await Scrape(services, Principal("test", Role.VIEWER), "test")({"type": "http"}, _nothing, count)
    assert len([size for size in sizes if size > 100 * 50]) == 6
    assert max(sizes) < PIECE_LINES * 400


async def _nothing() -> Message:
    return {"type": "http.request"}
