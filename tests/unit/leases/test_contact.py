"""Whether a watcher may take what it did not have: not for a while after it was cut off."""

from summit_watcher.leases.contact import Contact

LEASE, GRACE = 3.0, 2.0


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def renewed_each_second(contact: Contact, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        contact.renewed()


def test_a_watcher_that_starts_waits_for_nobody() -> None:
    """It has missed nothing: what it reads is the present."""
    clock = Clock()
    contact = Contact(LEASE, GRACE, clock)
    assert contact.is_whole
    contact.renewed()
    assert contact.is_whole


def test_a_renewal_that_is_late_breaks_nothing_as_long_as_the_lease_holds() -> None:
    """NATS answers slowly at times."""
    clock = Clock()
    contact = Contact(LEASE, GRACE, clock)
    contact.renewed()
    clock.now += LEASE
    assert contact.is_whole
    contact.renewed()
    assert contact.is_whole


def test_a_watcher_that_was_cut_off_waits_from_its_first_renewal_on() -> None:
    """All entries that it knows are old before that, and the others may need a moment to return."""
    clock = Clock()
    contact = Contact(LEASE, GRACE, clock)
    contact.renewed()
    clock.now += LEASE + 0.1
    assert not contact.is_whole
    clock.now += 60
    contact.renewed()
    assert not contact.is_whole
    renewed_each_second(contact, clock, 1)
    assert not contact.is_whole
    renewed_each_second(contact, clock, 1)
    assert contact.is_whole
