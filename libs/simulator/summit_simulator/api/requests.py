"""A request as its method and path describe it (apiserver's RequestInfo)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from summit_simulator.access.authorization import Attributes
from summit_simulator.objects.resources import RESOURCES, Resource

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}
_TRUE = ("1", "t", "T", "true", "True", "TRUE")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request for a resource, or (resource_name "") for some other path."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    group: str = ""
    version: str = ""
    resource_name: str = ""  # the plural in the path, which need not exist
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> Resource | None:
        """The resource, if the simulator has it."""
        path = (self.group, self.version, self.resource_name)
        return next((one for one in RESOURCES if (one.group, one.version, one.plural) == path), None)

    @property
    def verb(self) -> str:
        """The verb that RBAC knows: a GET is get, list or watch."""
        verb = _VERBS.get(self.method, self.method.lower())
        if not self.resource_name or self.name or self.method == "POST":
            return verb
        if verb == "get":
            return "watch" if is_true(self.query.get("watch")) else "list"
        return "deletecollection" if verb == "delete" else verb

    @property
    def attributes(self) -> Attributes:
        if not self.resource_name:
            return Attributes(self.method.lower(), path=self.path)
        resource = f"{self.resource_name}/{self.subresource}" if self.subresource else self.resource_name
        return Attributes(self.verb, self.group, resource, self.namespace, self.name)


def is_true(text: str | None) -> bool:
    """A query parameter that Go's strconv.ParseBool takes for true."""
    return text in _TRUE


def parse(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Read /api/v1/... and /apis/<group>/<version>/...; anything else is a plain path."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(method, path, query)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    if plural == "namespaces":
        namespace = name  # as the real RequestInfo has it: rules for a namespace hold for itself
    return RequestInfo(method, path, query, group, version, plural, namespace, name, subresource)
