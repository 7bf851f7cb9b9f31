"""Certificates that OpenSSL accepts and the library that reads them does not."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from summit_watcher.kube.access.certificates import certificates, described_der, server_certificate

KEY = ec.generate_private_key(ec.SECP256R1())
_FIRST, _SECOND = b"\x06\x03\x2a\x03\x04", b"\x06\x03\x2a\x03\x05"
"""The object identifiers 1.2.3.4 and 1.2.3.5."""


def der(*extensions: tuple[str, bytes]) -> bytes:
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    for oid, value in extensions:
        made = made.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False)
    return made.sign(KEY, SHA256()).public_bytes(Encoding.DER)


PLAIN = der(("1.2.3.4", b"a"), ("1.2.3.5", b"b"))
ODD = [
    pytest.param(der(("2.5.29.17", bytes.fromhex("3004a3020500"))), id="a name of an unknown kind"),
    pytest.param(der(("2.5.29.17", b"\xff\xff")), id="names that are rubbish"),
    pytest.param(PLAIN.replace(_SECOND, _FIRST), id="an extension twice"),
    pytest.param(PLAIN.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"), id="an unknown version"),
    pytest.param(PLAIN.replace(b"\x0c\x03odd", b"\x0c\x03\xff\xfe\xfd"), id="a subject that is no text"),
    pytest.param(b"\x30\x00", id="no certificate"),
]


@pytest.mark.parametrize("certificate", ODD)
def test_an_odd_certificate_is_left_out(certificate: bytes) -> None:
    """The library's exceptions, most of them no ValueErrors, ended the task of the cluster that shows it."""
    pem = ssl.DER_cert_to_PEM_cert(certificate).encode()
    assert len(certificates(pem, pem)) in (0, 2)
    shown = server_certificate(certificate)
    assert shown is None or shown.subject == "CN=odd"
    assert described_der(certificate) is None


def test_a_plain_certificate_is_described() -> None:
    """The same certificate without what is odd."""
    assert "it shows CN=odd, for no host, issued by CN=odd" in (described_der(PLAIN) or "")
