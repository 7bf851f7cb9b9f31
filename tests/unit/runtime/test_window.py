"""How many messages may be on their way follows the line, up and down."""

from summit_runtime.nats.publishing.window import FIRST, Window


def test_a_good_line_soon_carries_the_most() -> None:
    """Five answers that come at once are enough, and there is no more than the most."""
    window = Window(1000)
    for _ in range(5):
        assert window.size < 1000
        window.took(0.01, size=window.size)
    assert window.size == 1000


def test_a_slow_line_carries_less_and_less_but_never_nothing() -> None:
    """A line that has become good again carries more again."""
    window = Window(1000)
    for _ in range(20):
        window.took(5.0, size=window.size)
    assert window.size == 1
    window.took(0.5, size=window.size)
    assert window.size == 2


def test_a_lone_message_does_not_show_that_the_line_carries_many() -> None:
    """Its answer comes at once on any line; one that comes late shows that the line is full."""
    window = Window(1000)
    window.took(0.01, size=FIRST, was_full=False)
    assert window.size == FIRST
    window.took(2.0, size=FIRST, was_full=False)
    assert window.size == FIRST // 2


def test_answers_about_one_window_count_once() -> None:
    """Four acknowledgements of one batch made it sixteen times as large: the next one was too much for the line."""
    window = Window(1000)
    for _ in range(4):
        window.took(0.1, size=FIRST)
    assert window.size == 2 * FIRST
