"""Files for logging in to NATS that cannot be used: one sentence each, which names the variable."""

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from support.nats_accounts import Operator, new_key, public_key, seed_of

from summit_runtime.nats.connection.login import Login, LoginError

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost")
OTHER = AUTHORITY.issue_cert("localhost")


def _encrypted() -> bytes:
    key = load_pem_private_key(CERTIFICATE.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"s3cret"))


FILES = {
    "empty": b"",
    "text": b"s3cret",
    "ca": AUTHORITY.cert_pem.bytes(),
    "cert": CERTIFICATE.cert_chain_pems[0].bytes(),
    "key": CERTIFICATE.private_key_pem.bytes(),
    "other-key": OTHER.private_key_pem.bytes(),
    "encrypted-key": _encrypted(),
    "creds": Operator().credentials().encode(),
    "nkey": seed_of(new_key()).encode(),
    "public": public_key(new_key()).encode(),
    "damaged": b"SU" + b"A" * 56,
}


@pytest.fixture
def named(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"creds": "gone"}, "NATS_CREDS: {}/gone cannot be read: No such file or directory"),
        ({"creds": "text"}, "NATS_CREDS: {}/text is no credentials file: …"),
        ({"creds": "nkey"}, "NATS_CREDS: {}/nkey is no credentials file: it needs a user's JWT and its key"),
        ({"nkey": "public"}, "NATS_NKEY: {}/public has no key of a user, which begins with SU"),
        ({"nkey": "damaged"}, "NATS_NKEY: the key in {}/damaged is damaged: its checksum is wrong"),
        ({"nkey": "nkey", "creds": "creds"}, "set NATS_CREDS or NATS_NKEY, not both: …"),
        ({"ca": "gone"}, "NATS_CA: {}/gone cannot be read: No such file or directory"),
        ({"ca": "empty"}, "NATS_CA: {}/empty has no certificate in PEM"),
        ({"ca": "text"}, "NATS_CA: {}/text has no certificate in PEM"),
        ({"ca": "ca", "key": "key"}, "NATS_KEY is set and NATS_CERT is not: …"),
        ({"cert": "cert", "key": "gone"}, "NATS_KEY: {}/gone cannot be read: No such file or directory"),
        ({"cert": "cert"}, "NATS_CERT, NATS_KEY: {0}/cert and {0}/cert are no certificate and key in PEM"),
        ({"cert": "cert", "key": "text"}, "NATS_CERT, NATS_KEY: {0}/cert and {0}/text are no …"),
        (
            {"cert": "cert", "key": "other-key"},
            "NATS_KEY: the key in {0}/other-key is not that of the certificate in …",
        ),
        ({"cert": "cert", "key": "encrypted-key"}, "NATS_KEY: the key in {0}/encrypted-key is encrypted: …"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(named: Path, files: dict[str, str], sentence: str) -> None:
    """At the start it ends the process; at a reconnect it is the reason why NATS cannot be reached."""
    login = Login(**{variable: named / file for variable, file in files.items()})
    with pytest.raises(LoginError) as refused:
        login.check()
    begin, is_cut, _ = sentence.format(named).partition("…")
    assert str(refused.value).startswith(begin) if is_cut else str(refused.value) == begin
    assert "s3cret" not in str(refused.value)


def test_good_files_are_good(named: Path) -> None:
    """Certificate and key may be in two files or in one."""
    Login(creds=named / "creds", ca=named / "ca", cert=named / "cert", key=named / "key").check()
    Login(nkey=named / "nkey").check()
    (named / "both").write_bytes(FILES["cert"] + FILES["key"])
    Login(cert=named / "both").check()
    Login().check()
