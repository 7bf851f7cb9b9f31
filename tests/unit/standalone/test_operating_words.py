"""What people read of an operation, and what they may write: pure."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from rich.console import Console

from summit_models.operation import Action
from summit_standalone.operating.act import Act, as_json
from summit_standalone.operating.acting import going_on
from summit_standalone.operating.commands import app
from summit_standalone.operating.live_table import table
from summit_standalone.operating.parameters import ago, labels, mebibytes, seconds
from summit_standalone.operating.screen import line
from summit_standalone.operations import listing
from summit_standalone.operations.watching import selects
from summit_standalone.remote.client import ApiError

VM = {"id": "0b2f6f0e", "name": "web", "namespace": "prod", "cluster": "vulcan"}
ASKED = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)


def operation(**members: Any) -> dict[str, Any]:
    return {
        "id": "0f8fad5b",
        "action": "start",
        "vmId": "0b2f6f0e",
        "vmName": "web",
        "namespace": "prod",
        "cluster": "vulcan",
        "datacenter": "dc-solna",
        "state": "pending",
        "message": "",
        "progress": None,
        "by": "ada",
        "dryRun": False,
        "requestedAt": "2026-11-29T06:00:00Z",
        "endedAt": None,
        "revision": 7,
    } | members


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, "prod/web (vulcan): start pending, operation 0f8fad5b"),
        ({"state": "running"}, "prod/web (vulcan): start running"),
        ({"state": "running", "progress": "Scheduling"}, "prod/web (vulcan): start running: Scheduling"),
        ({"state": "failed", "message": "no\n  node"}, "prod/web (vulcan): start failed: no node"),
        ({"state": "succeeded", "progress": "late", "message": "ok"}, "prod/web (vulcan): start succeeded: ok"),
        ({"state": "succeeded", "dryRun": True, "message": "ok"}, "prod/web (vulcan): start would succeed: ok"),
        ({"state": "failed", "message": "\x1b[2Jred"}, "prod/web (vulcan): start failed: \\x1b[2Jred"),
    ],
)
def test_line_has_the_last_word(members: dict[str, Any], expected: str) -> None:
    """One line, whatever the cluster has written: it cannot move the cursor either."""
    assert line(Act("start", VM, operation=operation(**members))) == expected


def test_act_without_an_answer_is_not_a_refusal() -> None:
    """Whether it was done is not known, and the sentence names the command that shows it."""
    lost = Act("start", VM, error=ApiError("the api at http://h does not answer: not in time"))
    refused = Act("start", VM, error=ApiError("it runs already", status=409, problem={"reason": "alreadyRunning"}))
    assert (lost.state, refused.state) == ("unknown", "refused")
    assert lost.text.endswith("is not known, summit-connect operations --vm 0b2f6f0e shows it")
    assert [item.get("reason") for item in as_json([lost, refused])["refused"]] == [None, "alreadyRunning"]


def test_older_step_changes_nothing() -> None:
    """After a break the feed may repeat what a list has shown."""
    act = Act("start", VM, operation=operation(state="running", revision=9))
    assert not act.update(operation(revision=7))
    assert not act.update(operation(revision=9))
    assert act.update(operation(state="succeeded", revision=10))
    assert act.has_succeeded


def test_table_folds_long_words() -> None:
    """A sentence of the cluster that is longer than the terminal is there to its end."""
    words = "0/6 nodes are available: " + "insufficient memory, " * 8 + "end"
    out = io.StringIO()
    act = Act("start", VM, operation=operation(state="running", progress=words))
    Console(file=out, width=100).print(table([act]))
    header, *rows = out.getvalue().splitlines()
    assert header.split() == ["VM", "CLUSTER", "ACTION", "STATE", "TIME", "PROGRESS"]
    assert rows[0].split()[:4] == ["prod/web", "vulcan", "start", "running"]
    assert len(rows) > 1
    assert rows[-1].rstrip().endswith("end")


def test_interrupted_command_names_what_goes_on() -> None:
    """What has ended needs no word; a request without an answer may have been received."""
    ended = Act("start", VM, operation=operation(state="succeeded"))
    running = Act("start", VM, operation=operation(state="running", id="1c2d"))
    assert going_on([ended]) == []
    assert going_on([ended, running]) == [
        "the operation goes on",
        "  to follow: summit-connect operations -w 1c2d",
        "  to cancel: summit-connect operations cancel 1c2d",
    ]
    (unknown,) = going_on([Act("start", VM)])
    assert "has the request for prod/web is not known" in unknown


def test_list_shows_ages_as_kubectl_does() -> None:
    """An operation that runs has no duration yet."""
    now = ASKED + timedelta(minutes=3, seconds=5)
    running = listing.row(operation(state="running", progress="Scheduling"), now)
    assert running == ("0f8fad5b", "start", "prod/web", "vulcan", "running", "3m", None, "ada", "Scheduling")
    ended = listing.row(operation(state="failed", message="no node", endedAt="2026-11-29T06:01:05.5Z"), now)
    assert ended[4:7] == ("failed", "3m", "65s")
    ages = [listing.short(timedelta(seconds=n)) for n in (0, 119, 120, 7200, 200_000)]
    assert ages == ["0s", "119s", "2m", "2h", "2d"]


def test_watch_selects_as_the_list_does() -> None:
    """The feed knows the place only; the other filters are ours."""
    shown = operation(state="running")
    assert selects({}, shown)
    assert selects({"state": ["running", "failed"], "vm": ["0b2f6f0e"], "ended": ["false"], "since": ["2h"]}, shown)
    for filters in ({"state": ["failed"]}, {"ended": ["true"]}, {"by": ["eve"]}, {"parent": ["p"]}, {"vm": ["x"]}):
        assert not selects(filters, shown), filters
    assert not selects({}, {})


def test_durations_and_sizes_have_units() -> None:
    """As kubectl takes them. A size without a unit would be bytes there and MiB here."""
    assert [seconds(text) for text in ("90", "90s", "10m", "1h30m", "2d")] == [90, 90, 600, 5400, 172_800]
    assert [mebibytes(text) for text in ("4096Mi", "4Gi", "1Ti")] == [4096, 4096, 1 << 20]
    assert labels(["zone=b,disk=ssd", "topology.kubernetes.io/rack="]) == {
        "zone": "b",
        "disk": "ssd",
        "topology.kubernetes.io/rack": "",
    }
    for read, wrong in ((seconds, "soon"), (seconds, ""), (seconds, "-5"), (mebibytes, "4096"), (mebibytes, "4G")):
        with pytest.raises(typer.BadParameter, match="write it as"):
            read(wrong)
    for wrong in ("zone", "=b", "zone!=b"):
        with pytest.raises(typer.BadParameter, match="write it as"):
            labels([wrong])


def test_since_is_a_time_or_how_long_ago() -> None:
    """In UTC, as the api wants it."""
    assert ago("2026-11-23T13:00:00+01:00") == "2026-11-23T12:00:00+00:00"
    hour = datetime.now(UTC) - datetime.fromisoformat(ago("1h"))
    assert timedelta(minutes=59) < hour < timedelta(minutes=61)
    with pytest.raises(typer.BadParameter):
        ago("2026-11-41")


def test_each_action_is_a_command() -> None:
    """Under its name, with a sentence that says what it does."""
    commands = {command.name: command.help for command in app.registered_commands}
    assert commands.keys() == set(Action)
    assert all(commands.values())
