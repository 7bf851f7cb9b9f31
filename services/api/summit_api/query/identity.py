"""Which of several rows a request is about: an id may be shown by more than one cluster.

Lists show each of them. A request for one id without the name of a cluster is about the one that lives; where several
live it cannot be answered, and a guess would show, or change, the wrong one.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from summit_api.query.transaction.arguments import Bind
from summit_api.query.transaction.errors import AmbiguousIdError
from summit_models.contract import ClusterName

T = TypeVar("T")


def in_cluster(cluster: Sequence[ClusterName], bind: Bind) -> list[str]:
    """The condition on rows when a cluster is named; an empty name is that of no cluster."""
    return [f"coalesce(cluster, '') = {bind(name)}" for name in cluster]


def only(id_: str, rows: Sequence[T], shown_by: Callable[[T], str], *, named: bool) -> T | None:
    """The one row, or None. When a cluster is `named` its watched VM comes before one that was added by hand.

    Raises AmbiguousIdError when there are several.
    """
    if len(rows) > 1 and not named:
        raise _ambiguous(id_, sorted(map(shown_by, rows)))
    return max(rows, key=shown_by, default=None)


def _ambiguous(id_: str, clusters: Sequence[str]) -> AmbiguousIdError:
    shown = " and ".join(f"cluster {name}" if name else "a VM that was added by hand" for name in clusters)
    choices = " or ".join(f"?cluster={name}" for name in clusters)
    return AmbiguousIdError(f"several objects have the id {id_!r}: in {shown}; add {choices}", clusters)
