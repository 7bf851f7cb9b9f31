"""What this process shows to NATS beside its address: files with credentials, keys and certificates.

The variables have the names that the `nats` command gives them, so one environment serves both. Each connection reads
the files again, so rotated ones count at the next reconnect.
"""

import base64
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nats.errors import Error as NatsError

from summit_runtime.watched_files import read_limited

MOST_BYTES = 1024 * 1024
"""A bundle of all authorities of the world has a quarter of it."""

_BLOCK = re.compile(rb"-{3,}BEGIN ([A-Z ]+)-{3,}\s+([\w.=-]+)\s+-{3,}END")
_SEED = re.compile(rb"\bSU[A-Z2-7]{56}\b")
"""Of a user: 32 bytes, two of a prefix and two of a checksum in base32."""


class LoginError(NatsError):
    """A file cannot be used. The sentence names the variable and the file, and nothing of what is in it.

    nats-py takes it for one more failed attempt to connect.
    """


class Signer(NamedTuple):
    """Proves who we are: the server sends a nonce, and a key that never leaves this process signs it."""

    sign: Callable[[str], bytes]
    """Gives the signature of a nonce in base64."""
    public_key: str
    jwt: bytes | None
    """What the operator of the server has signed of the user; None where the server itself knows the key."""


@dataclass(frozen=True, kw_only=True)
class Login:
    creds: Path | None = None
    """NATS_CREDS: the JWT and the key of a user, as `nsc` writes them."""
    nkey: Path | None = None
    """NATS_NKEY: the key of a user whose public key the server's configuration has."""
    ca: Path | None = None
    """NATS_CA: the authorities that may have issued the server's certificate, instead of those of the system."""
    cert: Path | None = None
    """NATS_CERT: our certificate, with those between it and its authority."""
    key: Path | None = None
    """NATS_KEY: its private key, unless that is in the same file."""

    @property
    def wants_tls(self) -> bool:
        """Who names an authority or a certificate expects no plain text."""
        return bool(self.ca or self.cert)

    @property
    def shown(self) -> str:
        """What a server refuses that does not let us in."""
        if self.creds:
            return f"the credentials in {self.creds} (NATS_CREDS)"
        if self.nkey:
            return f"the key in {self.nkey} (NATS_NKEY)"
        return "the user and password of NATS_URL"

    def check(self) -> None:
        """Raise LoginError unless everything can be used now."""
        if self.creds and self.nkey:
            raise LoginError("set NATS_CREDS or NATS_NKEY, not both: the credentials have a key of their own")
        if self.key and not self.cert:
            raise LoginError("NATS_KEY is set and NATS_CERT is not: a key needs its certificate")
        if self.wants_tls:
            self.tls()
        self.signer()

    def tls(self) -> ssl.SSLContext:
        """What a connection with TLS trusts and shows. Raises LoginError."""
        context = _trusting(self.ca)
        if self.cert:
            _show(context, self.cert, self.key)
        return context

    def signer(self) -> Signer | None:
        """Raises LoginError."""
        if self.creds:
            blocks = dict(_BLOCK.findall(_content("NATS_CREDS", self.creds)))
            jwt, seed = blocks.get(b"NATS USER JWT"), blocks.get(b"USER NKEY SEED", b"")
            if not (jwt and _SEED.fullmatch(seed)):
                raise LoginError(f"NATS_CREDS: {self.creds} is no credentials file: it needs a user's JWT and its key")
            return _signer("NATS_CREDS", self.creds, seed, jwt)
        if self.nkey:
            found = _SEED.search(_content("NATS_NKEY", self.nkey))
            if not found:
                raise LoginError(f"NATS_NKEY: {self.nkey} has no key of a user, which begins with SU")
            return _signer("NATS_NKEY", self.nkey, found[0], None)
        return None


NO_FILES = Login()
VARIABLES = ("NATS_CREDS", "NATS_NKEY", "NATS_CA", "NATS_CERT", "NATS_KEY")
"""Where a process finds the files of its login."""


def _content(variable: str, path: Path) -> bytes:
    try:
        return read_limited(path, MOST_BYTES)
    except OSError as error:
        raise LoginError(f"{variable}: {path} cannot be read: {error.strerror}") from error


def _signer(variable: str, path: Path, seed: bytes, jwt: bytes | None) -> Signer:
    import nkeys  # and with it libsodium, which most installations do not need

    raw = base64.b32decode(seed + b"=" * (-len(seed) % 8))
    if nkeys.crc16(raw[:-2]) != int.from_bytes(raw[-2:], "little"):  # nkeys (0.2.1) does not look at it
        raise LoginError(f"{variable}: the key in {path} is damaged: its checksum is wrong")
    key = nkeys.from_seed(bytearray(seed))
    return Signer(lambda nonce: base64.b64encode(key.sign(nonce.encode())), key.public_key.decode(), jwt)


def _trusting(ca: Path | None) -> ssl.SSLContext:
    if ca is None:
        return ssl.create_default_context()
    content = _content("NATS_CA", ca).decode("ascii", "replace")
    try:
        return ssl.create_default_context(cadata=content or " ")  # Python takes an empty text for none
    except (ssl.SSLError, ValueError) as error:
        raise LoginError(f"NATS_CA: {ca} has no certificate in PEM") from error


def _show(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    """Show a certificate to servers that ask for one."""
    where = key or cert

    def ask_nobody() -> bytes:
        raise LoginError(f"NATS_KEY: the key in {where} is encrypted: decrypt it, openssl pkey -in {where} -out …")

    _content("NATS_CERT", cert)
    _content("NATS_KEY", where)
    try:
        context.load_cert_chain(cert, key, ask_nobody)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise LoginError(f"NATS_KEY: the key in {where} is not that of the certificate in {cert}") from error
        raise LoginError(f"NATS_CERT, NATS_KEY: {cert} and {where} are no certificate and key in PEM") from error
