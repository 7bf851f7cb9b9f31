"""NATS_URL is read as nats.go reads it."""

import pytest

from summit_runtime.nats.connection.address import Credentials, parse


@pytest.mark.parametrize(
    ("url", "server", "credentials"),
    [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222", Credentials()),
        ("broker", "nats://broker:4222", Credentials()),
        ("tls://broker", "tls://broker:4222", Credentials()),
        ("wss://broker", "wss://broker:443", Credentials()),
        ("nats://[::1]:4333", "nats://[::1]:4333", Credentials()),
        ("nats://user:p%40ss%23w%2Frd%251@host:4222", "nats://host:4222", Credentials("user", "p@ss#w/rd%1")),
        ("nats://a%40b:secret@host:4222", "nats://host:4222", Credentials("a@b", "secret")),
        ("nats://100%:50%@host", "nats://host:4222", Credentials("100%", "50%")),
        ("nats://t%2Fken@host:4222", "nats://host:4222", Credentials(token="t/ken")),
        ("NATS://host:4222/", "nats://host:4222", Credentials()),
    ],
)
def test_an_address_is_a_server_and_its_credentials(url: str, server: str, credentials: Credentials) -> None:
    """The port and the scheme may be left out; a user without a password is a token; what is encoded is decoded."""
    address = parse(url)
    assert address.servers == (server,)
    assert address.credentials_of(server.partition("://")[2]) == credentials


def test_each_server_of_a_list_has_its_own_credentials() -> None:
    """A server that the cluster has announced is in nobody's list: it has those of the first."""
    address = parse("nats://a:4222, nats://u:one@b:4222,nats://u:two@c:4222,")
    assert address.servers == ("nats://a:4222", "nats://b:4222", "nats://c:4222")
    assert [address.credentials_of(f"{host}:4222").password for host in "abcd"] == [None, "one", "two", "one"]
