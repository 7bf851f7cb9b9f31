"""NKeys, and users whom an operator has signed: what `nsc` makes, for a server of a test."""

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import nkeys


def new_key(prefix: int = nkeys.PREFIX_BYTE_USER) -> nkeys.KeyPair:
    return nkeys.from_seed(nkeys.encode_seed(secrets.token_bytes(32), prefix))


def seed_of(key: nkeys.KeyPair) -> str:
    return bytes(key.seed).decode()


def public_key(key: nkeys.KeyPair) -> str:
    return str(key.public_key.decode())


@dataclass
class Operator:
    """An operator with one account, which may use JetStream."""

    key: nkeys.KeyPair = field(default_factory=lambda: new_key(nkeys.PREFIX_BYTE_OPERATOR))
    account: nkeys.KeyPair = field(default_factory=lambda: new_key(nkeys.PREFIX_BYTE_ACCOUNT))
    system: nkeys.KeyPair = field(default_factory=lambda: new_key(nkeys.PREFIX_BYTE_ACCOUNT))
    """The account of the server itself, without which there is no JetStream."""

    @property
    def config(self) -> str:
        """For the server's configuration: it trusts the operator, and knows the account."""
        limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
        storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
        system, account = public_key(self.system), public_key(self.account)
        preloaded = {
            account: _signed(self.key, self.account, {"type": "account", "limits": limits | storage}),
            system: _signed(self.key, self.system, {"type": "account", "limits": limits}),
        }
        operator = _signed(self.key, self.key, {"type": "operator", "system_account": system})
        lines = "\n".join(f"  {key}: {jwt}" for key, jwt in preloaded.items())
        return f"operator: {operator}\nresolver: MEMORY\nresolver_preload {{\n{lines}\n}}"

    def credentials(self, *, seconds: float | None = None) -> str:
        """Credentials of a new user, which are good for so long."""
        key = new_key()
        user = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        jwt = _signed(self.account, key, user, exp=seconds and int(time.time() + seconds))
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\nNKEY Seed printed below.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed_of(key)}\n------END USER NKEY SEED------\n"
        )


def _signed(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, claims: dict[str, Any], exp: float | None = None) -> str:
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    body = {
        "jti": secrets.token_hex(16),
        "iat": int(time.time()),
        "iss": public_key(issuer),
        "name": str(claims["type"]),
        "sub": public_key(subject),
        "nats": claims | {"version": 2},
    } | ({"exp": exp} if exp else {})
    signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(body).encode())}"
    return f"{signed}.{_encoded(issuer.sign(signed.encode()))}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
