"""One way to connect to NATS, and to stay connected for ever.

The client keeps trying, and logs an outage as one condition instead of each attempt. Measured facts behind the options:
nats-py gives up after 60 attempts by default, waits 2 s between them, and logs a traceback for each.
"""

import asyncio
import contextlib
import logging
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoServersError, StaleConnectionError, UnexpectedEOF
from pydantic import SecretStr

from summit_models.subject import INGEST_ROOT
from summit_runtime import metrics
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.nats.connection.address import Address, parse
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.nats.connection.login import NO_FILES, Login
from summit_runtime.nats.rights import inbox, needed
from summit_runtime.process import FatalError
from summit_runtime.settings import public_address

logger = logging.getLogger("summit.nats")

MINIMUM_SERVER = (2, 14, 3)
"""Older ones corrupt compressed blocks when they compact (nats-server #8312)."""
INSTALL_NEWER = f"install {'.'.join(map(str, MINIMUM_SERVER))} or newer"


@dataclass(frozen=True, kw_only=True)
class NatsTimes:
    """Times of a connection that nobody needs to set."""

    ping_seconds: float = 5.0
    """How often the connection and the stream are checked."""
    dead_seconds: float = 45.0
    """nats-py gives a silent connection up after 30 s and opens another one; one that stays silent is broken."""
    answer_seconds: float = 5.0
    """For the answer to a publish; the publisher sends a batch without one again."""
    loss_check_seconds: float = 5.0
    """How often the publisher checks that the log still has its end, while the connection holds."""
    stored_message_seconds: float = 2.0
    """For the answer to the question whether the log has one message."""
    denied_retry_seconds: tuple[float, float] = (1.0, 30.0)
    """First and longest pause before denied events are sent again, and so before a granted permission is used."""


TIMES = NatsTimes()


class NotPermittedError(NatsError):
    """The user may not publish to the subject of a request."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"NATS does not permit the user of NATS_URL to publish {needed(subject)!r}")
        self.subject = subject


class EventClient(Client):
    """A client that reports each event that the server did not permit: a plain publish has no other answer."""

    def __init__(self, times: NatsTimes = TIMES, clock: Clock | None = None, login: Login = NO_FILES) -> None:
        super().__init__()
        self.times = times
        self.clock = clock or Clock()
        """The clock of its server."""
        self.on_denied: Callable[[str], object] = lambda _: None
        """Called with the subject, in lower case."""
        self.denial = Condition(logger)
        """The publisher ends it when it stores an event again that was denied."""
        self._address = Address((), {})
        self._login = login
        self._asking: list[tuple[str, asyncio.Timeout]] = []
        """The requests under way: their subjects, and what ends them early."""

    @property
    def inbox(self) -> str:
        """The prefix of the subjects on which answers arrive."""
        return self._inbox_prefix.decode()

    async def dial(self, url: str, **options: Any) -> None:
        """Connect to any of the servers in a NATS_URL, with the options of nats-py's `connect`.

        Raises ValueError for an address that cannot be used, and what `connect` raises.
        """
        self._address = parse(url)
        await self.connect(list(self._address.servers), **options)

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """What the next connection trusts and shows: nats-py asks for it each time, after what the server requires."""
        if self._server_info.get("tls_verify") and self._login.cert is None:  # it would only close the connection
            raise NatsError("it asks for a client certificate: set NATS_CERT and NATS_KEY")
        return self._login.tls()

    def _connect_command(self) -> bytes:
        """Log in to the server that was reached, with its own credentials, in plain text only if that was asked for.

        nats-py calls this between TLS and the login, and has no other place for it (2.12): it takes credentials from
        addresses without decoding them, sends those of `tls://` to a server that has no TLS, and reads for ever in a
        credentials file that has no JWT.
        """
        server = self._current_server
        if server is None:
            raise NatsError("no server was reached")
        scheme, name = server.uri.scheme, server.uri.netloc
        is_plain = scheme == "ws" or (scheme != "wss" and not self._server_info.get("tls_required"))
        if is_plain and (scheme == "tls" or self._login.wants_tls):
            asks = "tls:// asks" if scheme == "tls" else "NATS_CA and NATS_CERT ask"
            raise NatsError(f"{name} has no TLS, and {asks} for it; no credentials were sent")
        self.options.update(self._address.credentials_of(name)._asdict())
        if signer := self._login.signer():
            jwt = signer.jwt
            self._auth_configured, self._signature_cb, self._public_nkey = True, signer.sign, signer.public_key
            self._user_jwt_cb = (lambda: jwt) if jwt else None
        return super()._connect_command()

    async def _process_err(self, err_msg: str) -> None:
        """End the requests that are not permitted; connect again when the credentials have expired or were revoked.

        Their file may have others by now, but nats-py (2.16) closes for good.
        """
        if (found := _VIOLATION.search(err_msg)) and found["what"] == "publish to":
            for subject, until_denied in self._asking:
                if subject == found["subject"]:
                    until_denied.reschedule(asyncio.get_running_loop().time())
        if _is_expired(err_msg):
            await self._process_op_err(StaleConnectionError())
        else:
            await super()._process_err(err_msg)

    async def _process_pong(self) -> None:
        """Take the answer to a ping that nobody waits for any more, too: nats-py (2.12) stops reading for good."""
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """Ask, as nats-py does, and end when cancelled. Raises NotPermittedError at once, where nats-py waits in vain.

        nats-py waits by `asyncio.wait_for` of Python 3.11, which drops a cancellation that comes with the answer. A
        task of a group is cancelled only once: a watcher that stopped at that moment never ended.
        """
        try:
            async with asyncio.timeout(None) as until_denied:
                asked = (subject.lower(), until_denied)
                self._asking.append(asked)
                try:
                    return await self._request(subject, payload, timeout, old_style, headers)
                finally:
                    self._asking.remove(asked)
        except TimeoutError:
            if until_denied.expired():
                raise NotPermittedError(subject) from None
            raise

    async def _request(
        self, subject: str, payload: bytes, seconds: float, old_style: bool, headers: dict[str, Any] | None
    ) -> Msg:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            return await super().request(subject, payload, seconds, old_style, headers)
        finally:
            if task and task.cancelling() > before:
                raise asyncio.CancelledError


@asynccontextmanager
async def connected(
    url: SecretStr, *, name: str, times: NatsTimes = TIMES, clock: Clock | None = None, login: Login = NO_FILES
) -> AsyncIterator[EventClient]:
    """A connection for the length of the block. `clock` is set by its server (see `Clock.follow`)."""
    client = await connect(url, name=name, times=times, clock=clock, login=login)
    try:
        yield client
    finally:
        await close(client)


async def connect(
    url: SecretStr, *, name: str, times: NatsTimes = TIMES, clock: Clock | None = None, login: Login = NO_FILES
) -> EventClient:
    """Connect and stay connected for ever; wait until the server is there, and check that it is new enough.

    Raises FatalError when the server is older than 2.14.3, and ValueError for an address that cannot be used.
    """
    address = public_address(url.get_secret_value())
    user = parse(url.get_secret_value()).user
    backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
    reports = _Reports(address, login)
    while reports.client is None:
        client = EventClient(times, clock, login)
        try:
            await client.dial(
                url.get_secret_value(),
                name=name,
                inbox_prefix=inbox(user if _TOKEN.fullmatch(user) else name).encode(),
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # nats-py only sleeps for so long
                connect_timeout=5,
                ping_interval=10,
                max_outstanding_pings=2,
                error_cb=reports.failed,
                disconnected_cb=reports.lost,
                reconnected_cb=reports.reconnected,
            )
            reports.connected(client)
        except (NoServersError, NatsError, OSError, TimeoutError):  # `failed` has logged it
            await asyncio.sleep(backoff.next_seconds())
    version = client.connected_server_version
    if (version.major, version.minor, version.patch) < MINIMUM_SERVER:
        raise FatalError(
            f"NATS at {address} is version {version.major}.{version.minor}.{version.patch}; {INSTALL_NEWER}"
        )
    return client


async def close(client: Client) -> None:
    """Close the connection, even if its server is away.

    RuntimeError: nats-py writes a last time, and uvloop reports so that the connection is gone.
    """
    with contextlib.suppress(OSError, NatsError, RuntimeError):
        await client.close()


async def watch_connection(client: EventClient) -> None:
    """Return never; raise FatalError when the client has stopped working for good.

    nats-py closes for ever after a protocol error, and its reading may die without a sign: only an answered ping proves
    that it works.
    """
    while True:
        await asyncio.sleep(client.times.ping_seconds)
        if client.is_closed:
            raise FatalError("the NATS client has closed for good; the process restarts")
        if client.is_connected and not await _answers(client):
            raise FatalError(
                f"NATS has not answered for {client.times.dead_seconds:g} s though connected; the process restarts"
            )


async def _answers(client: EventClient) -> bool:
    """Whether this connection answers a ping, or was given up meanwhile."""
    dead_seconds = client.times.dead_seconds
    reconnects, give_up_at = client.stats["reconnects"], time.monotonic() + dead_seconds
    ping = asyncio.create_task(client.flush(timeout=ceil(2 * dead_seconds)))
    try:
        while not ping.done() and time.monotonic() < give_up_at:
            await asyncio.wait({ping}, timeout=1)
            if not client.is_connected or client.stats["reconnects"] != reconnects:
                return True
        return ping.done()
    finally:
        ping.cancel()
        await asyncio.gather(ping, return_exceptions=True)


_VIOLATION = re.compile(r'permissions violation for (?P<what>publish to|subscription to) "(?P<subject>[^"]*)"')
"""The server's message, which nats-py hands on in lower case."""
_TOKEN = re.compile(r"[-\w]+", re.ASCII)
"""A user whose name can be a token of a subject."""


def is_refusal(error: Exception) -> bool:
    """Whether the server refuses who we are: nats-py has no type for it while it connects."""
    return "authorization violation" in str(error).lower() or _is_expired(str(error))


def is_denied(error: Exception | None) -> bool:
    """Whether the server does not permit the user to publish or to subscribe."""
    return bool(_VIOLATION.search(str(error or "")))


def _is_expired(error: str) -> bool:
    """Whether it is about credentials that were good before. Source: nats-server, client.go, authExpired and others."""
    return any(f"authentication {end}" in error.lower() for end in ("expired", "revoked"))


def explained(error: Exception, login: Login) -> str:
    """Why a server cannot be reached, with what to do where that is known."""
    if is_refusal(error):
        return f"it refuses {login.shown}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted, {error.verify_message}: is NATS_CA the authority that issued it?"
    return str(error)


class _Reports:
    """Logs what nats-py calls back about one connection."""

    def __init__(self, address: str, login: Login) -> None:
        self.client: EventClient | None = None
        self._address = address
        self._login = login
        self._away = Condition(logger)
        self._errors = Condition(logger)

    def connected(self, client: EventClient) -> None:
        self.client = client
        self._here()

    async def failed(self, error: Exception) -> None:
        """Log a failure: an attempt to connect, a missing permission, or one of our own callbacks.

        nats-py reports them nowhere else. Within its first `connect` it tries for ever too, every 0.2 s.
        """
        client = self.client
        if client is not None and client.is_connected:
            if not isinstance(error, UnexpectedEOF | StaleConnectionError) and not self._denied(client, str(error)):
                self._errors.holds("NATS at %s: %s", self._address, error, cause=str(error))
        elif client is None or (self._away.active and not client.is_closed):  # else `lost` logs first
            self._away.holds(
                "NATS at %s cannot be reached (%s): publishing and reading wait; trying again",
                self._address,
                explained(error, self._login),
            )

    def _denied(self, client: EventClient, error: str) -> bool:
        """Whether the error is about a missing permission. It is logged once, and once for all events of a cluster."""
        if not (found := _VIOLATION.search(error)):
            return False
        subject, is_inbox = found["subject"], found["subject"].startswith(client.inbox.lower())
        permission = f"{client.inbox}.>" if is_inbox else needed(subject)
        if not subject.startswith(f"{INGEST_ROOT}."):
            self._errors.holds(
                "NATS at %s does not permit the user of NATS_URL to %s %r: give that user this permission",
                self._address,
                "publish" if found["what"] == "publish to" else "subscribe to",
                permission,
                cause=permission,
            )
            return True
        client.denial.holds(
            "NATS at %s does not permit the user of NATS_URL to publish events, such as %r: give that user the "
            "permission to publish %r; until then these events are not stored",
            self._address,
            subject,
            permission,
            cause=permission,
        )
        client.on_denied(subject)
        return True

    async def lost(self) -> None:
        if self.client is None or self.client.is_closed:
            return  # closed on purpose
        metrics.NATS_CONNECTED.set(0)
        self._away.holds("lost the connection to NATS at %s; publishing and reading wait", self._address)

    async def reconnected(self) -> None:
        metrics.NATS_RECONNECTS.inc()
        self._here()

    def _here(self) -> None:
        metrics.NATS_CONNECTED.set(1)
        self._away.ends("connected to NATS at %s", self._address)
