"""Our credentials for a cluster, according to its kubeconfig: a token, a client certificate, or both.

Rule: where the user section names a way to get credentials and gets none, nothing is sent at all. Other clients would
continue as `system:anonymous`.
"""

from base64 import b64encode, urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from summit_runtime.own_thread import OwnThread
from summit_watcher.kube.access import exec_plugin, oidc
from summit_watcher.kube.access.kubeconfig import Kubeconfig
from summit_watcher.kube.errors import UNREADABLE, AuthError, KubeconfigError

RENEW_BEFORE = timedelta(seconds=60)
"""A token is renewed this long before it expires, or at four fifths of its life if that is later."""
RENEW_AT_LIFE_FRACTION = 0.8


class Credentials(NamedTuple):
    """The credentials of one transport. With a token there is no password."""

    token: str | None = None
    certificate_pem: bytes | None = None
    key_pem: bytes | None = None
    basic: str | None = None
    """`username:password`."""
    expires_at: datetime | None = None
    renew_at: datetime | None = None

    @property
    def authorization(self) -> str | None:
        """The header that presents them."""
        if self.token:
            return f"Bearer {self.token}"
        return f"Basic {b64encode(self.basic.encode()).decode()}" if self.basic else None

    @property
    def ends_at(self) -> datetime | None:
        """When the token ends, according to the plugin, or to the token itself if it is a JWT."""
        return self.expires_at or (expiry_of(self.token) if self.token else None)

    @property
    def end_soon(self) -> bool:
        """Whether it is time to renew them."""
        return self.renew_at is not None and datetime.now(UTC) >= self.renew_at

    @property
    def have_ended(self) -> bool:
        return self.expires_at is not None and datetime.now(UTC) >= self.expires_at

    def __repr__(self) -> str:
        return f"Credentials(expires_at={self.expires_at})"


class _Claims(msgspec.Struct):
    exp: float | None = None


def written(kubeconfig: Kubeconfig) -> Credentials:
    """The credentials in the kubeconfig and the files that it names. Blocks. Raises KubeconfigError or AuthError."""
    token = checked(kubeconfig.token(), f"the token of kubeconfig {kubeconfig.path}")
    user = kubeconfig.user
    basic = f"{user.username}:{user.password}" if user.username and not token else None
    return Credentials(token, kubeconfig.client_certificate(), kubeconfig.client_key(), basic)


async def obtain(
    kubeconfig: Kubeconfig, written: Credentials, plugin_timeout_seconds: float, thread: OwnThread
) -> Credentials:
    """Get what the files do not have: from the identity provider or the plugin, if there is one. Raises AuthError."""
    plugin = kubeconfig.user.exec
    if written.token:
        return written
    if kubeconfig.user.auth_provider is not None:
        return await _from_provider(kubeconfig, written, plugin_timeout_seconds, thread)
    if plugin is None:
        return written
    given = await exec_plugin.run(plugin, kubeconfig, plugin_timeout_seconds, thread)
    certificate, key = written.certificate_pem, written.key_pem
    if given.client_certificate_data and given.client_key_data:
        certificate, key = given.client_certificate_data.encode(), given.client_key_data.encode()
    expires_at = _aware(given.expiration_timestamp)
    token = checked(given.token, f"the token of credential plugin {plugin.command!r} of kubeconfig {kubeconfig.path}")
    return Credentials(token, certificate, key, expires_at=expires_at, renew_at=renewal(expires_at, datetime.now(UTC)))


async def _from_provider(
    kubeconfig: Kubeconfig, written: Credentials, timeout_seconds: float, thread: OwnThread
) -> Credentials:
    """The id-token of an `auth-provider`, another one if it has ended."""
    provider = kubeconfig.user.auth_provider or {}
    if (name := provider.get("name")) != "oidc":
        raise AuthError(
            f"kubeconfig {kubeconfig.path}: auth-provider {name!r} gave no token: since Kubernetes 1.26 clients know "
            "only oidc; use a credential plugin (exec)"
        )
    try:
        config = msgspec.convert(provider.get("config") or {}, oidc.OidcConfig)
    except msgspec.ValidationError as error:
        raise KubeconfigError(f"kubeconfig {kubeconfig.path}: the config of its auth-provider: {error}") from None
    ends = expiry_of(config.id_token) if config.id_token else None
    token: str | None = config.id_token
    if ends is None or ends <= datetime.now(UTC):
        token = await oidc.refreshed(kubeconfig, config, timeout_seconds, thread)
    token = checked(token, f"the id-token of kubeconfig {kubeconfig.path}")
    expires_at = expiry_of(token or "")
    return written._replace(token=token, expires_at=expires_at, renew_at=renewal(expires_at, datetime.now(UTC)))


def checked(token: str | None, name: str) -> str | None:
    """The token without spaces around it. Raises AuthError if it cannot be one, such as two lines or another file."""
    token = token.strip() if token else None
    if token and not (token.isascii() and token.isprintable()):
        raise AuthError(f"{name} holds line breaks or characters that no token has: is it another file?")
    return token


def expiry_of(token: str) -> datetime | None:
    """`exp` of a token that is a JWT, as those of service accounts are. For people: it is not verified."""
    payload = token.split(".")[1:2]
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(f"{payload[0]}=="), type=_Claims)
        return datetime.fromtimestamp(claims.exp, UTC) if claims.exp else None
    except (IndexError, ValueError, OverflowError, OSError, *UNREADABLE):
        return None


def renewal(expires_at: datetime | None, now: datetime) -> datetime | None:
    """When to renew credentials obtained now: early, but short-lived ones not for every request."""
    if expires_at is None:
        return None
    try:
        return max(expires_at - RENEW_BEFORE, now + (expires_at - now) * RENEW_AT_LIFE_FRACTION)
    except OverflowError:  # the year 1
        return expires_at


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
