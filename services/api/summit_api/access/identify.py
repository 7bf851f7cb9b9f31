"""The principal that sends a request, by its token, its ticket, or neither.

A token in a request must be valid: a request with a wrong token is not treated as one without a token.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from summit_api.access import pages, tokens
from summit_api.access.oidc import InvalidToken, Issuer
from summit_api.access.policy import Policy, PolicyFile, TokenGrant
from summit_api.access.principal import ANONYMOUS, Principal, Role
from summit_api.access.signing_keys import IssuerUnavailable
from summit_api.access.tickets import Tickets
from summit_api.problems import Kind, ProblemError

_REALM = 'Bearer realm="summit-connect"'
_INVALID = f'{_REALM}, error="invalid_token"'


class Access:
    """All ways to identify a principal."""

    def __init__(
        self,
        *,
        anonymous: Role | None = None,
        policy: PolicyFile | None = None,
        admin_token: str | None = None,
        issuer: Issuer | None = None,
        tickets: Tickets | None = None,
        origins: Collection[str] = (),
        host: str = "",
    ) -> None:
        """`origins` are the web pages that may use the anonymous role, `host` is the name that the api listens on."""
        self.anonymous = anonymous
        self.policy_file = policy
        self.issuer = issuer
        self.tickets = tickets or Tickets()
        self._own = _policy_of(admin_token) if admin_token else Policy()
        self._origins = origins
        self._hosts = frozenset(filter(None, (host.lower(), *map(pages.host_of, origins))))

    async def identify(self, headers: Mapping[str, str], now: datetime, *, ticket: str | None = None) -> Principal:
        """The principal that sent these headers, or this ticket. Raises ProblemError 401, 403 or 503."""
        if ticket is not None:
            return self._of_ticket(ticket, now)
        authorization = headers.get("authorization")
        if authorization is None:
            return self._without_token(headers)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized("the scheme of the Authorization header must be Bearer", _INVALID)
        token = token.strip()
        if tokens.is_token(token):
            return self._of_token(token, now)
        if self.issuer and token.count(".") == 2:
            return await self._of_issuer(self.issuer, token)
        raise unauthorized("the api does not know this token", _INVALID)

    def is_closed(self) -> bool:
        """Whether every request is rejected."""
        return not (self.anonymous or self._own.tokens or self.policy_file)

    def summary(self) -> str:
        """The ways to get in, for the log."""
        ways = [f"without a token as {self.anonymous}" if self.anonymous else "not without a token"]
        if self._own.tokens:
            ways.append("API_ADMIN_TOKEN")
        if self.policy_file:
            ways.append(self.policy_file.summary())
        if self.issuer:
            ways.append("OpenID Connect")
        return ", ".join(ways)

    def _without_token(self, headers: Mapping[str, str]) -> Principal:
        if self.anonymous is None:
            raise unauthorized("this needs a token; send it as 'Authorization: Bearer …'", _REALM)
        if self.anonymous > Role.VIEWER and pages.is_rebound(headers.get("host"), self._hosts):
            raise _misdirected(headers["host"])
        if pages.is_elsewhere(headers, self._origins):
            return Principal(ANONYMOUS, min(self.anonymous, Role.VIEWER))
        return Principal(ANONYMOUS, self.anonymous)

    def _of_ticket(self, ticket: str, now: datetime) -> Principal:
        if principal := self.tickets.principal(ticket, now):
            return principal
        raise unauthorized("the ticket is unknown or too old; POST /api/v1/tickets gives you another", _INVALID)

    def _of_token(self, token: str, now: datetime) -> Principal:
        digest = tokens.digest(token)
        grant = self._own.of_token(digest) or self._policy().of_token(digest)
        if grant is None:
            raise unauthorized("the api does not know this token", _INVALID)
        if grant.expires and grant.expires <= now:
            raise unauthorized(f"the token {grant.name!r} expired at {grant.expires:%Y-%m-%dT%H:%M:%SZ}", _INVALID)
        return Principal(f"token:{grant.name}", grant.role, grant.scope, grant.expires)

    async def _of_issuer(self, issuer: Issuer, token: str) -> Principal:
        try:
            identity = await issuer.identify(token)
        except InvalidToken as error:
            raise unauthorized(str(error), _INVALID) from None
        except IssuerUnavailable as error:
            raise ProblemError(Kind.ISSUER_UNAVAILABLE, str(error)) from None
        grant = self._policy().of_groups(identity.groups)
        if grant is None:
            raise ProblemError(Kind.FORBIDDEN, "none of your groups has a role here; the access file lists the groups")
        return Principal(f"oidc:{identity.name}", grant.role, grant.scope, identity.until)

    def _policy(self) -> Policy:
        return self.policy_file.current() if self.policy_file else Policy()


def _policy_of(admin_token: str) -> Policy:
    return Policy(tokens=(TokenGrant(name="admin", role=Role.ADMIN, sha256=tokens.digest(admin_token)),))


def _misdirected(host: str) -> ProblemError:
    return ProblemError(
        Kind.MISDIRECTED,
        f"the request is for {host!r}, which may be anybody's name: nobody needs a token to change things here, so a "
        f"web page with such a name could change them. If it is a name of this api, add http://{host} (or https://) to "
        "API_ORIGINS; else use 127.0.0.1, or send a token",
    )


def unauthorized(detail: str, challenge: str) -> ProblemError:
    return ProblemError(Kind.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
