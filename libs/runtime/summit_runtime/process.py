"""One way to start and stop a process: settings, log, signals, and the only `except Exception` there is.

SIGTERM and SIGINT set `stop`; the service finishes what it holds and returns. A second signal ends it at once.
"""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from summit_runtime import log
from summit_runtime.settings import ProcessSettings, SettingsError

logger = logging.getLogger("summit.process")

SettingsT = TypeVar("SettingsT", bound=ProcessSettings)


class FatalError(Exception):
    """Something only a person can mend; the sentence says what to do. The process ends with exit code 1."""


def main(
    name: str, settings_class: type[SettingsT], service: Callable[[SettingsT, asyncio.Event], Awaitable[None]]
) -> None:
    """Run `service(settings, stop)` until it returns, and exit with 0, 1 (failed) or 2 (wrong settings)."""
    try:
        settings = settings_class.from_environment()
    except SettingsError as error:
        sys.exit(f"{name}: {error}")
    log.configure(settings.log_level, settings.log_format)
    logger.info("%s starts: %s", name, settings)
    sys.exit(asyncio.run(_supervise(name, settings, service)))


async def _supervise(
    name: str, settings: SettingsT, service: Callable[[SettingsT, asyncio.Event], Awaitable[None]]
) -> int:
    stop = asyncio.Event()
    _on_signals(name, stop)
    try:
        await service(settings, stop)
    except FatalError as error:
        logger.error("%s cannot go on: %s", name, error)  # noqa: TRY400  the sentence is the message
        return 1
    except BaseExceptionGroup as group:
        fatal, rest = group.split(FatalError)
        for leaf in _leaves(fatal):
            logger.error("%s cannot go on: %s", name, leaf)  # noqa: TRY400
        if rest:
            logger.exception("%s failed", name, exc_info=rest)
        return 1
    except Exception:
        logger.exception("%s failed", name)
        return 1
    logger.info("%s stopped", name)
    return 0


def _on_signals(name: str, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        logger.info("%s stops on %s", name, number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)


def _leaves(group: BaseExceptionGroup[BaseException] | None) -> list[BaseException]:
    if group is None:
        return []
    return [leaf for e in group.exceptions for leaf in (_leaves(e) if isinstance(e, BaseExceptionGroup) else [e])]


async def sleep_unless(stop: asyncio.Event, seconds: float) -> bool:
    """Wait `seconds` or until `stop` is set, whichever is first; tell whether it is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()
