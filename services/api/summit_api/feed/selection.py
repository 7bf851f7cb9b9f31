"""One client's view of the feed: the part that its principal may see and that it asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from summit_api.access.principal import Scope
from summit_api.feed.frame import Frame, Json, Topic, Verb
from summit_api.query.selection.filters import ClusterFilters, VmFilters
from summit_models.cluster import ConnectionState


@dataclass(frozen=True)
class Selection:
    """`topics` None is all. `states` are those of clusters, and none is all."""

    scope: Scope
    filters: VmFilters
    topics: frozenset[Topic] | None = None
    states: Sequence[ConnectionState] = ()

    @property
    def shows_vms(self) -> bool:
        return self.topics is None or Topic.VM in self.topics

    def message(self, frame: Frame) -> bytes | None:
        """The frame's message as this client's list shows the change; None when the list does not change."""
        verb = self.verb(frame)
        return None if verb is None else frame.message(verb, self.scope.limit)

    def verb(self, frame: Frame) -> Verb | None:
        if self.topics is not None and frame.topic not in self.topics:
            return None
        if frame.topic is Topic.TEST:
            return Verb.EVENT
        match self._shows(frame.topic, frame.before), self._shows(frame.topic, frame.after):
            case False, True:
                return Verb.ADDED
            case True, True:
                return Verb.UPDATED
            case True, False:
                return Verb.REMOVED
        return None

    def _shows(self, topic: Topic, state: Json | None) -> bool:
        """Whether this client's list of such objects shows one with this state. Most filters apply to VMs only."""
        if state is None or topic is Topic.TEST:
            return False
        match topic:
            case Topic.VM:
                return self._allows(state) and self.filters.matches(state)
            case Topic.MIGRATION | Topic.OPERATION:
                return self._allows(state) and self._is_in(state, namespaces=True)
            case Topic.BULK_OPERATION:
                return self._allows_all(state)
            case Topic.CLUSTER:
                return self.scope.allows_datacenter(state["datacenter"]) and self._clusters(state).matches(state)
            case Topic.DATACENTER:
                return self.scope.allows_datacenter(state["datacenter"]) and self._is_in(state, namespaces=False)

    def _clusters(self, cluster: Json) -> ClusterFilters:
        """A cluster whose state the client may have seen is without one, and may have been in its list."""
        states = list(self.states) if "state" in cluster else []
        return ClusterFilters(datacenter=self.filters.datacenter, cluster=self.filters.cluster, state=states)

    def _allows(self, state: Json) -> bool:
        return self.scope.allows(state["datacenter"], state.get("namespace"))

    def _allows_all(self, state: Json) -> bool:
        """Whether the client may see all VMs of an operation on many, and wants those of one of their places."""
        datacenters, namespaces = state["datacenters"], state["namespaces"]
        clusters = [targets["cluster"] for targets in state["targets"]]
        wanted = self.filters
        return (
            self.scope.allows_all(datacenters, namespaces)
            and _overlap(wanted.datacenter, datacenters)
            and _overlap(wanted.cluster, clusters)
            and _overlap(wanted.namespace, namespaces)
        )

    def _is_in(self, place: Json, *, namespaces: bool) -> bool:
        """Whether it is where the wanted VMs are. A datacenter is in no cluster, and neither is in a namespace."""
        wanted, cluster = self.filters, place.get("cluster")
        return (
            (not wanted.datacenter or place["datacenter"] in wanted.datacenter)
            and (not wanted.cluster or cluster is None or cluster in wanted.cluster)
            and (not namespaces or not wanted.namespace or place.get("namespace") in wanted.namespace)
        )


def _overlap(wanted: Sequence[str], places: Sequence[str]) -> bool:
    return not wanted or not set(wanted).isdisjoint(places)
