"""One way to start and stop a process: settings, log, signals, and the only `except Exception` there is.

SIGTERM and SIGINT set `stop`; the service finishes its work and returns. A second signal ends it at once. SIGHUP does
the same in a terminal that is closed, and nothing elsewhere.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from summit_runtime import garbage, log, open_files, tracing
from summit_runtime.backoff import Backoff
from summit_runtime.settings import ProcessSettings, SettingsError
from summit_runtime.waiting import run_until, uncancelled

logger = logging.getLogger("summit.process")

GRACE_SECONDS = 3.5
"""Time from SIGTERM on for a service to finish its work. Above each service's own limits."""

SettingsT = TypeVar("SettingsT", bound=ProcessSettings)


class FatalError(Exception):
    """Only a person or a restart can help; the sentence explains. The process ends with exit code 1."""


def main(
    name: str,
    settings_class: type[SettingsT],
    service: Callable[[SettingsT, asyncio.Event], Coroutine[Any, Any, None]],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run `service(settings, stop)` until it returns, and exit with 0, 1 (failed) or 2 (wrong settings).

    `loop_factory` makes the event loop, uvloop's for example; asyncio's own by default.
    """
    if len(sys.argv) > 1:  # `--help`, or a command meant for the container of another service
        sys.stderr.write(f"{name} takes no arguments, only environment variables: docs/operations.md has them\n")
        sys.exit(2)
    try:
        settings = settings_class.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(2)
    log.configure(settings.log_level, settings.log_format)
    garbage.collect_rarely()
    open_files.allow_many()
    logger.info("%s starts with %s", name, str(settings) or "all settings at their defaults")
    try:
        with tracing.exporting(f"summit-{name}"), asyncio.Runner(loop_factory=loop_factory) as runner:
            sys.exit(runner.run(_run(name, settings, service)))
    except SettingsError as error:
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(2)


async def _run(
    name: str, settings: SettingsT, service: Callable[[SettingsT, asyncio.Event], Coroutine[Any, Any, None]]
) -> int:
    stop = asyncio.Event()
    _on_signals(name, stop)
    try:
        await supervised(name, lambda: run_until(stop, service(settings, stop), lambda: GRACE_SECONDS))
    except FatalError as error:
        logger.error("%s cannot go on: %s", name, error)  # noqa: TRY400  the sentence is the message
        return 1
    logger.info("%s stopped", name)
    return 0


async def supervised(
    name: str,
    work: Callable[[], Awaitable[None]],
    *,
    retry: Backoff | None = None,
    failed: Callable[[Exception, float], Awaitable[None]] | None = None,
) -> None:
    """Run `work` to its end. After an unforeseen failure, log it with its traceback and run it again.

    Without `retry`, such a failure ends in FatalError; a FatalError inside always does. `failed` reports the failure
    and the seconds until the next attempt instead of the log.
    """
    while True:
        try:
            await uncancelled(work())
        except Exception as error:
            if fatal := _fatal_in(error):
                raise fatal from error
            if retry is None:
                logger.exception("%s failed", name)
                raise FatalError("the failure above is unforeseen; please report it") from error
            delay = retry.next_seconds()
            if failed is not None:
                await failed(error, delay)
            else:
                logger.exception("%s failed, and starts again in %.1f s", name, delay)
        else:
            return
        await asyncio.sleep(delay)


def _fatal_in(error: BaseException) -> FatalError | None:
    """The FatalError in an error, also one that a TaskGroup has wrapped."""
    if isinstance(error, FatalError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((fatal for inner in error.exceptions if (fatal := _fatal_in(inner))), None)
    return None


def _on_signals(name: str, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        logger.info("%s stops on %s", name, number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    on_hangup(on_signal)


def on_hangup(end: Callable[[signal.Signals], None]) -> None:
    """Handle SIGHUP: call `end` when it comes from the terminal that is closed, and else log that it changes nothing.

    Service managers send it for a reload; what can be read again is read whenever it changes.
    """
    loop = asyncio.get_running_loop()
    if sys.stderr.isatty():
        loop.add_signal_handler(signal.SIGHUP, end, signal.SIGHUP)
    else:
        unchanged = "SIGHUP changes nothing: files are read again when they change, and settings at the next start"
        loop.add_signal_handler(signal.SIGHUP, logger.info, unchanged)
