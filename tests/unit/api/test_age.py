"""Ages read as kubectl's do."""

from datetime import UTC, datetime, timedelta

import pytest

from summit_api.render.moment import Moment, human_duration


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        ({"seconds": -5}, "0s"),
        ({"seconds": 119}, "119s"),
        ({"minutes": 2}, "2m"),
        ({"minutes": 5, "seconds": 30}, "5m30s"),
        ({"minutes": 10, "seconds": 59}, "10m"),
        ({"minutes": 179}, "179m"),
        ({"hours": 3}, "3h"),
        ({"hours": 3, "minutes": 20}, "3h20m"),
        ({"hours": 8, "minutes": 59}, "8h"),
        ({"hours": 47}, "47h"),
        ({"days": 2}, "2d"),
        ({"days": 5, "hours": 3}, "5d3h"),
        ({"days": 8, "hours": 3}, "8d"),
        ({"days": 729}, "729d"),
        ({"days": 2 * 365}, "2y"),
        ({"days": 2 * 365 + 35}, "2y35d"),
        ({"days": 8 * 365 + 35}, "8y"),
    ],
)
def test_age_has_two_units_at_most_and_fewer_digits_the_older(duration: dict[str, int], text: str) -> None:
    """The table of kubectl's HumanDuration."""
    assert human_duration(timedelta(**duration)) == text


def test_age_of_an_unknown_creation_is_unknown() -> None:
    """An unknown time of creation gives no age."""
    assert Moment(datetime.now(UTC), None).age(None) is None
