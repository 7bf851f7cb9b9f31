"""Certificates: those that a connection depends on, and when they end; and that of a server that was not accepted."""

import asyncio
import contextlib
import ssl
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, cast

from cryptography import x509

from summit_watcher.kube.access.kubeconfig import Kubeconfig
from summit_watcher.kube.bounds import MESSAGE_SHOWN, one_line

WARN_BEFORE = timedelta(days=7)
"""A person who has to request a new certificate needs some days."""
_ODD = (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""Errors of a certificate that OpenSSL may accept: its parts are read when they are asked for, and not all are
ValueErrors."""
NAMES_SHOWN = 6
"""API servers have a dozen; the first ones show whose certificate it is."""


class Certificate(NamedTuple):
    kind: Literal["ca", "client", "server"]
    subject: str
    not_after: datetime

    def __str__(self) -> str:
        return f"the {self.kind} certificate {self.subject} ends at {self.not_after:%Y-%m-%d %H:%M} UTC"


def certificates(authority_pem: bytes | None, client_pem: bytes | None) -> list[Certificate]:
    """Every certificate of the authority, and our own. Unreadable ones are left out: the TLS handshake reports them."""
    pems: tuple[tuple[Literal["ca", "client"], bytes | None], ...] = (("ca", authority_pem), ("client", client_pem))
    return [found for kind, pem in pems for one in _read(pem) if (found := _certificate(kind, one))]


def _read(pem: bytes | None) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem) if pem else []
    except _ODD:
        return []


def _certificate(kind: Literal["ca", "client", "server"], certificate: x509.Certificate) -> Certificate | None:
    try:
        return Certificate(kind, certificate.subject.rfc4514_string(), certificate.not_valid_after_utc)
    except _ODD:
        return None


def server_certificate(der: bytes | None) -> Certificate | None:
    """That of a server, as it was shown in a handshake."""
    try:
        return _certificate("server", x509.load_der_x509_certificate(der)) if der else None
    except _ODD:
        return None


async def described(kubeconfig: Kubeconfig, timeout_seconds: float) -> str | None:
    """The certificate that a cluster's server shows, in words, since OpenSSL gives only its verdict.

    It comes from a second handshake, which verifies nothing and shows no certificate of ours. Nothing is sent after it:
    no request and no credentials. None if the server does not answer. Not for a server behind a proxy: without the
    proxy another one would answer.
    """
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(timeout_seconds):
            return described_der(await _shown(kubeconfig))
    return None


def described_der(der: bytes) -> str | None:
    """A certificate in words; None if it cannot be read."""
    try:
        return one_line(in_words(x509.load_der_x509_certificate(der)), MESSAGE_SHOWN)
    except _ODD:
        return None


async def _shown(kubeconfig: Kubeconfig) -> bytes:
    host, port = kubeconfig.host_and_port
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    name = kubeconfig.cluster.tls_server_name or host
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
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
