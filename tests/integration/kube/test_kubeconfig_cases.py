"""Kubeconfigs as they come in the field: what kubectl takes, we take."""

import base64
import json
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from support.paths import SAMPLES

from summit_models.contract import ClusterName
from summit_runtime.own_thread import OwnThread
from summit_simulator.access import kubeconfig
from summit_simulator.access.tls import CertificateAuthority
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.kube.access import kubeconfig_file
from summit_watcher.kube.access.tls import client_context
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import AuthError, KubeconfigError

CASES = sorted((SAMPLES / "kubeconfigs").glob("*.yaml"))
PLUGIN = """#!{python}
import json, os
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
(open({seen!r}, "w")).write(json.dumps(info))
print(json.dumps({{"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": {{"token": {token!r}}}}}))
"""


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan") as simulated:
        simulated.access.add_token("admin", "fake-token")
        yield simulated


def authority(cluster: SimulatedCluster) -> bytes:
    assert cluster.authority is not None
    return cluster.authority.certificate_pem


def filled(case: Path, cluster: SimulatedCluster, directory: Path) -> Path:
    """The case with the address and authority of a cluster, in the encoding of the case."""
    content = case.read_bytes()
    encoding = "utf-16" if content.startswith(b"\xff\xfe") else "utf-8"
    text = content.decode(encoding)
    encoded = base64.b64encode(authority(cluster)).decode()
    (directory / "ca.crt").write_bytes(authority(cluster))
    plugin = directory / "plugin"
    plugin.write_text(PLUGIN.format(python=sys.executable, token="fake-token", seen=str(directory / "seen")))
    plugin.chmod(0o700)
    lines = textwrap.indent("\n".join(textwrap.wrap(encoded, 64)), "      ").strip()
    for name, value in {
        "CA_BASE64_IN_LINES_OF_64": lines,
        "CA_BASE64": encoded,
        "SERVER": f"127.0.0.1:{cluster.port}",
        "PLUGIN": str(plugin),
    }.items():
        text = text.replace("{{" + name + "}}", value)
    path = directory / "kubeconfig"
    path.write_bytes(text.encode(encoding))
    return path


def connect(path: Path, context: str | None = None) -> ClusterConnection:
    return ClusterConnection(path, context, name=ClusterName("vulcan"))


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
async def test_a_kubeconfig_that_kubectl_takes_is_taken(case: Path, cluster: SimulatedCluster, tmp_path: Path) -> None:
    """What is odd in it is in its name."""
    async with connect(filled(case, cluster, tmp_path)) as connection:
        assert await connection.identity() == cluster.uid


async def test_a_plugin_gets_the_content_of_a_ca_file(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """It cannot know from where the file's path counts."""
    path = filled(SAMPLES / "kubeconfigs" / "exec-info-file.yaml", cluster, tmp_path)
    async with connect(path) as connection:
        await connection.server_version()
    seen = json.loads((tmp_path / "seen").read_text())["spec"]["cluster"]
    assert base64.b64decode(seen["certificate-authority-data"]) == authority(cluster)
    assert "certificate-authority" not in seen


ODD = [
    pytest.param('{{\n\t"current-context": "c",\n\t"clusters": [{{"name": "k", "cluster": {{"server": "{url}", '
                 '"certificate-authority-data": "{ca}"}}}}],\n\t"contexts": [{{"name": "c", "context": '
                 '{{"cluster": "k", "user": "u"}}}}], "users": [{{"name": "u", "user": '
                 '{{"token": "fake-token"}}}}]\n}}\n', id="tabs in JSON"),
    pytest.param("\ufeffcurrent-context: no\nclusters: [{{name: 1.10, cluster: {{server: '{url}', "
                 "certificate-authority-data: {ca}, insecure-skip-tls-verify: off, proxy-url: '', "
                 "tls-server-name: ~}}}}]\n"
                 "contexts: [~, {{name: no, context: {{cluster: 1.10, user: 2026-01-01, namespace: 7}}}}]\n"
                 "users: [text, {{name: 2026-01-01, user: {{token: fake-token, client-key: ''}}}}]\n",
                 id="names that YAML takes for a boolean, a number and a day, with a BOM"),
    pytest.param("current-context: c\nextra: &e {{server: '{url}', certificate-authority-data: {ca}}}\n"
                 "clusters: [{{name: k, cluster: {{<<: *e}}}}]\n"
                 "contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
                 "users: [{{name: u, user: {{token: fake-token, exec: ~}}}}]\n", id="anchors and a merge"),
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
async def test_an_odd_kubeconfig_is_read(text: str, cluster: SimulatedCluster, tmp_path: Path) -> None:
    """Siblings of the cases."""
    encoded = base64.b64encode(authority(cluster)).decode()
    (tmp_path / "kc").write_text(text.format(url=cluster.url, ca=encoded))
    async with connect(tmp_path / "kc") as connection:
        assert await connection.identity() == cluster.uid


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
HOSTILE = [
    pytest.param("[" * 50_000, id="lists"),
    pytest.param("- " * 50_000, id="lists in one line"),
    pytest.param("? " * 50_000, id="keys"),
    pytest.param('{"a":' * 50_000, id="JSON"),
    pytest.param("{a: " * 50_000, id="maps"),
    pytest.param(BOMB + "current-context: c\nclusters: [{name: k, cluster: {server: 'https://a', extensions: *a39}}]\n"
                 "contexts: [{name: c, context: {cluster: k}}]", id="aliases of aliases"),
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_kubeconfig_that_is_nested_without_end_is_refused(text: str, tmp_path: Path) -> None:
    """Libyaml would end the process of all clusters."""
    (tmp_path / "kc").write_text(text)
    thread, began = OwnThread("small stack"), time.monotonic()
    with pytest.raises(KubeconfigError) as raised:
        await thread.run(lambda: kubeconfig_file.read(tmp_path / "kc"), 30)
    thread.end()
    assert len(str(raised.value)) < 300 + len(str(tmp_path))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("what", ["kubeconfig", "certificate-authority", "tokenFile", "client-certificate"])
async def test_a_device_without_end_costs_its_cluster_only(
    what: str, cluster: SimulatedCluster, tmp_path: Path
) -> None:
    """`/dev/zero` filled the memory."""
    if what == "kubeconfig":
        path = Path("/dev/zero")
    else:
        path = cluster.write_kubeconfig(tmp_path / "kc")
        config = yaml.safe_load(path.read_text())
        user = {"client-certificate": "/dev/zero", "client-key": "/dev/zero"} if what == "client-certificate" else {}
        config["users"][0]["user"] = user or {"tokenFile": "/dev/zero"}
        if what == "certificate-authority":
            config["clusters"][0]["cluster"] |= {what: "/dev/zero", "certificate-authority-data": ""}
        kubeconfig.write(path, config)
    async with connect(path) as connection:
        with pytest.raises((KubeconfigError, AuthError), match="File too large"):
            await connection.server_version()


async def test_a_ca_and_no_verification_together_are_refused(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """Kubectl refuses it: one of the two is a mistake, and we cannot know which."""
    path = cluster.write_kubeconfig(tmp_path / "kc")
    config = yaml.safe_load(path.read_text())
    config["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    kubeconfig.write(path, config)
    async with connect(path) as connection:
        with pytest.raises(KubeconfigError, match="certificate-authority and insecure-skip-tls-verify"):
            await connection.server_version()


def test_a_file_of_many_contexts_is_parsed_once(tmp_path: Path) -> None:
    """Each of 60 clusters parsed it when one token changed, which delayed the events of all by ten seconds."""
    names = [f"c{number}" for number in range(300)]
    config = {
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in names],
        "clusters": [{"name": n, "cluster": {"server": f"https://{n}:6443"}} for n in names],
        "users": [{"name": n, "user": {"token": "t" * 2000}} for n in names],
    }
    path = kubeconfig.write(tmp_path / "kc", config)
    began = time.process_time()
    kubeconfig_file.read(path, names[0])
    first = time.process_time() - began
    began = time.process_time()
    for name in names[1:41]:
        assert kubeconfig_file.read(path, name).endpoint == f"{name}:6443"
    assert time.process_time() - began < 5 * first


def test_an_encrypted_client_key_is_an_error_and_no_question(tmp_path: Path) -> None:
    """OpenSSL would ask for the password on the terminal, and wait for ever."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    pair = CertificateAuthority("test").issue_client("admin")
    with pytest.raises(KubeconfigError, match="the client key is encrypted: decrypt it"):
        client_context("kubeconfig x", authority=None, certificate=pair.certificate_pem, key=key)
