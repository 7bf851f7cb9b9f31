"""Times of a connection to NATS that nobody needs to set."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NatsTimes:
    """All in seconds."""

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
    """First and longest pause before denied events are sent again. Whoever grants the permission waits for them."""


TIMES = NatsTimes()
