"""Why a VM is not well: bounded, and steady while its meaning is."""

import pytest

from summit_watcher.kube.manifests.guest import Condition
from summit_watcher.normalize.trouble import MAX_TROUBLE, OF_INSTANCE, steady, trouble_of


def test_a_sentence_of_the_cluster_is_bounded_and_printable() -> None:
    """A scheduler may have a lot to say about a thousand nodes, and anybody may write a condition."""
    long = Condition("PodScheduled", "False", "Unschedulable", "0/6 nodes\x00\n" + "x" * 100_000)
    (sentence,) = trouble_of([long, None], OF_INSTANCE)
    assert len(sentence) == MAX_TROUBLE
    assert sentence.isprintable()


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("0/6 nodes are available: 6 Insufficient cpu.", "0/7 nodes are available: 7 Insufficient cpu.", True),
        ("0/6 nodes are available: 6 Insufficient cpu.", "0/6 nodes are available: 6 Insufficient memory.", False),
        ('pods "virt-launcher-web-abcde" is forbidden', 'pods "virt-launcher-web-fghij" is forbidden', True),
    ],
)
def test_trouble_that_differs_in_its_counters_is_the_same(before: str, after: str, *, is_same: bool) -> None:
    """Each retry of the controllers names another pod, and nodes come and go."""
    shown = steady([f"status: {after}", "disk: size 7 is unknown"], [f"status: {before}", "disk: size 6 is unknown"])
    assert shown == [f"status: {before if is_same else after}", "disk: size 7 is unknown"]


def test_a_condition_that_is_there_thousands_of_times_is_one_sentence() -> None:
    """To compare them took two seconds of the processor, for all clusters, with each change of such an object."""
    many = [Condition("PodScheduled", "False", str(n), "x" * 1000) for n in range(5000)]
    (sentence,) = trouble_of(many, OF_INSTANCE)
    assert sentence.startswith("status: 0: xxx")
