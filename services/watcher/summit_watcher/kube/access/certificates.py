"""The certificates that a connection depends on, and when they end."""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from cryptography import x509

WARN_BEFORE = timedelta(days=7)
"""Whoever has to request a new certificate needs some days."""


class Certificate(NamedTuple):
    kind: Literal["ca", "client"]
    subject: str
    not_after: datetime

    def __str__(self) -> str:
        return f"the {self.kind} certificate {self.subject} ends at {self.not_after:%Y-%m-%d %H:%M} UTC"


def certificates(authority_pem: bytes | None, client_pem: bytes | None) -> list[Certificate]:
    """Every certificate of the authority, and our own. Unreadable ones are left out: the TLS handshake reports them."""
    pems: tuple[tuple[Literal["ca", "client"], bytes | None], ...] = (("ca", authority_pem), ("client", client_pem))
    return [
        Certificate(kind, certificate.subject.rfc4514_string(), certificate.not_valid_after_utc)
        for kind, pem in pems
        for certificate in _read(pem)
    ]


def _read(pem: bytes | None) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem) if pem else []
    except ValueError:
        return []
