"""What of the feed one client sees: what its principal may see, of that what it asked for."""

from dataclasses import dataclass

from summit_api.access.scope import Scope
from summit_api.feed.frame import Facts, Frame, Topic, Verb
from summit_api.query.filters import VmFilters
from summit_models.vm import Vm

_MEMBERS = {name: Vm.model_fields[name].alias or name for name in Facts._fields}


@dataclass(frozen=True)
class Selection:
    """`topics` None is all."""

    scope: Scope
    filters: VmFilters
    topics: frozenset[Topic] | None = None

    @property
    def shows_vms(self) -> bool:
        return self.topics is None or Topic.VM in self.topics

    def told(self, frame: Frame) -> bytes | None:
        """The frame's message as seen from this client's list; None when its list does not change."""
        verb = self.verb(frame)
        return None if verb is None else frame.told(verb)

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

    def _shows(self, topic: Topic, facts: Facts | None) -> bool:
        """Whether this client's list of such things has one like this. Only VMs have all that filters look at."""
        if facts is None:
            return False
        match topic:
            case Topic.VM:
                return self.scope.allows(facts.datacenter, facts.namespace) and self.filters.matches(
                    {_MEMBERS[name]: value for name, value in facts._asdict().items()}
                )
            case Topic.MIGRATION:
                return self.scope.allows(facts.datacenter, facts.namespace) and self._is_in(facts, namespaces=True)
            case Topic.CLUSTER | Topic.DATACENTER:
                return self.scope.allows_datacenter(facts.datacenter) and self._is_in(facts, namespaces=False)
        return False

    def _is_in(self, facts: Facts, *, namespaces: bool) -> bool:
        """Whether it is where the wanted VMs are. A datacenter is in no cluster, and neither is in a namespace."""
        wanted = self.filters
        return (
            (not wanted.datacenter or facts.datacenter in wanted.datacenter)
            and (not wanted.cluster or facts.cluster is None or facts.cluster in wanted.cluster)
            and (not namespaces or not wanted.namespace or facts.namespace in wanted.namespace)
        )
