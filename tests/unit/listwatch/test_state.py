"""The next state after each outcome of a request: resume, pause, verify, or list. Rules of client-go's reflector."""

import pytest

from summit_watcher.kube.errors import (
    AuthError,
    ErrorEvent,
    IdleError,
    LostError,
    ShortWatch,
    StatusError,
    StreamingListError,
    UndecodableLine,
    UnreachableError,
    WatcherError,
)
from summit_watcher.listwatch.state import (
    Listing,
    ListReason,
    Next,
    StreamState,
    Verifying,
    WatchEnd,
    Watching,
    after_list,
    after_silence,
    after_streaming_list,
    after_watch,
    has_regressed,
    needs_confirmation,
)
from summit_watcher.settings import TIMES

EXPIRED = StatusError(410, "Expired", "too old resource version: 5 (9)")
CUT = UndecodableLine("cut", b"{")


def after(watching: Watching, error: WatcherError | None, *, lasted: float = 60.0) -> Next:
    """The state after a watch that came to resourceVersion 7."""
    return after_watch(watching, WatchEnd("7", 1000.0, 1000.0 + lasted, error), TIMES)


def test_a_watch_that_ends_in_good_order_is_resumed_at_once() -> None:
    """The server ends every watch after timeoutSeconds, and that is fine."""
    assert after(Watching("5"), None) == Next(Watching("7"))


def test_a_very_short_watch_earns_a_pause() -> None:
    """Otherwise a server that closes each watch at once, or after an event, would get thousands of requests."""
    following = after(Watching("5"), None, lasted=0.1)
    assert following.state == Watching("7")
    assert isinstance(following.failure, ShortWatch)


@pytest.mark.parametrize(
    "error",
    [
        UnreachableError("refused"),
        AuthError("401"),
        StatusError(429, None, None, 3),
        StatusError(500, None, None),
        StatusError(403, "Forbidden", None),
        StatusError(404, None, None),
    ],
)
def test_a_failure_keeps_the_resource_version(error: WatcherError) -> None:
    """None of these makes the resourceVersion unusable: the watch is resumed after a pause, without a list."""
    assert after(Watching("5"), error) == Next(Watching("7"), error)


def test_a_watch_that_was_cut_is_resumed_after_the_server_is_verified() -> None:
    """Etcd may have been restored meanwhile, and a watch from its future is silent."""
    error = LostError("reset")
    assert after(Watching("5"), error) == Next(Verifying(Watching("7")), error)


def test_a_silent_watch_is_no_failure_if_the_server_answers() -> None:
    """Behind a proxy that drops bookmarks, each quiet watch is silent; the list-watch works all the same."""
    assert after(Watching("5"), IdleError("silent"), lasted=70.0) == Next(Verifying(Watching("7")))


def test_a_watch_is_verified_after_a_long_silence() -> None:
    """Five minutes, in which a backup may have been restored. A list needs no verification."""
    watching, listing = Watching("5"), Listing()
    assert after_silence(watching, 301, TIMES) == Verifying(watching)
    assert after_silence(watching, 299, TIMES) is watching
    assert after_silence(listing, 301, TIMES) is listing


def test_a_watch_that_ends_in_good_order_is_compared_from_time_to_time() -> None:
    """With the state that it has come to. One that was cut is resumed first, as nothing may be missed."""
    due = Watching("5", relist_at=1001.0)
    assert after(due, None) == Next(Listing(ListReason.PERIODIC, at="7", seen="7"))
    assert isinstance(after(due, LostError("reset")).state, Verifying)
    assert after(Watching("5", relist_at=2000.0), None) == Next(Watching("7", relist_at=2000.0))


@pytest.mark.parametrize("error", [EXPIRED, ErrorEvent(410, "Expired", None), StatusError(None, "Gone", None)])
def test_an_expired_resource_version_is_listed_at_once_the_first_time(error: StatusError) -> None:
    """As an HTTP status or, on real servers, as an ERROR event."""
    assert after(Watching("5"), error) == Next(Listing(ListReason.EXPIRED, seen="7", expiries=1))


def test_expiring_again_and_again_earns_a_pause() -> None:
    """A list for each watch would be the heaviest thing we can do to a sick server."""
    again = after(Watching("5", expiries=1), EXPIRED, lasted=0.1)
    assert again == Next(Listing(ListReason.EXPIRED, seen="7", expiries=2), EXPIRED)


def test_an_event_before_each_expiry_does_not_spare_the_pause() -> None:
    """A watch that gave one event and then 410, again and again, cost 14 000 requests in 40 s."""
    watching = Watching("5")
    failures = []
    for _ in range(3):
        following = after(watching, EXPIRED, lasted=0.1)
        assert isinstance(following.state, Listing)
        failures.append(following.failure)
        watching = Watching("6", expiries=following.state.expiries)
    assert failures == [None, EXPIRED, EXPIRED]


def test_a_watch_that_lasted_spares_the_pause_again() -> None:
    """Resource versions expire now and then on any server."""
    assert after(Watching("5", expiries=4), EXPIRED, lasted=10.0).failure is None


def test_three_unreadable_watches_at_one_place_lead_to_a_list() -> None:
    """A list steps over the unreadable line; until then the watch begins again before it."""
    state: StreamState = Watching("7")
    for _ in range(3):
        assert isinstance(state, Watching)
        state = after(state, CUT, lasted=0.1).state
    assert state == Listing(ListReason.UNREADABLE, seen="7")


def test_progress_resets_the_count_of_setbacks() -> None:
    """Three failures in a row count, not three in a week."""
    state = after(Watching("5", setbacks=2), ErrorEvent(500, None, "etcd")).state
    assert state == Watching("7", setbacks=1)


@pytest.mark.parametrize(
    "error",
    [StatusError(400, "BadRequest", "Invalid value"), StatusError(504, "Timeout", "Too large resource version: 9")],
)
def test_a_resource_version_that_the_server_cannot_use_is_dropped(error: StatusError) -> None:
    """It is not a number, or from the future, as when another cluster answers."""
    assert isinstance(after(Watching("5"), error).state, Listing)


def test_pages_that_expire_are_listed_again_and_then_without_pages() -> None:
    """The snapshot died while it was read; client-go's pager gives up on pages as well."""
    once = after_list(Listing(), EXPIRED)
    assert once.failure is None
    twice = after_list(once.state, EXPIRED)  # type: ignore[arg-type]
    assert twice.failure is EXPIRED
    assert isinstance(twice.state, Listing)
    assert (once.state.in_pages, twice.state.in_pages) == (True, False)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "error",
    [
        EXPIRED,
        StatusError(400, "BadRequest", None),
        StatusError(500, "InternalError", "etcdserver: mvcc: required revision is a future revision"),
        StatusError(504, "Timeout", "Too large resource version: 9, current: 5"),
    ],
)
def test_a_past_state_that_is_not_available_leads_to_the_newest_list_at_once(error: StatusError) -> None:
    """The server has forgotten it, has another history, or is too old to know the parameter."""
    assert after_list(Listing(ListReason.RESUMED, at="7"), error) == Next(Listing(ListReason.EXPIRED))


@pytest.mark.parametrize("error", [UnreachableError("refused"), StatusError(429, None, None, 3), AuthError("401")])
def test_a_past_state_is_requested_until_the_server_answers(error: WatcherError) -> None:
    """An outage at the start must not lose objects that came and went before it."""
    begin = Listing(ListReason.RESUMED, at="7")
    assert after_list(begin, error) == Next(begin, error)


@pytest.mark.parametrize(
    ("listing", "finds_drift"),
    [
        (Listing(ListReason.PERIODIC, at="7"), True),
        (Listing(ListReason.PERIODIC), False),
        (Listing(ListReason.REGRESSED), True),
        (Listing(ListReason.RESUMED, at="7"), False),
    ],
)
def test_only_a_list_that_was_to_change_nothing_finds_drift(listing: Listing, *, finds_drift: bool) -> None:
    """The newest list also shows changes since the watch ended, and a list at the start shows changes before it."""
    assert listing.finds_drift is finds_drift


@pytest.mark.parametrize(
    "error",
    [
        StatusError(422, "Invalid", "sendInitialEvents: Forbidden"),
        StatusError(500, "InternalError", "RequestWatchProgress is disabled"),
        ErrorEvent(410, "Expired", "too old resource version"),
        LostError("cut"),
        CUT,
        StreamingListError("no end"),
    ],
)
def test_any_failure_of_a_streaming_list_leads_to_pages_at_once(error: WatcherError) -> None:
    """As in client-go: whatever the reason is, pages most likely fare better."""
    assert after_streaming_list(Listing(ListReason.EXPIRED), error) == Next(
        Listing(ListReason.EXPIRED, may_stream=False)
    )


def test_a_streaming_list_that_a_busy_server_refuses_comes_in_pages_after_the_pause() -> None:
    """The pause is what the server asked for."""
    busy = StatusError(429, "TooManyRequests", None, 3.0)
    assert after_streaming_list(Listing(), busy) == Next(Listing(may_stream=False), busy)


@pytest.mark.parametrize("error", [UnreachableError("refused"), StatusError(403, None, None), AuthError("401")])
def test_a_streaming_list_that_cannot_begin_does_not_count_as_broken(error: WatcherError) -> None:
    """After an outage of a day streaming is still the cheapest way."""
    assert after_streaming_list(Listing(), error) == Next(Listing(), error)


def test_resource_versions_are_compared_as_numbers_of_any_length() -> None:
    """KEP-5504. A resourceVersion that is not a number is not compared."""
    assert has_regressed("100", "99")
    assert not has_regressed("99", "100")
    assert not has_regressed("abc", "1")
    assert not has_regressed("9" * 4301, "1")


@pytest.mark.parametrize(("known", "deleted", "confirmed"), [(100, 51, True), (100, 50, False), (20, 20, False)])
def test_a_list_that_deletes_most_of_many_needs_confirmation(known: int, deleted: int, *, confirmed: bool) -> None:
    """When half of a larger set vanishes at once, a defect is more likely than the truth."""
    assert needs_confirmation(known, deleted) is confirmed
