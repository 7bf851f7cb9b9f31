"""Label and field selectors of the simulator mean what apimachinery's mean."""

import pytest

from summit_simulator.api.list_options import label_selector
from summit_simulator.objects.status import StatusError


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a!=1", {}, True),
        ("a in (1,2),b", {"a": "2", "b": ""}, True),
        ("a in (1,2),b", {"a": "2"}, False),
        ("a notin (1,2)", {}, True),
        ("!a", {"a": ""}, False),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("x.io/y=z", {"x.io/y": "z"}, True),
        ("a=", {"a": ""}, True),
    ],
)
def test_all_requirements_must_be_met(text: str, labels: dict[str, str], selected: bool) -> None:
    """Requirements are joined by commas, also next to a set's own commas."""
    test = label_selector(text)
    assert test is not None
    assert test(labels) is selected


def test_no_selector_selects_everything() -> None:
    """None means no test, so that no object is tested."""
    assert label_selector("") is None


@pytest.mark.parametrize("text", ["a=b=c d", "(", "a in 1"])
def test_unreadable_selectors_are_bad_requests(text: str) -> None:
    """400, as the server answers."""
    with pytest.raises(StatusError) as raised:
        label_selector(text)
    assert raised.value.code == 400
