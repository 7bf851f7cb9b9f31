"""Parts of the api, made from its settings: who may do what, and how much of it."""

from summit_api.access.identify import Access
from summit_api.access.oidc import Issuer
from summit_api.access.pages import ANY
from summit_api.access.policy import PolicyError, PolicyFile
from summit_api.access.principal import Role
from summit_api.access.tickets import Tickets
from summit_api.feed.feed import FeedLimits
from summit_api.http.protocol import ConnectionLimits
from summit_api.limits.clients import Clients
from summit_api.limits.requests import RequestLimits
from summit_api.settings import Settings
from summit_runtime.process import FatalError


def access(settings: Settings) -> Access:
    """Raises FatalError for an access file that cannot be read: without it every request would be rejected."""
    role = settings.anonymous_role
    return Access(
        anonymous=None if role == "none" else Role[role.upper()],
        policy=_policy_file(settings),
        admin_token=settings.admin_token.get_secret_value() if settings.admin_token else None,
        issuer=_issuer(settings),
        tickets=Tickets(settings.ticket_key),
        origins=[origin for origin in settings.origins if origin != ANY],
        host=settings.host,
    )


def _policy_file(settings: Settings) -> PolicyFile | None:
    try:
        return PolicyFile(settings.access_file) if settings.access_file else None
    except PolicyError as error:
        raise FatalError(str(error)) from error


def _issuer(settings: Settings) -> Issuer | None:
    if not settings.oidc_issuer or not settings.oidc_audience:
        return None
    return Issuer(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        name_claim=settings.oidc_name_claim,
        groups_claim=settings.oidc_groups_claim,
    )


def clients(settings: Settings) -> Clients:
    return Clients(
        requests_per_second=settings.client_requests_per_second,
        burst=settings.client_burst,
        concurrent_requests=settings.client_requests,
        feeds=settings.client_feeds,
    )


def feed_limits(settings: Settings) -> FeedLimits:
    return FeedLimits(buffer_bytes=settings.feed_buffer_mib << 20)


def request_limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        body_bytes=settings.body_bytes, seconds=settings.request_seconds, concurrent=settings.concurrent_requests
    )


def connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        head_bytes=settings.head_bytes,
        head_seconds=settings.head_seconds,
        stalled_seconds=settings.stalled_seconds,
    )
