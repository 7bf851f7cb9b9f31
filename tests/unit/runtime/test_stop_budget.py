"""Ten seconds from SIGTERM to the end of everything, divided so that no process is killed while it finishes."""

import summit_api.http.server
import summit_projector.settings
import summit_watcher.settings
from summit_runtime.process import GRACE_SECONDS
from summit_standalone import serve
from summit_standalone.backend import STOP_SECONDS

OWN_SECONDS = {
    "watcher": summit_watcher.settings.TIMES.flush_seconds,
    "api": summit_api.http.server.GRACEFUL_SHUTDOWN_SECONDS,
    "projector": summit_projector.settings.TIMES.stop_seconds,
}
CLOSING_SECONDS = 1.0
SERVERS_SECONDS = 1.0


def test_a_service_that_uses_its_own_time_to_stop_is_not_killed() -> None:
    """Its own time ends a second before its parent kills it; in that second it closes connections."""
    assert all(STOP_SECONDS[name] >= own + CLOSING_SECONDS for name, own in OWN_SECONDS.items())


def test_all_stop_within_ten_seconds_though_each_uses_its_time() -> None:
    """Watcher and api stop together, then projector, servers (0.2 s, measured), and a demo's simulator."""
    together = max(STOP_SECONDS["watcher"], STOP_SECONDS["api"])
    slowest = together + STOP_SECONDS["projector"] + SERVERS_SECONDS + STOP_SECONDS["simulator"]
    assert slowest <= serve.STOP_SECONDS < 10


def test_a_session_has_the_time_to_store_its_last_positions() -> None:
    """Its task is cancelled again only after that, and still within the time that its process has."""
    times = summit_watcher.settings.TIMES
    assert times.last_checkpoint_seconds < times.end_seconds < GRACE_SECONDS
