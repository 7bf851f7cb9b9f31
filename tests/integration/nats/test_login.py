"""Logging in with files, to real servers: credentials, NKeys, certificates of an own authority."""

import asyncio
from pathlib import Path

import nkeys
import pytest
import trustme
from pydantic import SecretStr
from support.nats_accounts import Operator, new_key, public_key, seed_of
from support.nats_server import nats_server
from support.waiting import until

from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.login import Login
from summit_runtime.waiting import end


@pytest.fixture
def authority(tmp_path: Path) -> "Authority":
    return Authority(tmp_path)


class Authority:
    """An authority of one's own, with the files that a server and a client name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._issuer = trustme.CA()
        self.ca = directory / "ca.pem"
        self._issuer.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, host: str = "127.0.0.1") -> Path:
        """A file with a certificate and its key."""
        file = self._directory / f"{name}.pem"
        file.unlink(missing_ok=True)
        self._issuer.issue_cert(host, common_name=name).private_key_and_cert_chain_pem.write_to_path(file)
        return file

    def tls(self, *, mutual: bool) -> str:
        """For the server's configuration."""
        file = self.issue("server")
        names = f'cert_file: "{file}", key_file: "{file}"'
        return f'tls {{ {names}, ca_file: "{self.ca}", verify: {str(mutual).lower()} }}'


def knowing(key: nkeys.KeyPair) -> str:
    """For the configuration of a server with one user."""
    return f"authorization {{ users: [ {{ nkey: {public_key(key)} }} ] }}"


async def connects(url: str, login: Login) -> None:
    async with asyncio.timeout(20), bus.connected(SecretStr(url), name="test", login=login) as client:
        assert await client.jetstream().account_info()


async def does_not_connect(url: str, login: Login, caplog: pytest.LogCaptureFixture) -> str:
    """The line about it."""
    connecting = asyncio.create_task(bus.connect(SecretStr(url), name="test", login=login))
    await until(lambda: "cannot be reached" in caplog.text)
    await end(connecting)
    return next(line for line in caplog.messages if "cannot be reached" in line)


async def test_a_user_with_an_nkey_logs_in(tmp_path: Path) -> None:
    """The server knows the public key only; the file may have the seed alone, or what `nk` and `nsc` write."""
    key, file = new_key(), tmp_path / "user.nk"
    async with nats_server(tmp_path / "nats", more=knowing(key)) as (address, _):
        for content in (seed_of(key), f"# of the watcher\n{seed_of(key)}\n{public_key(key)}\n"):
            file.write_text(content)
            await connects(f"nats://{address}", Login(nkey=file))


async def test_a_key_that_the_server_does_not_know_is_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The line blamed the user and password of NATS_URL, which had none."""
    file = tmp_path / "user.nk"
    file.write_text(seed_of(new_key()))
    async with nats_server(
        tmp_path / "nats", more=f"authorization {{ users: [{{ nkey: {public_key(new_key())} }}] }}"
    ) as (
        address,
        _,
    ):
        line = await does_not_connect(f"nats://{address}", Login(nkey=file), caplog)
    assert f"(it refuses the key in {file} (NATS_NKEY))" in line


async def test_credentials_that_expire_are_read_again(tmp_path: Path) -> None:
    """nats-py closed for good when the server ended the connection, and the process restarted."""
    operator, file = Operator(), tmp_path / "user.creds"
    async with nats_server(tmp_path / "nats", more=operator.config) as (address, _):
        file.write_text(operator.credentials(seconds=2))
        async with bus.connected(SecretStr(f"nats://{address}"), name="test", login=Login(creds=file)) as client:
            file.write_text(operator.credentials())
            await until(lambda: client.stats["reconnects"] and client.is_connected)
            assert await client.jetstream().account_info()


async def test_mutual_tls_with_an_authority_of_ones_own(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the address begins with nats://, since the server asks for TLS."""
    login = Login(ca=authority.ca, cert=authority.issue("watcher"))
    async with nats_server(tmp_path / "nats", more=authority.tls(mutual=True)) as (address, _):
        await connects(f"tls://{address}", login)
        await connects(f"nats://{address}", login)
        line = await does_not_connect(f"tls://{address}", Login(ca=authority.ca), caplog)
    assert "it asks for a client certificate: set NATS_CERT and NATS_KEY" in line


async def test_a_server_of_another_authority_is_not_believed(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says what to set."""
    async with nats_server(tmp_path / "nats", more=authority.tls(mutual=False)) as (address, _):
        line = await does_not_connect(f"tls://{address}", Login(), caplog)
    assert "its certificate is not accepted" in line
    assert "NATS_CA" in line


async def test_certificates_that_were_replaced_count_at_the_next_connection(
    tmp_path: Path, authority: Authority
) -> None:
    """All of server and client are new, by a new authority, as after a rotation of everything."""
    login = Login(ca=authority.ca, cert=authority.issue("watcher"))
    tls = authority.tls(mutual=True)
    async with (
        nats_server(tmp_path / "nats", more=tls) as (address, server),
        bus.connected(SecretStr(f"tls://{address}"), name="test", login=login) as client,
    ):
        renewed = Authority(tmp_path)
        assert renewed.tls(mutual=True) == tls
        renewed.issue("watcher")
        server.kill()
        await until(lambda: client.stats["reconnects"] and client.is_connected)


async def test_an_authority_that_is_named_means_tls(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Who names one expects no plain text, however the address begins."""
    async with nats_server(tmp_path / "nats") as (address, _):
        line = await does_not_connect(f"nats://{address}", Login(ca=authority.ca), caplog)
    assert "has no TLS" in line
