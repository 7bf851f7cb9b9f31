"""Credentials are loaded again when the server refuses them, never left out, and plugins run no more than needed.

The server shows what was sent: it logs every request with its user.
"""

import asyncio
import base64
import json
import logging
import resource
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.credential_plugin import Plugin
from support.mirror import mirrored
from support.program import is_running
from support.waiting import until
from support.watched import QUICK, lists

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName
from summit_simulator.access import kubeconfig
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import AuthError, KubeconfigError
from summit_watcher.kube.rights.reviews import who_am_i
from summit_watcher.settings import TIMES, WatcherTimes

NAME = ClusterName("vulcan")


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan") as simulated:
        simulated.create_vm("vm-0")
        yield simulated


@pytest.fixture
def plugin(tmp_path: Path, cluster: SimulatedCluster) -> Plugin:
    made = Plugin(tmp_path, cluster)
    made.gives({"token": cluster.token})
    made.write_kubeconfig()
    return made


def connect(path: Path, times: WatcherTimes = TIMES) -> ClusterConnection:
    return ClusterConnection(path, name=NAME, times=times)


@pytest.mark.parametrize("credential", ["token", "token-file", "certificate"])
async def test_each_credential_says_who_we_are(cluster: SimulatedCluster, tmp_path: Path, credential: Any) -> None:
    """Static token, token file, client certificate."""
    async with connect(cluster.write_kubeconfig(tmp_path / "kc", credential=credential)) as connection:
        assert await who_am_i(connection) == "admin"
        assert await connection.identity() == cluster.uid
        assert (await connection.server_version()).startswith("v1.")


async def test_a_rotated_token_file_is_read_again(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """A 401 makes us read it at once, and the request succeeds."""
    async with connect(cluster.write_kubeconfig(tmp_path / "kc", credential="token-file")) as connection:
        await connection.server_version()
        cluster.access.revoke("admin")
        (tmp_path / "kc.token").write_text(cluster.access.add_token("admin") + "\n")
        assert await who_am_i(connection) == "admin"


async def test_a_refusal_after_reloading_is_reported(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """A person must replace an expired static token. The token is not in the sentence."""
    token = cluster.token
    async with connect(cluster.write_kubeconfig(tmp_path / "kc")) as connection:
        await connection.server_version()
        cluster.access.revoke("admin")
        with pytest.raises(AuthError, match="refuses the credentials of kubeconfig") as raised:
            await who_am_i(connection)
        assert token not in str(raised.value)


async def test_one_plugin_run_serves_all_streams(cluster: SimulatedCluster, plugin: Plugin) -> None:
    """Ten requests at once make one run, and the next ten none."""
    async with connect(plugin.kubeconfig) as connection:
        for _ in range(2):
            assert await asyncio.gather(*(who_am_i(connection) for _ in range(10))) == ["admin"] * 10
    assert plugin.runs == 1


async def test_an_expiring_token_is_renewed_before_it_ends(cluster: SimulatedCluster, plugin: Plugin) -> None:
    """So is a token that lives for seconds, but not for each request."""
    ends = datetime.now(UTC) + timedelta(seconds=2)
    plugin.gives({"token": cluster.token, "expirationTimestamp": ends.isoformat().replace("+00:00", "Z")})
    async with connect(plugin.kubeconfig) as connection:
        await asyncio.gather(*(who_am_i(connection) for _ in range(5)))
        assert plugin.runs == 1
        plugin.gives({"token": cluster.access.add_token("other")})
        await until(lambda: datetime.now(UTC) > ends - timedelta(seconds=0.3))
        assert await who_am_i(connection) == "other"
    assert plugin.runs == 2


async def test_a_plugin_may_give_a_client_certificate(cluster: SimulatedCluster, plugin: Plugin) -> None:
    """It may give one instead of a token."""
    assert cluster.authority is not None
    pair = cluster.authority.issue_client("robot")
    plugin.gives(
        {"clientCertificateData": pair.certificate_pem.decode(), "clientKeyData": pair.key_pem.decode()},
    )
    async with connect(plugin.kubeconfig) as connection:
        assert await who_am_i(connection) == "robot"
        assert [c.subject for c in await connection.certificates() if c.kind == "client"] == [
            "CN=robot,OU=simulator,O=kubernetes"
        ]


async def test_the_end_of_our_credentials_is_known(cluster: SimulatedCluster, plugin: Plugin, tmp_path: Path) -> None:
    """It is known for a plugin's token, for a JWT and for a client certificate, not for other tokens."""
    ends = datetime(2030, 1, 1, tzinfo=UTC)
    claims = base64.urlsafe_b64encode(json.dumps({"exp": ends.timestamp()}).encode()).decode().rstrip("=")
    cluster.access.add_token("robot", f"e30.{claims}.signature")
    plugin.gives({"token": cluster.token, "expirationTimestamp": ends.isoformat().replace("+00:00", "Z")})
    for path in (plugin.kubeconfig, cluster.write_kubeconfig(tmp_path / "jwt", user="robot")):
        async with connect(path) as connection:
            await connection.server_version()
            assert connection.credentials_expire_at == ends
    async with connect(cluster.write_kubeconfig(tmp_path / "cert", credential="certificate")) as connection:
        await connection.server_version()
        assert connection.credentials_expire_at == min(
            c.not_after for c in await connection.certificates() if c.kind == "client"
        )
    async with connect(cluster.write_kubeconfig(tmp_path / "token")) as connection:
        await connection.server_version()
        assert connection.credentials_expire_at is None


BROKEN = [
    pytest.param("raise SystemExit('token expired, log in again')", "exit code 1: token expired", id="fails"),
    pytest.param("time.sleep(60)", "gave no answer within 1 s", id="hangs"),
    pytest.param("print('hello'); raise SystemExit", "printed no ExecCredential", id="prints garbage"),
    pytest.param("print('x' * 2**21); time.sleep(60)", "printed more than 1048576 bytes", id="prints without end"),
    pytest.param("status = {}", "gave neither a token nor a client certificate", id="gives nothing"),
]


@pytest.mark.parametrize(("action", "sentence"), BROKEN)
async def test_a_broken_plugin_means_no_request_at_all(
    cluster: SimulatedCluster, plugin: Plugin, action: str, sentence: str
) -> None:
    """The official client would continue as system:anonymous. An attempt soon after does not run the plugin again."""
    plugin.does(action)
    times = WatcherTimes(credentials_seconds=1)
    async with connect(plugin.kubeconfig, times) as connection:
        for _ in range(3):
            with pytest.raises(AuthError) as raised:
                await connection.server_version()
            assert sentence in str(raised.value)
    assert plugin.runs == 1
    assert list(cluster.requests) == []


@pytest.mark.parametrize(("action", "sentence"), BROKEN)
async def test_a_plugin_that_breaks_under_a_running_watch_sends_nothing_anonymous(
    cluster: SimulatedCluster, plugin: Plugin, caplog: pytest.LogCaptureFixture, action: str, sentence: str
) -> None:
    """The token is refused and there is no other: the watch waits, and resumes without a list. No log shows a token."""
    caplog.set_level(logging.DEBUG)
    times = WatcherTimes(credentials_seconds=1, reload_seconds=0.1)
    tokens = [cluster.token]
    async with connect(plugin.kubeconfig, times) as connection, mirrored(connection, QUICK) as mirror:
        await until(lambda: mirror.state is State.SYNCED)
        cluster.access.revoke("admin")
        plugin.does(action)
        cluster.faults.close_streams(abort=True)
        await until(lambda: mirror.state is State.AUTH_FAILED and sentence in (mirror.reason or ""))
        tokens.append(cluster.access.add_token("admin"))
        plugin.gives({"token": tokens[1]})
        plugin.does("")
        cluster.create_vm("vm-1")
        await until(lambda: mirror.state is State.SYNCED and len(mirror.objects) == 2)
    assert {request.user for request in cluster.requests} == {"admin", None}
    assert lists(cluster) == 1
    assert not any(token in caplog.text for token in tokens)


def preemptions() -> int:
    """How often the system has interrupted this thread."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


async def longest_turn(work: asyncio.Task[Any]) -> float:
    """The longest pause of the event loop during the work, in seconds, without pauses that other processes caused."""
    longest, last, preempted = 0.0, time.monotonic(), preemptions()
    while not work.done():
        await asyncio.sleep(0)
        turn, others = time.monotonic() - last, preemptions() - preempted
        longest = max(longest, turn if not others else 0.0)
        last, preempted = time.monotonic(), preempted + others
    return longest


async def test_a_hanging_plugin_does_not_hold_up_the_others(cluster: SimulatedCluster, plugin: Plugin) -> None:
    """Neither its start nor its end blocks the event loop for 50 ms. The best of five counts: the machine is busy."""
    plugin.does("time.sleep(60)")
    times = WatcherTimes(reload_seconds=0, credentials_seconds=0.3)
    longest: list[float] = []
    while len(longest) < 5 and not (longest and longest[-1] < 0.05):
        async with connect(plugin.kubeconfig, times) as connection:
            asked = asyncio.create_task(connection.server_version())
            longest.append(await longest_turn(asked))
            with pytest.raises(AuthError, match="gave no answer within"):
                await asked
    assert min(longest) < 0.05


CHILD = """import subprocess
quiet = subprocess.DEVNULL
child = subprocess.Popen(["sleep", "60"], stdin=quiet, stdout=quiet, stderr=quiet, process_group={group})
(here / "child").write_text(str(child.pid))
"""


@pytest.mark.parametrize("group", [None, 0], ids=["in its process group", "in a process group of its own"])
async def test_what_a_plugin_leaves_behind_ends_with_it(
    cluster: SimulatedCluster, plugin: Plugin, group: int | None
) -> None:
    """The plugin has answered, and its child would keep the environment and the token for ever."""
    plugin.does(CHILD.format(group=group))
    async with connect(plugin.kubeconfig) as connection:
        assert await who_am_i(connection) == "admin"
        await until(lambda: not is_running(int((plugin.kubeconfig.parent / "child").read_text())))


@pytest.mark.parametrize("end", ["its time is over", "the connection ends"])
async def test_a_plugin_and_its_children_end_together(cluster: SimulatedCluster, plugin: Plugin, *, end: str) -> None:
    """A plugin that is a shell script has children."""
    plugin.does(CHILD.format(group=0) + "time.sleep(60)")
    file = plugin.kubeconfig.parent / "child"
    times = WatcherTimes(credentials_seconds=1.5 if end == "its time is over" else 60)
    async with connect(plugin.kubeconfig, times) as connection:
        asked = asyncio.create_task(connection.server_version())
        await until(lambda: file.exists() and file.read_text())
        if end == "the connection ends":
            asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: not is_running(int(file.read_text())))


async def test_a_plugin_gets_and_shows_no_secret(
    cluster: SimulatedCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our secrets are not in its environment, and our sentence leaves out the secrets that it prints."""
    for name in (
        "NATS_URL",
        "DATABASE_URL",
        "API_ADMIN_TOKEN",
        "API_TICKET_KEY",
        "WATCHER_CONFIG",
        "POSTGRES_PASSWORD",
    ):
        monkeypatch.setenv(name, "pa55word")
    monkeypatch.setenv("AWS_PROFILE", "fra")
    jwt = f"{'e' * 20}.{'y' * 400}.{'J' * 40}"
    found = "' '.join([os.environ['AWS_PROFILE'], *(n for n, v in os.environ.items() if v == 'pa55word')])"
    plugin.does(f"raise SystemExit('401 for Authorization: Bearer {jwt} with ' + {found})")
    async with connect(plugin.kubeconfig) as connection:
        with pytest.raises(AuthError, match=r"failed with exit code 1: 401 for Authorization: Bearer … with fra$"):
            await connection.server_version()


@pytest.mark.parametrize("content", ["first\nsecond\n", "to\0ken", "\x7fELF\x02"])
async def test_a_file_that_is_not_a_token_is_reported(cluster: SimulatedCluster, tmp_path: Path, content: str) -> None:
    """No header can contain it. It is not in the sentence, and nothing is sent."""
    async with connect(cluster.write_kubeconfig(tmp_path / "kc", credential="token-file")) as connection:
        (tmp_path / "kc.token").write_text(content)
        with pytest.raises(AuthError, match="holds line breaks or characters that no token has") as raised:
            await connection.server_version()
        assert content not in str(raised.value)
    assert list(cluster.requests) == []


async def test_a_missing_plugin_is_named(cluster: SimulatedCluster, plugin: Plugin) -> None:
    """The sentence names the binary, which must be in our image."""
    (plugin.kubeconfig.parent / "plugin").unlink()
    async with connect(plugin.kubeconfig) as connection:
        with pytest.raises(AuthError, match=r"plugin './plugin' of kubeconfig .* cannot be run: No such file"):
            await connection.server_version()


async def test_an_auth_provider_that_gives_no_token_means_no_request(cluster: SimulatedCluster, plugin: Plugin) -> None:
    """Newer versions of kubectl and of the loader silently ignore providers that older ones knew."""
    config = yaml.safe_load(plugin.kubeconfig.read_text())
    config["users"][0]["user"] = {"auth-provider": {"name": "azure", "config": {}}}
    kubeconfig.write(plugin.kubeconfig, config)
    async with connect(plugin.kubeconfig) as connection:
        with pytest.raises(AuthError, match="auth-provider 'azure' gave no token"):
            await connection.server_version()
    assert list(cluster.requests) == []


@pytest.mark.parametrize(
    "user",
    [
        {"tokenFile": "a\0b"},
        {"tokenFile": "~nobody-of-that-name/token"},
        {"exec": {"command": "plug\0in", "apiVersion": "client.authentication.k8s.io/v1"}},
        {"exec": {"command": "true", "args": ["\0"], "apiVersion": "client.authentication.k8s.io/v1"}},
        {"exec": {"command": "~nobody-of-that-name/p", "apiVersion": "client.authentication.k8s.io/v1"}},
        {"auth-provider": {"name": "gcp"}},
        {"auth-provider": {"name": "gcp", "config": {"access-token": "s3cret", "expiry": "s3cret"}}},
        {"auth-provider": {"name": "oidc", "config": {"id-token": 5}}},
    ],
)
async def test_a_section_that_no_client_understands_is_reported_and_not_sent(
    cluster: SimulatedCluster, plugin: Plugin, user: dict[str, Any]
) -> None:
    """An error that is not ours would end the cluster's watcher again and again, without a log line."""
    config = yaml.safe_load(plugin.kubeconfig.read_text())
    config["users"][0]["user"] = user
    kubeconfig.write(plugin.kubeconfig, config)
    async with connect(plugin.kubeconfig) as connection:
        with pytest.raises((AuthError, KubeconfigError)) as raised:
            await connection.server_version()
        assert "s3cret" not in str(raised.value)
    assert list(cluster.requests) == []
