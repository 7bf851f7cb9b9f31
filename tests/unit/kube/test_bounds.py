"""What exceeds a bound costs that value, that object or that list, and never the neighbours."""

import json
import tracemalloc
from typing import Any

import pytest

from summit_watcher.kube.bounds import (
    LABELS,
    LIST_OBJECTS,
    LIST_PAGES,
    MESSAGE_CHARACTERS,
    MIB,
    PAGE_VALUES,
    one_line,
)
from summit_watcher.kube.errors import OversizedError, UndecodableLine
from summit_watcher.kube.failure import classify
from summit_watcher.kube.list_size import ListSize
from summit_watcher.kube.resources import MIGRATIONS, VIRTUAL_MACHINES


def vm(uid: str, **metadata: Any) -> dict[str, Any]:
    known = {"name": uid, "namespace": "t", "resourceVersion": "7", "uid": uid}
    return {"kind": "VirtualMachine", "metadata": known | metadata, "spec": {"runStrategy": "Always"}}


def page(*items: Any, kind: str = "VirtualMachineList", **metadata: Any) -> bytes:
    return json.dumps({"kind": kind, "metadata": {"resourceVersion": "9"} | metadata, "items": items}).encode()


def line(obj: Any) -> bytes:
    return json.dumps({"type": "MODIFIED", "object": obj}).encode() + b"\n"


VALUES = [
    pytest.param("labels", {f"l{n}": "x" * 63 for n in range(20_000)}, id="a megabyte of labels"),
    pytest.param("labels", {"l": "x" * 2**20}, id="one label of a megabyte"),
    pytest.param("labels", {"l" * 2**20: "x"}, id="the key of a label of a megabyte"),
    pytest.param("name", "a name with *", id="a name with blanks and a star"),
    pytest.param("name", "n" * 2**20, id="a name of a megabyte"),
    pytest.param("namespace", "a\nb", id="a namespace of two lines"),
    pytest.param("name", "a\n", id="a name that ends with a newline"),
]


@pytest.mark.parametrize(("member", "value"), VALUES)
def test_a_value_beyond_its_bound_is_left_out_with_a_problem(member: str, value: Any) -> None:
    """Its object is kept, in a page and in a watch, and so are its neighbours. The problem is short."""
    read = VIRTUAL_MACHINES.decode_page(page(vm("a"), vm("b", **{member: value}), vm("c", labels={"l": "x"})))
    event = VIRTUAL_MACHINES.decode_event(line(vm("b", **{member: value})))
    assert ([item.metadata.uid for item in read.items], read.undecodable) == (["a", "b", "c"], 0)
    assert read.items[2].metadata.labels == {"l": "x"}
    for found in (read.items[1], event.object):
        assert found is not None
        assert getattr(found.metadata, member) is None
        assert found.spec is not None
        (problem,) = found.decode_problems
        assert problem.startswith(f"metadata.{member}: ")
        assert len(problem) < 200


def test_labels_below_the_bound_are_kept() -> None:
    """The bound is far above what people write."""
    labels = {f"l{n}": "x" * 63 for n in range(LABELS)}
    (found,) = VIRTUAL_MACHINES.decode_page(page(vm("a", labels=labels))).items
    assert found.metadata.labels == labels


@pytest.mark.parametrize("uid", ["u" * 65, "a b", "a\r\nNats-Msg-Id: b"])
def test_an_object_whose_uid_is_no_uid_is_counted_and_not_kept(uid: str) -> None:
    """Event ids are made from it. As some object could not be read, the list deletes nothing."""
    read = VIRTUAL_MACHINES.decode_page(page(vm("a"), vm(uid)))
    assert ([item.metadata.uid for item in read.items], read.undecodable) == (["a"], 1)


@pytest.mark.parametrize("version", ["9" * 4301, "9" * 2**20])
def test_a_resource_version_of_thousands_of_digits_is_refused(version: str) -> None:
    """Python raises ValueError for such a number, which would end the cluster's task."""
    with pytest.raises(UndecodableLine):
        VIRTUAL_MACHINES.decode_page(page(vm("a"), resourceVersion=version))
    with pytest.raises(UndecodableLine):
        VIRTUAL_MACHINES.decode_event(line(vm("a", resourceVersion=version)))


def test_a_continue_token_beyond_its_bound_is_refused() -> None:
    """It would be part of the next request's address."""
    with pytest.raises(UndecodableLine):
        VIRTUAL_MACHINES.decode_page(page(vm("a"), **{"continue": "c" * 10_000}))


def test_a_message_beyond_its_bound_costs_the_message_only() -> None:
    """The migration and its phase are kept."""
    status = {"phase": "Failed", "migrationState": {"failed": True, "failureReason": "x" * (MESSAGE_CHARACTERS + 1)}}
    body = page({"metadata": vm("m")["metadata"], "status": status}, kind="VirtualMachineInstanceMigrationList")
    (found,) = MIGRATIONS.decode_page(body).items
    assert found.status is not None
    assert found.status.migration_state is not None
    assert (found.status.phase, found.status.migration_state.failed) == ("Failed", True)
    assert found.status.migration_state.failure_reason is None


NO_LISTS = [
    pytest.param({"kind": "VirtualMachineList", "items": None}, id="items are null"),
    pytest.param({"kind": "VirtualMachineList"}, id="items are missing"),
    pytest.param(vm("a"), id="a single object"),
    pytest.param({"kind": "VirtualMachineInstanceList", "items": []}, id="a list of another kind"),
    pytest.param({"items": []}, id="no kind"),
    pytest.param({"kind": "Table", "rows": []}, id="a table"),
]


@pytest.mark.parametrize("answer", NO_LISTS)
def test_an_answer_that_is_no_list_of_the_kind_is_not_an_empty_list(answer: dict[str, Any]) -> None:
    """It deleted every VM of the cluster."""
    answer = answer | {"metadata": answer.get("metadata", {"resourceVersion": "9"})}
    with pytest.raises(UndecodableLine):
        VIRTUAL_MACHINES.decode_page(json.dumps(answer).encode())


def test_json_that_is_nested_deeper_than_the_stack_is_an_error_of_ours() -> None:
    """It is deep inside a member that is not read, too."""
    deep = b"[" * 200_000 + b"]" * 200_000
    for body in (deep, page(vm("a")).replace(b'"Always"', deep), page(vm("a")).replace(b'"spec"', b'"x":' + deep)):
        try:
            VIRTUAL_MACHINES.decode_page(body)
        except UndecodableLine as error:
            assert len(str(error)) < 300  # noqa: PT017


def test_a_list_that_repeats_or_never_ends_is_given_up_with_a_pause() -> None:
    """277 000 made-up VMs came from one server. The next attempt is minutes later, since it would be as large."""
    size = ListSize("virtualmachines")
    size.add_page("a")
    size.add_page("b")
    with pytest.raises(OversizedError, match="a continue token came twice"):
        size.add_page("a")
    for number in range(2, LIST_PAGES):
        size.add_page(str(number))
    with pytest.raises(OversizedError, match=f"more than {LIST_PAGES} pages"):
        size.add_page("last")
    with pytest.raises(OversizedError, match=f"more than {LIST_OBJECTS} objects") as raised:
        size.add_objects(LIST_OBJECTS + 1)
    assert classify(raised.value).retry_after_seconds >= 60


@pytest.mark.parametrize("text", ["a\nb", "a\r\n\tb", "a\x1b[31mb", "a\u2028b", "a \0 b", "a\ud800b"])
def test_a_text_from_outside_is_one_printable_line(text: str) -> None:
    """A newline would forge a log line, and a surrogate cannot be written anywhere."""
    assert one_line(text).isprintable()
    assert one_line(text).encode()
    assert one_line("x" * 2**20) == "x" * 99 + "…"


@pytest.mark.parametrize("item", [b"{}", b"null", b'{"metadata":{"uid":"a"}}', b'{"spec":7}'])
def test_a_page_of_a_million_small_objects_does_not_fill_the_memory(item: bytes) -> None:
    """128 MiB of empty objects took 12 GB, and a minute in which no other cluster was watched."""
    before, after = page().split(b"[]")
    body = before + b"[" + b",".join([item] * 1_000_000) + b"]" + after
    tracemalloc.start()
    with pytest.raises(OversizedError, match=f"has more than {LIST_OBJECTS} objects"):
        VIRTUAL_MACHINES.decode_page(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 128 * MIB


def test_a_page_with_more_values_than_any_is_not_read_object_by_object() -> None:
    """Its pieces alone would fill the memory."""
    before, after = page().split(b"[]")
    with pytest.raises(OversizedError, match=f"has more than {PAGE_VALUES} values"):
        VIRTUAL_MACHINES.decode_page(before + b"[0" + b",0" * PAGE_VALUES + b"]" + after)


def test_a_page_after_one_beyond_the_bound_is_read() -> None:
    """The count begins with each page."""
    for _ in range(2):
        assert (
            len(MIGRATIONS.decode_page(page(vm("a"), vm("b"), kind="VirtualMachineInstanceMigrationList")).items) == 2
        )
    small = [{"metadata": {"uid": "a"}}] * (LIST_OBJECTS // 2 + 1)
    for _ in range(2):
        assert len(VIRTUAL_MACHINES.decode_page(page(*small)).items) == len(small)


def test_a_page_of_objects_that_are_all_wrong_stops_the_process_for_a_moment_only() -> None:
    """128 MiB of them took 48 seconds, in which no other cluster was watched. Those that are right are all read."""
    wrong = {"spec": {"running": 1, "runStrategy": 2, "template": [], "instancetype": 3}, "status": 4}
    wrong |= {"metadata": vm("x")["metadata"] | {"generation": "x", "labels": 5, "annotations": 6}}
    read = VIRTUAL_MACHINES.decode_page(page(*[wrong] * 60_000, vm("last")))
    assert read.items[-1].metadata.uid == "last"
    assert 0 < read.undecodable < 60_000
