"""Rights: bearer tokens, client certificates, bindings of rights, and rules that forbid.

Every known user may do everything until rights are bound to it or a rule forbids something: tests take rights away,
the demo needs no rules.
"""

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from summit_simulator.objects.manifest import Manifest, part
from summit_simulator.objects.status import forbidden, forbidden_path, unauthorized

ANONYMOUS = "system:anonymous"
# The cluster role system:public-info-viewer gives these to everybody.
PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
# Resources of authorization.k8s.io and authentication.k8s.io that a client posts to.
REVIEWS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")
EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


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


@dataclass(frozen=True, slots=True)
class Grant:
    """One rule of a Role or ClusterRole, bound to a user in a namespace or (None) everywhere."""

    rule: Mapping[str, Sequence[str]]  # apiGroups, resources, verbs, and resourceNames
    namespace: str | None = None

    def allows(self, wanted: Attributes) -> bool:
        names = self.rule.get("resourceNames", ())
        return (
            self.namespace in (None, wanted.namespace)
            and not {"*", wanted.verb}.isdisjoint(self.rule["verbs"])
            and not {"*", wanted.group}.isdisjoint(self.rule.get("apiGroups", ()))
            and not {"*", wanted.resource}.isdisjoint(self.rule.get("resources", ()))
            and (not names or wanted.name in names)
        )


class Access:
    def __init__(self, admin_token: str) -> None:
        self.tokens: dict[str, str] = {admin_token: "admin"}  # token → user
        self.rules: list[Rule] = []
        self.has_webhook = False  # an authorizer that decides and lists no rules, as in GKE and EKS
        self._bound: defaultdict[str, list[Grant]] = defaultdict(list)
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

    def bind(self, user: str, rules: Sequence[Mapping[str, Sequence[str]]], *, namespace: str | None = None) -> None:
        """Let a user do what these rules of a Role say, in a namespace or everywhere; from then on nothing else."""
        self._bound[user] += [Grant(rule, namespace) for rule in rules]

    def unbind(self, user: str) -> None:
        """Take away from a user whatever was bound to it."""
        self._bound[user] = []

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
        # Discovery and one's own rights are open to everybody who is known (system:discovery, system:basic-user).
        is_limited = user in self._bound and wanted.resource and wanted.resource not in (*REVIEWS, "version")
        if is_limited and not any(grant.allows(wanted) for grant in self._bound[user]):
            return False
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
        if resource == "selfsubjectrulesreviews":
            return body | {"status": self._rules_of(user, part(body, "spec").get("namespace", ""))}
        asked = part(body, "spec", "resourceAttributes")
        resource = "/".join(filter(None, (asked.get("resource"), asked.get("subresource"))))
        place = asked.get("namespace", ""), asked.get("name", "")
        is_allowed = self.may(user, Attributes(asked.get("verb", ""), asked.get("group", ""), resource, *place))
        return body | {"status": {"allowed": is_allowed} | ({} if is_allowed else {"denied": False})}

    def _rules_of(self, user: str, namespace: str) -> Manifest:
        """The rules of a user in a namespace, as RBAC lists them. Rules that forbid do not exist there: incomplete."""
        grants = self._bound[user] if user in self._bound else [Grant(EVERYTHING)]
        rules = [dict(grant.rule) for grant in grants if grant.namespace in (None, namespace)]
        is_incomplete = self.has_webhook or bool(self.rules)
        text = "webhook authorizer does not support user rule resolution"
        return {
            "resourceRules": [] if is_incomplete else rules,
            "nonResourceRules": [],
            "incomplete": is_incomplete,
            **({"evaluationError": text} if is_incomplete else {}),
        }
