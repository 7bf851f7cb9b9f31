"""Pages and watch lines become typed objects. What cannot be read is an error that shows nothing of the content."""

import json
from typing import Any

import pytest

from summit_watcher.kube.errors import StatusError, UndecodableLine
from summit_watcher.kube.resources import (
    CLUSTER_INSTANCETYPES,
    INSTANCETYPES,
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    WATCHED,
)


def vm(uid: str | None = "u", **members: Any) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "t", "resourceVersion": "7"} | ({"uid": uid} if uid else {})
    return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": metadata} | members


def line(event_type: Any, obj: Any) -> bytes:
    return json.dumps({"type": event_type, "object": obj}, ensure_ascii=False).encode() + b"\n"


def page(*items: Any, **metadata: Any) -> bytes:
    return json.dumps({"kind": "VirtualMachineList", "metadata": metadata, "items": items}).encode()


def test_watched_resources_are_those_that_make_up_a_vm() -> None:
    """Plural names and kinds are KubeVirt's own; the path ends with the plural."""
    assert [resource.plural for resource in WATCHED] == [
        "virtualmachines",
        "virtualmachineinstances",
        "virtualmachineinstancemigrations",
        "virtualmachineinstancetypes",
        "virtualmachineclusterinstancetypes",
        "datavolumes",
    ]
    assert VIRTUAL_MACHINES.path == "/apis/kubevirt.io/v1/virtualmachines"
    assert MIGRATIONS.kind == "VirtualMachineInstanceMigration"
    assert INSTANCETYPES.path.startswith("/apis/instancetype.kubevirt.io/v1beta1/")
    assert CLUSTER_INSTANCETYPES.kind == "VirtualMachineClusterInstancetype"
    assert VIRTUAL_MACHINE_INSTANCES.kind == "VirtualMachineInstance"


@pytest.mark.parametrize("event_type", ["ADDED", "MODIFIED", "DELETED"])
def test_watch_line_is_an_event(event_type: str) -> None:
    """Type, object and resourceVersion are those of the line."""
    event = VIRTUAL_MACHINES.decode_event(line(event_type, vm(spec={"runStrategy": "Always"})))
    assert (event.type, event.resource_version, event.initial_events_end) == (event_type, "7", False)
    assert event.object is not None
    assert event.object.metadata.uid == "u"
    assert event.object.spec is not None
    assert event.object.spec.run_strategy == "Always"
    assert event.object.decode_problems == ()


def test_error_event_is_raised_with_the_sentence_of_the_server() -> None:
    """An ERROR event inside HTTP 200 carries a Status, not one of our objects."""
    status = {
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "code": 429,
        "reason": "TooManyRequests",
        "message": "slow down",
        "details": {"retryAfterSeconds": 3},
    }
    with pytest.raises(StatusError, match="429 TooManyRequests: slow down") as error:
        VIRTUAL_MACHINES.decode_event(line("ERROR", status))
    assert (error.value.code, error.value.reason, error.value.retry_after_seconds) == (429, "TooManyRequests", 3)


@pytest.mark.parametrize("status", [None, {}, [], "gone", {"code": "x"}, {"metadata": {}, "code": 500}])
def test_error_event_with_an_odd_status_still_is_an_error(status: object) -> None:
    """The stream has failed, whatever the ERROR event carries."""
    with pytest.raises(StatusError):
        VIRTUAL_MACHINES.decode_event(line("ERROR", status))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"<html>proxy</html>\n",
        b"[]\n",
        b"{}\n",
        line("ADDED", vm())[:-1],
        line("ADDED", vm())[:40] + b"\n",
        line("ADDED", vm()).replace(b'"a"', b'"\xff"'),
        line("ADDED", vm() | {"spec": {"running": "X"}}).replace(b"X", b"\xff"),
        line("ADDED", {"metadata": {"uid": "u"}}),
        line("ADDED", {"metadata": {"uid": "u", "resourceVersion": ""}}),
        line("ADDED", {"metadata": {"uid": "u", "resourceVersion": 7}}),
        line("ADDED", {"metadata": {"resourceVersion": "7"}}),
        line("ADDED", {"metadata": "secret"}),
        line("ADDED", None),
        line("ADDED", []),
        line("SYNC", vm()),
        line(None, vm()),
        b'{"type":"ADDED","object":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    ],
)
def test_unreadable_line_is_reported_without_its_content(data: bytes) -> None:
    """Length and digest identify a line, whose content may be secret."""
    with pytest.raises(UndecodableLine) as error:
        VIRTUAL_MACHINES.decode_event(data)
    assert error.value.length == len(data)
    assert len(error.value.digest) == 16
    assert error.value.digest in str(error.value)
    assert "secret" not in str(error.value)


def test_very_long_line_is_read() -> None:
    """A line beyond a megabyte, mostly annotations, is an object like any other."""
    obj = vm()
    obj["metadata"]["annotations"] = {"last-applied": "x\u2028\U0001f600\x07" * 400_000}
    event = VIRTUAL_MACHINES.decode_event(line("MODIFIED", obj))
    assert event.object is not None


def test_member_of_the_wrong_type_is_left_out_and_named() -> None:
    """The other members are kept."""
    spec = {"runStrategy": "Always", "template": {"spec": {"domain": {"cpu": {"cores": "4", "sockets": 2}}}}}
    event = VIRTUAL_MACHINES.decode_event(line("MODIFIED", vm(spec=spec, status=[1])))
    obj = event.object
    assert obj is not None
    assert obj.decode_problems == (
        "spec.template.spec.domain.cpu.cores: expected int, got str",
        "status: expected object, got array",
    )
    assert obj.spec is not None
    assert obj.spec.run_strategy == "Always"
    assert obj.status is None


def test_annotation_of_the_wrong_type_is_found_though_its_name_has_dots() -> None:
    """A path is matched against the names that exist."""
    template = {"metadata": {"annotations": {"vm": 1, "vm.kubevirt.io/os": 9}}, "spec": {"domain": {}}}
    event = VIRTUAL_MACHINES.decode_event(line("MODIFIED", vm(spec={"template": template})))
    assert event.object is not None
    assert event.object.decode_problems == (
        "spec.template.metadata.annotations.vm.kubevirt.io/os: expected str, got int",
    )


def test_object_with_too_much_wrong_keeps_its_metadata() -> None:
    """An object that does not fit its kind still exists, under its name."""
    volumes = [{"name": n} for n in range(100)]
    event = VIRTUAL_MACHINES.decode_event(line("MODIFIED", vm(spec={"template": {"spec": {"volumes": volumes}}})))
    assert event.object is not None
    assert event.object.metadata.name == "a"
    assert event.object.spec is None
    assert event.object.decode_problems == ("spec: unreadable", "status: unreadable")


def test_number_that_nothing_can_hold_costs_only_the_contents() -> None:
    """1e999 is valid JSON."""
    data = line("MODIFIED", vm(spec={"template": {"spec": {"domain": {"memory": {"guest": 12345}}}}}))
    event = VIRTUAL_MACHINES.decode_event(data.replace(b"12345", b"1e999"))
    assert event.object is not None
    assert event.object.metadata.uid == "u"
    assert event.object.decode_problems


def test_page_has_items_version_and_token() -> None:
    """The last page has no token."""
    found = VIRTUAL_MACHINES.decode_page(page(vm("a"), vm("b"), resourceVersion="12", **{"continue": "next"}))
    assert [item.metadata.uid for item in found.items] == ["a", "b"]
    assert (found.resource_version, found.continue_token, found.undecodable) == ("12", "next", 0)
    assert VIRTUAL_MACHINES.decode_page(page(resourceVersion="12", **{"continue": ""})).continue_token is None
    assert VIRTUAL_MACHINES.decode_page(page(resourceVersion="12")).items == []


def test_bad_item_does_not_spoil_its_page() -> None:
    """Its readable members are kept. An item without uid, or one that is not an object, is counted."""
    body = page(vm("a"), vm("b", spec=7), vm(None), "x", None, vm("c"), resourceVersion="12")
    found = VIRTUAL_MACHINES.decode_page(body)
    assert [item.metadata.uid for item in found.items] == ["a", "b", "c"]
    assert [item.decode_problems for item in found.items] == [(), ("spec: expected object, got int",), ()]
    assert found.undecodable == 3


def test_item_without_uid_is_counted_in_an_otherwise_good_page() -> None:
    """An object without identity cannot be kept."""
    found = VIRTUAL_MACHINES.decode_page(page(vm("a"), vm(None), resourceVersion="12"))
    assert ([item.metadata.uid for item in found.items], found.undecodable) == (["a"], 1)


def test_item_in_bad_utf8_is_counted() -> None:
    """Its neighbours are read."""
    body = page(vm("a"), vm("b", spec={"runStrategy": "X"}), vm("c"), resourceVersion="12").replace(b'"X"', b'"\xff"')
    found = VIRTUAL_MACHINES.decode_page(body)
    assert ([item.metadata.uid for item in found.items], found.undecodable) == (["a", "c"], 1)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", page(), page(vm()), page(vm(spec=7)), b'{"items":{}}'])
def test_body_that_is_not_a_list_is_undecodable(body: bytes) -> None:
    """A list without resourceVersion cannot be watched from."""
    with pytest.raises(UndecodableLine):
        VIRTUAL_MACHINES.decode_page(body)


def test_status_in_place_of_a_page_is_raised() -> None:
    """The server's own sentence is kept."""
    body = b'{"kind":"Status","metadata":{},"status":"Failure","message":"no","reason":"Forbidden","code":403}'
    with pytest.raises(StatusError) as error:
        VIRTUAL_MACHINES.decode_page(body)
    assert error.value.code == 403
