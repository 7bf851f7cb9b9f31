"""Our credentials for a cluster, according to its kubeconfig: a token, a client certificate, or both.

Rule: where the user section names a way to get credentials and gets none, nothing is sent at all. The official client
would continue as `system:anonymous`.
"""

from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from summit_runtime.own_thread import OwnThread
from summit_watcher.kube.access import exec_plugin
from summit_watcher.kube.access.kubeconfig import Kubeconfig
from summit_watcher.kube.errors import AuthError

RENEW_BEFORE = timedelta(seconds=60)
"""A token is renewed this long before it expires, or at four fifths of its life if that is later."""
RENEW_AT_LIFE_FRACTION = 0.8


class Credentials(NamedTuple):
    """The credentials of one transport. `token` is None where the loader finds it by itself (basic, auth-provider)."""

    token: str | None = None
    certificate_pem: bytes | None = None
    key_pem: bytes | None = None
    expires_at: datetime | None = None
    renew_at: datetime | None = None

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
    return Credentials(token, kubeconfig.client_certificate(), kubeconfig.client_key())


async def obtain(
    kubeconfig: Kubeconfig, written: Credentials, plugin_timeout_seconds: float, thread: OwnThread
) -> Credentials:
    """Run the plugin, if there is one and no token in the files. Raises AuthError."""
    plugin = kubeconfig.user.exec
    if written.token or plugin is None:
        return written
    given = await exec_plugin.run(plugin, kubeconfig, plugin_timeout_seconds, thread)
    certificate, key = written.certificate_pem, written.key_pem
    if given.client_certificate_data and given.client_key_data:
        certificate, key = given.client_certificate_data.encode(), given.client_key_data.encode()
    expires_at = _aware(given.expiration_timestamp)
    token = checked(given.token, f"the token of credential plugin {plugin.command!r} of kubeconfig {kubeconfig.path}")
    return Credentials(token, certificate, key, expires_at, renewal(expires_at, datetime.now(UTC)))


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
    except (IndexError, ValueError, OverflowError, OSError, msgspec.DecodeError):
        return None


def renewal(expires_at: datetime | None, now: datetime) -> datetime | None:
    """When to renew credentials obtained now: early, but short-lived ones not for every request."""
    if expires_at is None:
        return None
    return max(expires_at - RENEW_BEFORE, now + (expires_at - now) * RENEW_AT_LIFE_FRACTION)


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
