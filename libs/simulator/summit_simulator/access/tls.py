"""The cluster's own certificate authority, as every real cluster has one."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import trustme

ORGANIZATION = "kubernetes"
A_YEAR = timedelta(days=365)


class KeyPair(NamedTuple):
    """A certificate and its key, PEM encoded."""

    certificate_pem: bytes
    key_pem: bytes


class CertificateAuthority:
    """Issues the apiserver's certificate and those of clients."""

    def __init__(self, name: str) -> None:
        self.authority = trustme.CA(organization_name=ORGANIZATION, organization_unit_name=name)
        self.certificate_pem = self.authority.cert_pem.bytes()

    def issue_server(self, names: Sequence[str], *, valid_for: timedelta = A_YEAR) -> KeyPair:
        """A serving certificate for host names and addresses. A negative validity makes an expired one."""
        return self._issue(names, "kube-apiserver", valid_for)

    def issue_client(self, user: str, *, valid_for: timedelta = A_YEAR) -> KeyPair:
        """A client certificate, whose common name is the user."""
        return self._issue((), user, valid_for)

    def _issue(self, names: Sequence[str], common_name: str, valid_for: timedelta) -> KeyPair:
        issued = self.authority.issue_cert(
            *names,
            common_name=common_name,
            organization_name=ORGANIZATION,
            organization_unit_name="simulator",
            not_after=datetime.now(UTC) + valid_for,
        )
        return KeyPair(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())


def server_context(authority: CertificateAuthority, pair: KeyPair) -> ssl.SSLContext:
    """TLS for the apiserver; a client certificate is welcome but not required."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    trustme.LeafCert(pair.key_pem, pair.certificate_pem, []).configure_cert(context)
    authority.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
