"""One clock for all processes: that of the NATS server, which also dates what it stores.

Clocks of machines differ. A watcher whose clock is a day ahead would keep its clusters fresh for a day after its death,
and one that is ten minutes behind would make them stale while they are watched. So each process asks the server for its
time every few seconds, and continues it with a clock that nobody sets.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from summit_models.subject import STREAM
from summit_runtime.condition import Condition
from summit_runtime.steady import steady

logger = logging.getLogger("summit.nats")

TOLERATED_SECONDS = 2.0
"""A clock that NTP sets is a hundred times better; people who compare times of two machines do not notice less."""
ANSWER_SECONDS = 2.0
"""A slower answer says little about the time. The next question follows."""


def _own_time() -> datetime:
    return datetime.now(UTC)


class Clock:
    """The time of the NATS server; until it has answered, that of this machine."""

    def __init__(self, own_time: Callable[[], datetime] = _own_time, steady_time: Callable[[], float] = steady) -> None:
        self._own_time = own_time
        self._steady = steady_time
        self._server: tuple[datetime, float] | None = None
        """A time of the server, and the steady clock then."""
        self._off = Condition(logger)

    def now(self) -> datetime:
        """The time, in UTC."""
        if self._server is None:
            return self._own_time()
        time_then, then = self._server
        return time_then + timedelta(seconds=self._steady() - then)

    def shared(self, own: datetime) -> datetime:
        """The server's time at a moment that the clock of this machine has given."""
        return own - self._ahead

    def earlier(self) -> datetime | None:
        """The time by the clock that is behind, for what cannot be undone: this machine's clock may be wrong, and the
        server's too. None until the server has answered.
        """
        return min(self.now(), self._own_time()) if self._server else None

    @property
    def offset_seconds(self) -> int | None:
        """How far the clock of this machine is ahead, negative behind; None within two seconds."""
        seconds = self._ahead.total_seconds()
        return round(seconds) if abs(seconds) >= TOLERATED_SECONDS else None

    async def follow(self, client: Client, pause_seconds: float) -> None:
        """Ask the server for its time again and again, for ever, and log when the clock of this machine is wrong."""
        while True:
            await self.ask(client)
            self._report()
            await asyncio.sleep(pause_seconds)

    async def ask(self, client: Client) -> None:
        """Ask the server for its time once; without an answer nothing changes."""
        asked_at = self._steady()
        try:
            reply = await client.request(f"$JS.API.STREAM.INFO.{STREAM}", timeout=ANSWER_SECONDS)
            answer = _decode(reply.data)
        except (NatsError, TimeoutError, msgspec.DecodeError):
            return
        if answer.ts is not None:
            self.note(answer.ts, asked_at, self._steady())

    def note(self, server: datetime, asked_at: float, answered_at: float) -> None:
        """Note a time that the server gave between two readings of the steady clock.

        The known time stays if it is possible by this answer: else it would tremble with the network.
        """
        if self._server is not None:
            time_then, then = self._server
            given_at = then + (server - time_then).total_seconds()
            if asked_at <= given_at <= answered_at:
                return
        self._server = server, (asked_at + answered_at) / 2

    @property
    def _ahead(self) -> timedelta:
        return self._own_time() - self.now() if self._server else timedelta(0)

    def _report(self) -> None:
        if seconds := self.offset_seconds:
            self._off.holds(
                "the clock of this machine is %d s %s that of NATS: times in events and states are those of NATS. "
                "Does NTP run on both?",
                abs(seconds),
                "ahead of" if seconds > 0 else "behind",
                extra={"clock_offset_seconds": seconds},
            )
        else:
            self._off.ends("the clock of this machine agrees with that of NATS")


class _Answer(msgspec.Struct):
    ts: datetime | None = None


_decode = msgspec.json.Decoder(_Answer).decode
