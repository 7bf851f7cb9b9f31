"""Switches for requests that act on VMs: slow, refused, lost, or executed without an answer.

    cluster.faults.acts.slow("start", 0.5)              executed later
    cluster.faults.acts.refuse("migrate", 422, "…", webhook="policy.example.com")
    cluster.faults.acts.lose_request("stop")            the connection breaks, nothing happened
    cluster.faults.acts.lose_answer("restart", times=1) executed, then the connection breaks
    cluster.faults.acts.time_out("delete")              executed, and the answer is 504
    held = cluster.faults.acts.hold("restart")          executed; answered when held.release() is called

Each returns a Mishap, whose `met` counts the requests it has met. Dry runs are never spoilt.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from summit_simulator.api.acts import Act
from summit_simulator.api.requests import RequestInfo
from summit_simulator.objects import status
from summit_simulator.objects.resources import SUBRESOURCES_GROUP, VIRTUALMACHINES
from summit_simulator.objects.status import StatusError

Answering = Literal["answer", "lose", "time out", "hold"]


@dataclass(eq=False, slots=True)
class Mishap:
    """Spoils the requests for one action."""

    action: str
    name: str | None  # of the VM; None: any
    left: int | None  # how many times more; None is for ever
    delay_seconds: float = 0.0
    refusal: StatusError | None = None
    executes: bool = True
    answering: Answering = "answer"
    met: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def fits(self, act: Act) -> bool:
        """Whether it spoils this request; uses up one of the times if so."""
        if self.action != act.action or self.name not in (None, act.name) or self.left == 0 or act.dry_run:
            return False
        if self.left is not None:
            self.left -= 1
        self.met += 1
        return True

    def release(self) -> None:
        """Answer what was held back, and everything from now on."""
        self._released.set()

    async def spoil(
        self, info: RequestInfo, execute: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Execute the request or not, and answer or not. Raises ConnectionAbortedError to break the connection."""
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if self.refusal is not None:
            raise _as_seen_through(info, self.refusal)
        # A refusal by the cluster is executed as well: who loses its answer does not learn of it.
        answer = await _with_errors(execute) if self.executes else web.Response(status=500)
        if self.answering == "lose":
            raise ConnectionAbortedError
        if self.answering == "time out":
            raise StatusError(504, "Timeout: request did not complete within the allotted timeout")
        if self.answering == "hold":
            await self._released.wait()
        if isinstance(answer, StatusError):
            raise answer
        return answer


class Mishaps:
    """The mishaps of one cluster; a later one goes before an earlier one."""

    def __init__(self) -> None:
        self._mishaps: list[Mishap] = []
        self._running: set[asyncio.Task[web.StreamResponse]] = set()

    def slow(self, action: str, seconds: float, *, name: str | None = None, times: int | None = None) -> Mishap:
        """Execute after that many real seconds, even if the caller has hung up by then."""
        return self._add(Mishap(action, name, times, delay_seconds=seconds))

    def refuse(
        self,
        action: str,
        code: int,
        message: str = "refused by the simulator",
        *,
        webhook: str | None = None,
        name: str | None = None,
        times: int | None = None,
    ) -> Mishap:
        """Refuse without executing: as an admission webhook of that name, or as the apiserver itself."""
        error = status.denied(webhook, message, code=code) if webhook else StatusError(code, message)
        return self._add(Mishap(action, name, times, refusal=error))

    def lose_request(self, action: str, *, name: str | None = None, times: int | None = None) -> Mishap:
        """Break the connection, without executing."""
        return self._add(Mishap(action, name, times, executes=False, answering="lose"))

    def lose_answer(self, action: str, *, name: str | None = None, times: int | None = None) -> Mishap:
        """Execute, then break the connection."""
        return self._add(Mishap(action, name, times, answering="lose"))

    def time_out(
        self, action: str, *, executes: bool = True, name: str | None = None, times: int | None = None
    ) -> Mishap:
        """Answer 504 Timeout, after executing or without."""
        return self._add(Mishap(action, name, times, executes=executes, answering="time out"))

    def hold(self, action: str, *, name: str | None = None, times: int | None = None) -> Mishap:
        """Execute, and answer only after `release`."""
        return self._add(Mishap(action, name, times, answering="hold"))

    def end(self, mishap: Mishap) -> None:
        """Spoil nothing more with it, and answer what it held back."""
        self._mishaps.remove(mishap)
        mishap.release()

    def clear(self) -> None:
        for mishap in tuple(self._mishaps):
            self.end(mishap)

    async def run(
        self, mishap: Mishap, info: RequestInfo, execute: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let a mishap spoil a request to its end: a caller that hangs up does not take its request back."""
        task = asyncio.ensure_future(mishap.spoil(info, execute))
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def stop(self) -> None:
        """Give up on what still waits: the cluster closes."""
        for task in self._running:
            task.cancel()

    def _forget(self, task: asyncio.Task[web.StreamResponse]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # who called has it, unless it has hung up

    def mishap_of(self, act: Act) -> Mishap | None:
        """The mishap that spoils a request, if any."""
        return next((one for one in reversed(self._mishaps) if one.fits(act)), None)

    def _add(self, mishap: Mishap) -> Mishap:
        self._mishaps.append(mishap)
        return mishap


def _as_seen_through(info: RequestInfo, refusal: StatusError) -> StatusError:
    """virt-api wraps what it gets for its own write of the VM or migration into a 500."""
    is_webhook = not refusal.reason
    is_write = info.group == SUBRESOURCES_GROUP and info.resource_name == VIRTUALMACHINES.plural
    return status.internal(str(refusal)) if is_webhook and is_write else refusal


async def _with_errors(execute: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse | StatusError:
    try:
        return await execute()
    except StatusError as error:
        return error
