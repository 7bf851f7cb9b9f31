"""The acts of chaos on processes and clusters: each breaks one thing, waits, and repairs it."""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from soak.part import Part
from soak.world import Site

from summit_simulator.api.faults import GARBAGE, INVALID_UTF8
from summit_simulator.objects.resources import KUBEVIRT_GROUPS

KUBEVIRT = "kubevirt.io"
"""Part of the paths of all that is watched."""
VMS, INSTANCES, MIGRATIONS = "virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations"
INSTANCETYPES = "virtualmachineclusterinstancetypes"
RESETS_EVERY_SECONDS = 1.0
"""New connections are made in between, so that each reset finds some."""


async def _lasting(seconds: float) -> None:
    """Keep the fault for the time in the schedule; there is no event to wait for."""
    await asyncio.sleep(seconds)


# Processes


async def end(how: signal.Signals, part: Part, seconds: float) -> None:
    """A process ends, is away for a while, and starts again."""
    async with part.busy:
        await part.end(how)
        await _lasting(seconds)
        await part.start()


async def freeze(part: Part, seconds: float) -> None:
    """A process stands still: every connection stays open, nothing is answered."""
    async with part.busy, part.frozen():
        await _lasting(seconds)


async def rebuild(part: Part, seconds: float) -> None:
    """The tables are made once more from the log, beside the live ones; if that takes too long, it is killed."""
    command = (sys.executable, "-m", "summit_projector.rebuild")
    process = await asyncio.create_subprocess_exec(
        *command, env=part.environment, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    killing = asyncio.get_running_loop().call_later(seconds, process.kill)
    output, _ = await process.communicate()
    killing.cancel()
    if b"were corrected" in output:
        part.complaints.append(f"a rebuild found wrong rows: {output.decode(errors='replace')}")


# Clusters


async def refuse(site: Site, seconds: float) -> None:
    """The API server is down."""
    site.cluster.faults.refuse_connections()
    await _lasting(seconds)
    await site.cluster.faults.accept_connections()


async def restart(site: Site, seconds: float) -> None:
    """The API server restarts: when it is back, it does not know the resourceVersions of before."""
    site.cluster.faults.refuse_connections()
    await _lasting(seconds)
    site.cluster.forget_history()
    await site.cluster.faults.accept_connections()


async def abort(site: Site, seconds: float) -> None:
    """Every connection is reset, again and again."""
    for _ in range(1 + int(seconds / RESETS_EVERY_SECONDS)):
        site.cluster.faults.abort_connections()
        await _lasting(RESETS_EVERY_SECONDS)


async def half_open(site: Site, seconds: float) -> None:
    """Connected, and silent in both directions."""
    site.cluster.faults.freeze()
    await _lasting(seconds)
    site.cluster.faults.unfreeze()


async def expire(site: Site, _: float) -> None:
    """The window of history moves to now, and every watch ends."""
    site.cluster.forget_history()
    site.cluster.faults.close_streams()


async def expire_lists(site: Site, seconds: float) -> None:
    """Streaming lists are off, the window moves, and every list loses its snapshot on the second page."""
    site.cluster.faults.watch_list = False
    with answering(site, 410, verb="list", page=2):
        await expire(site, seconds)
        await _lasting(seconds)
    site.cluster.faults.watch_list = True


async def close_streams(site: Site, _: float) -> None:
    site.cluster.faults.close_streams(abort=True)


async def close_at_once(site: Site, seconds: float) -> None:
    """Each watch is answered and ends before its first event."""
    site.cluster.faults.close_watches_at_once = True
    site.cluster.faults.close_streams()
    await _lasting(seconds)
    site.cluster.faults.close_watches_at_once = False


async def send_garbage(site: Site, _: float) -> None:
    """Lines that cannot be read, a half one, and an error in mid-stream, each to another resource."""
    faults = site.cluster.faults
    faults.send_garbage(VMS, line=GARBAGE)
    faults.send_garbage(INSTANCES, line=INVALID_UTF8)
    faults.send_truncated(MIGRATIONS)
    faults.send_error(500, resource=INSTANCETYPES)


async def send_expired(site: Site, _: float) -> None:
    """410 as an event in mid-stream: what a real server does."""
    site.cluster.faults.send_error(410, "too old resource version")


async def answer(code: int, site: Site, seconds: float, *, retry_after: int | None = None) -> None:
    """Every request is refused with this code, and no watch goes on."""
    with answering(site, code, retry_after=retry_after):
        site.cluster.faults.close_streams()
        await _lasting(seconds)


async def forbid(resource: str, site: Site, seconds: float) -> None:
    """One resource may not be read for a while."""
    rule = site.cluster.access.forbid("*", resource)
    site.cluster.faults.close_streams()
    await _lasting(seconds)
    site.cluster.access.allow(rule)


async def uninstall(site: Site, seconds: float) -> None:
    """KubeVirt is not there for a while."""
    site.cluster.uninstall(KUBEVIRT_GROUPS)
    await _lasting(seconds)
    site.cluster.install(KUBEVIRT_GROUPS)


async def rotate_token(site: Site, seconds: float) -> None:
    """The token is revoked, and only after a while the kubeconfig has the new one."""
    site.cluster.access.revoke("admin")
    site.cluster.access.add_token("admin")
    site.cluster.faults.close_streams()
    await _lasting(seconds)
    site.write_kubeconfig()


async def slow(site: Site, seconds: float) -> None:
    site.cluster.faults.delay_seconds = 1.5
    await _lasting(seconds)
    site.cluster.faults.delay_seconds = 0.0


async def edit_config(site: Site, seconds: float) -> None:
    """For a while datacenters.yaml is half saved; then the cluster's entry names another kubeconfig."""
    site.config.save_half()
    await _lasting(seconds)
    site.kubeconfigs += 1
    site.write_kubeconfig()
    site.config.write()


@contextmanager
def answering(site: Site, code: int, **which: Any) -> Iterator[None]:
    """Answer requests for what is watched with this code while the block runs."""
    given = site.cluster.faults.respond(code, KUBEVIRT, **which)
    yield
    site.cluster.faults.stop_responding(given)
