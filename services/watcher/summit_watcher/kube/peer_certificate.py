"""The certificate of a server that was not accepted. OpenSSL gives only its verdict, and people need the certificate.

It comes from a second handshake, which verifies nothing and shows no certificate of ours. Nothing is sent after it: no
request and no credentials.
"""

import asyncio
import contextlib
import ssl
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cryptography import x509

from summit_watcher.kube.access.kubeconfig import ClusterSection

NAMES_SHOWN = 6
"""API servers have a dozen; the first ones show whose certificate it is."""


async def described(cluster: ClusterSection, timeout_seconds: float) -> str | None:
    """The certificate that a cluster's server shows, in words; None if it does not answer.

    None behind a proxy as well: without the proxy another server would answer.
    """
    if cluster.proxy_url or _has_proxy(urlsplit(cluster.server).hostname or ""):
        return None
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(timeout_seconds):
            return in_words(x509.load_der_x509_certificate(await _shown(cluster)))
    return None


def _has_proxy(host: str) -> bool:
    """Whether the environment names a proxy for this host."""
    return "https" in getproxies() and not proxy_bypass(host)


async def _shown(cluster: ClusterSection) -> bytes:
    server = urlsplit(cluster.server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    name = cluster.tls_server_name or server.hostname
    _, writer = await asyncio.open_connection(server.hostname, server.port or 443, ssl=context, server_hostname=name)
    try:
        return cast("bytes", writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    finally:
        writer.transport.abort()


def in_words(certificate: x509.Certificate) -> str:
    """The subject, names, issuer and times of a certificate: one of them is wrong."""
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        f"it shows {subject or 'a certificate without a subject'}, {_names(certificate)}, issued by {issuer}, "
        f"valid from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
    )


def _names(certificate: x509.Certificate) -> str:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "for no host"
    names = [str(name.value) for name in alternatives]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"for {', '.join(names[:NAMES_SHOWN])}{more}"
