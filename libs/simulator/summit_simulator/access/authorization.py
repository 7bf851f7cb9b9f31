"""Rights: bearer tokens, client certificates, and rules that forbid.

Every known user may do everything until a rule forbids it: tests take rights away, the demo needs no rules.
"""

import secrets
from dataclasses import dataclass
from typing import NamedTuple

from summit_simulator.objects.manifest import Manifest, part
from summit_simulator.objects.status import forbidden, forbidden_path, unauthorized

ANONYMOUS = "system:anonymous"
# The cluster role system:public-info-viewer gives these to everybody.
PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
# Resources of authorization.k8s.io and authentication.k8s.io that a client posts to.
REVIEWS = ("selfsubjectaccessreviews", "selfsubjectreviews")


class Attributes(NamedTuple):
    """The attributes of a request that the authorizer decides by."""

    verb: str
    group: str = ""
    resource: str = ""  # plural, with /subresource
    namespace: str = ""
    name: str = ""
    path: str = ""  # of a request that is for no resource


@dataclass(frozen=True, slots=True)
class Rule:
    """Forbids a verb on a resource; "*" stands for all. user None means everyone."""

    verb: str
    resource: str
    namespace: str | None = None
    user: str | None = None

    def forbids(self, user: str, wanted: Attributes) -> bool:
        return (
            self.verb in ("*", wanted.verb)
            and self.resource in ("*", wanted.resource)
            and self.namespace in (None, wanted.namespace)
            and self.user in (None, user)
        )


class Access:
    def __init__(self, admin_token: str) -> None:
        self.tokens: dict[str, str] = {admin_token: "admin"}  # token → user
        self.rules: list[Rule] = []
        self._ended: set[str] = set()  # users whose client certificates have expired

    def add_token(self, user: str, token: str | None = None) -> str:
        """Let a user in, with a new token beside those it has."""
        token = token or secrets.token_urlsafe(24)
        self.tokens[token] = user
        return token

    def revoke(self, user: str) -> None:
        """Let no token of that user in any more: its requests get 401."""
        self.tokens = {token: known for token, known in self.tokens.items() if known != user}

    def expire_certificates(self, user: str) -> None:
        """Answer 401 to the client certificates of that user, as Go's apiserver does when they have expired."""
        self._ended.add(user)

    def token_of(self, user: str) -> str:
        """The newest token of a user. Raises KeyError if it has none."""
        for token, known in reversed(self.tokens.items()):
            if known == user:
                return token
        raise KeyError(user)

    def forbid(self, verb: str, resource: str, *, namespace: str | None = None, user: str | None = None) -> Rule:
        """Answer 403 from now on. `resource` is the plural, or plural/subresource; "*" is all."""
        rule = Rule(verb, resource, namespace, user)
        self.rules.append(rule)
        return rule

    def allow(self, rule: Rule) -> None:
        self.rules.remove(rule)

    def authenticate(self, authorization: str | None, certificate_user: str | None) -> str:
        """The user of a request. Raises StatusError 401 for a token that is not known, or an expired certificate."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and token:
            if (user := self.tokens.get(token.strip())) is None:
                raise unauthorized()
            return user
        if certificate_user in self._ended:
            raise unauthorized()
        return certificate_user or ANONYMOUS

    def may(self, user: str, wanted: Attributes) -> bool:
        if user == ANONYMOUS:
            return wanted.path.partition("?")[0] in PUBLIC_PATHS
        return not any(rule.forbids(user, wanted) for rule in self.rules)

    def authorize(self, user: str, wanted: Attributes) -> None:
        """Raise StatusError 403 unless the request is allowed."""
        if self.may(user, wanted):
            return
        if not wanted.resource:
            raise forbidden_path(user, wanted.verb, wanted.path)
        raise forbidden(
            user,
            verb=wanted.verb,
            resource=wanted.resource,
            group=wanted.group,
            namespace=wanted.namespace,
            name=wanted.name,
        )

    def review(self, user: str, resource: str, body: Manifest) -> Manifest:
        """The answer to one of REVIEWS: which user asks, or what it may do."""
        if resource == "selfsubjectreviews":
            return body | {"status": {"userInfo": {"username": user, "groups": ["system:authenticated"]}}}
        asked = part(body, "spec", "resourceAttributes")
        names = ("verb", "group", "resource", "namespace", "name")
        return body | {"status": {"allowed": self.may(user, Attributes(*(asked.get(name, "") for name in names)))}}
