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


def after(watching: Watching, error: WatcherError | None, *, changes: int = 1, lasted: float = 60.0) -> Next:
    """The state after a watch that came to resourceVersion 7."""
    return after_watch(watching, WatchEnd("7", changes, 1000.0, 1000.0 + lasted, error), TIMES)


def test_a_watch_that_ends_in_good_order_is_resumed_at_once() -> None:
    """The server ends every watch after timeoutSeconds, and that is fine."""
    assert after(Watching("5"), None, changes=0) == Next(Watching("7"))


def test_a_very_short_watch_earns_a_pause() -> None:
    """Otherwise a server that closes each watch at once would get thousands of requests."""
    following = after(Watching("5"), None, changes=0, lasted=0.1)
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


@pytest.mark.parametrize("error", [LostError("reset"), IdleError("silent")])
def test_a_watch_that_was_cut_is_resumed_after_the_server_is_verified(error: WatcherError) -> None:
    """Etcd may have been restored meanwhile, and a watch from its future is silent."""
    assert after(Watching("5"), error) == Next(Verifying(Watching("7")), error)


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
    again = after(Watching("5", expiries=1), EXPIRED, changes=0, lasted=0.1)
    assert again == Next(Listing(ListReason.EXPIRED, seen="7", expiries=2), EXPIRED)


def test_three_unreadable_watches_at_one_place_lead_to_a_list() -> None:
    """A list steps over the unreadable line; until then the watch begins again before it."""
    state: StreamState = Watching("7")
    for _ in range(3):
        assert isinstance(state, Watching)
        state = after(state, CUT, changes=0, lasted=0.1).state
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


def test_two_broken_streaming_lists_lead_to_pages() -> None:
    """A busy server that cuts the stream would get the same load again."""
    state: object = Listing()
    for error in (LostError("cut"), StreamingListError("no end")):
        assert isinstance(state, Listing)
        assert state.may_stream
        state = after_streaming_list(state, error).state
    assert isinstance(state, Listing)
    assert not state.may_stream


@pytest.mark.parametrize("error", [UnreachableError("refused"), StatusError(403, None, None), AuthError("401")])
def test_a_streaming_list_that_cannot_begin_does_not_count_as_broken(error: WatcherError) -> None:
    """After an outage of a day streaming is still the cheapest way."""
    assert after_streaming_list(Listing(), error) == Next(Listing(), error)


def test_resource_versions_are_compared_as_numbers_of_any_length() -> None:
    """KEP-5504. A resourceVersion that is not a number is not compared."""
    assert has_regressed("100", "99")
    assert not has_regressed("99", "100")
    assert not has_regressed("abc", "1")


@pytest.mark.parametrize(("known", "deleted", "confirmed"), [(100, 51, True), (100, 50, False), (20, 20, False)])
def test_a_list_that_deletes_most_of_many_needs_confirmation(known: int, deleted: int, *, confirmed: bool) -> None:
    """When half of a larger set vanishes at once, a defect is more likely than the truth."""
    assert needs_confirmation(known, deleted) is confirmed
