"""What JetStream answers about the stream, and whether the log can be used then."""

import msgspec
import pytest

from summit_runtime.nats.publishing.availability import Answer, reason

HERE, GONE, SILENT = {"active": 10**8}, {"offline": True}, {"active": 11 * 10**9}


def answer(**members: object) -> Answer:
    return msgspec.json.decode(msgspec.json.encode(members), type=Answer)


@pytest.mark.parametrize(
    "replicas",
    [[], [HERE, HERE], [HERE, GONE], [SILENT, HERE], [HERE, HERE, GONE, SILENT]],
)
def test_a_leader_with_a_majority_can_be_used(replicas: list[object]) -> None:
    """One of three servers, or two of five, may be away. A single one is its own majority."""
    assert reason(answer(cluster={"leader": "n1", "replicas": replicas})) is None


def test_a_server_that_is_in_no_cluster_can_be_used() -> None:
    """Its answer has no such member."""
    assert reason(answer(config={})) is None


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"cluster": {"replicas": [HERE, HERE]}}, "has no leader"),
        ({"cluster": {"leader": "n1", "replicas": [GONE, SILENT]}}, "has lost 2 of its 3 servers"),
        ({"cluster": {"leader": "n1", "replicas": [GONE]}}, "has lost 1 of its 2 servers"),
        (
            {"error": {"err_code": 10008, "description": "JetStream system temporarily unavailable"}},
            "NATS reports of the stream 'SUMMIT': JetStream system temporarily unavailable",
        ),
    ],
)
def test_without_a_majority_it_cannot(members: dict[str, object], why: str) -> None:
    """The leader notices within ten seconds that it has lost the others; then nobody leads."""
    assert why in str(reason(answer(**members)))
