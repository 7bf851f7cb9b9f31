"""The `auth-provider` oidc of a kubeconfig: an id-token, and how to get another one when it ends.

client-go has no other provider since Kubernetes 1.26. The issuer gets no more than one request to its discovery
document and one to its token endpoint; redirects are not followed, and nothing of its answers is shown but the OAuth
error code.
Sources: client-go plugin/pkg/client/auth/oidc; RFC 6749 §5.2, §6; OpenID Connect Discovery 1.0 §4.
"""

from base64 import b64decode, b64encode
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlsplit

import aiohttp
import msgspec

from summit_runtime.own_thread import OwnThread
from summit_watcher.kube.access.kubeconfig import Kubeconfig
from summit_watcher.kube.access.proxy import proxy_of
from summit_watcher.kube.access.tls import client_context
from summit_watcher.kube.bounds import ISSUER_BYTES, one_line
from summit_watcher.kube.errors import UNREADABLE, AuthError, WatcherError
from summit_watcher.kube.reply import Reply, transport_errors

AnswerT = TypeVar("AnswerT")


class OidcConfig(msgspec.Struct, rename="kebab", frozen=True):
    """The `config` of the provider."""

    idp_issuer_url: str = ""
    client_id: str = ""
    client_secret: str = ""
    id_token: str = ""
    refresh_token: str = ""
    idp_certificate_authority: str = ""
    idp_certificate_authority_data: str = ""

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"OidcConfig(idp_issuer_url={self.idp_issuer_url!r})"


class _Discovery(msgspec.Struct):
    token_endpoint: str


class _Tokens(msgspec.Struct):
    id_token: str


class _Refusal(msgspec.Struct):
    error: str


async def refreshed(kubeconfig: Kubeconfig, config: OidcConfig, timeout_seconds: float, thread: OwnThread) -> str:
    """Another id-token from the issuer. Raises AuthError with one sentence, whatever goes wrong."""
    where = f"kubeconfig {kubeconfig.path}: auth-provider oidc"
    if not (config.refresh_token and config.idp_issuer_url and config.client_id):
        raise AuthError(f"{where} has no valid id-token, and lacks what is needed to get another one: log in again")
    try:
        context = await thread.run(
            lambda: client_context(where, authority=_authority(kubeconfig, config)), timeout_seconds
        )
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            return await _refreshed(session, config)
    except TimeoutError:
        raise AuthError(f"{where}: no other id-token within {timeout_seconds:g} s") from None
    except WatcherError as error:
        raise AuthError(f"{where} got no other id-token: {error}") from error
    except ValueError:  # not with its text, which quotes what the issuer has sent
        raise AuthError(f"{where} got no other id-token: the address of its issuer or token endpoint is none") from None


def _authority(kubeconfig: Kubeconfig, config: OidcConfig) -> bytes | None:
    try:
        data = b64decode(config.idp_certificate_authority_data)
    except ValueError:
        raise AuthError("idp-certificate-authority-data is not base64") from None
    if data or not config.idp_certificate_authority:
        return data or None
    return kubeconfig.read("idp-certificate-authority", config.idp_certificate_authority)


async def _refreshed(session: aiohttp.ClientSession, config: OidcConfig) -> str:
    issuer = config.idp_issuer_url.rstrip("/")
    discovery = await _asked(session, "GET", f"{issuer}/.well-known/openid-configuration", _Discovery)
    endpoint = discovery.token_endpoint
    if urlsplit(endpoint).scheme != urlsplit(issuer).scheme:
        raise AuthError("the issuer's token endpoint has another scheme than the issuer")
    form = {"grant_type": "refresh_token", "refresh_token": config.refresh_token}
    headers = {}
    if config.client_secret:
        pair = f"{quote_plus(config.client_id)}:{quote_plus(config.client_secret)}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        form["client_id"] = config.client_id  # a public client
    return (await _asked(session, "POST", endpoint, _Tokens, data=form, headers=headers)).id_token


async def _asked(session: aiohttp.ClientSession, method: str, url: str, kind: type[AnswerT], **content: Any) -> AnswerT:
    host = one_line(urlsplit(url).netloc.rpartition("@")[2])
    with transport_errors(host):
        response = await session.request(
            method,
            url,
            allow_redirects=False,
            proxy=proxy_of(url),
            **content,
        )
    async with response:
        body = await Reply(response, host).body(ISSUER_BYTES)
    if response.status != 200:
        raise AuthError(f"{host} answered {response.status}{_code(body)}")
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE:
        raise AuthError(f"{host} answered something else than OpenID Connect says ({len(body)} bytes)") from None


def _code(body: bytes) -> str:
    """The OAuth error code, such as ` (invalid_grant)`; "" if there is none."""
    try:
        code = msgspec.json.decode(body, type=_Refusal).error
    except UNREADABLE:
        return ""
    return f" ({code})" if code.isascii() and code.replace("_", "").isalpha() and len(code) < 50 else ""
