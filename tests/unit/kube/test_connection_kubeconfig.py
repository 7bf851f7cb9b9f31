"""A kubeconfig is read before anything uses it: each defect is one sentence, and no secret is ever printed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from summit_watcher.kube.access import kubeconfig, kubeconfig_file
from summit_watcher.kube.errors import AuthError, KubeconfigError

PATH = Path("config/fra.yaml")


def document(*, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "current-context": "fra",
        "contexts": [{"name": "fra", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://fra:6443"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {"token": "s3cret"}}],
    }


DEFECTS = [
    pytest.param("", "is empty", id="empty"),
    pytest.param("a: [", "line 2 is not YAML", id="bad YAML"),
    pytest.param("just text", "is not a kubeconfig", id="not a mapping"),
    pytest.param("clusters: {}", "Expected `array | null`, got `object` - at `$.clusters`", id="wrong type"),
    pytest.param("contexts: null", "has no current-context: name a context (it has: none)", id="no current-context"),
    pytest.param("current-context: x", "has no context 'x' (it has: none)", id="unknown context"),
    pytest.param(
        {"contexts": [{"name": "fra", "context": {"cluster": "gone"}}]}, "has no cluster 'gone'", id="unknown cluster"
    ),
    pytest.param({"users": None}, "has no user 'u'", id="a user that is not there is not anonymous"),
    pytest.param(document(cluster={"server": "fra:6443"}), "is not an http or https address", id="server"),
    pytest.param(document(cluster={"proxy-url": "socks5://p:1"}), "socks5 scheme is not supported", id="socks5"),
    pytest.param(document(user={"token": "t", "as": "root"}), "impersonation ('as') is not supported", id="act-as"),
    pytest.param(document(user={"as-groups": ["g"]}), "impersonation ('as') is not supported", id="act-as groups"),
    pytest.param(
        document(user={"exec": {"command": "p", "apiVersion": "v1", "interactiveMode": "Always"}}),
        "has interactiveMode Always",
        id="interactive plugin",
    ),
    pytest.param(document(cluster={"server": "https://fra:port"}), "the host or the port in server", id="port"),
    pytest.param(document(cluster={"server": "https://[::1"}), "the host or the port in server", id="broken IPv6"),
    pytest.param(document(cluster={"server": "https://a..b"}), "the host or the port in server", id="empty label"),
    pytest.param(document(cluster={"server": "https://u:s3cret@fra"}), "server has a user in its address", id="user"),
    pytest.param(document(cluster={"tls-server-name": "a..b"}), "tls-server-name 'a..b' is not a host", id="TLS name"),
    pytest.param(
        document(cluster={"proxy-url": "http://p:port"}), "the host or the port in proxy-url", id="proxy port"
    ),
    pytest.param(document(cluster={"proxy-url": "http://"}), "proxy-url has no host", id="proxy without host"),
    pytest.param(document(user={"username": "a"}), "has one of username and password, and needs both", id="basic"),
    pytest.param(document(user={"client-key": "k"}), "client-certificate-data and client-key", id="key alone"),
    pytest.param(document(user={"auth-provider": {}}), "its auth-provider is empty", id="no auth-provider"),
    pytest.param(document(user={"auth-provider": {"config": ["a"]}}), "is not a map", id="auth-provider's config"),
]


@pytest.mark.parametrize(("text", "sentence"), DEFECTS)
def test_each_defect_is_one_sentence_that_names_the_file(text: str | dict[str, Any], sentence: str) -> None:
    """The same exception reports everything that can be wrong with the file."""
    written = text if isinstance(text, str) else yaml.safe_dump(document() | text)
    with pytest.raises(KubeconfigError) as raised:
        kubeconfig_file.parse(written.encode(), PATH)
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("kubeconfig config/fra.yaml")
    assert "\n" not in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_missing_file_and_a_directory_have_sentences_of_their_own(tmp_path: Path) -> None:
    """Both are common mistakes in datacenters.yaml."""
    with pytest.raises(KubeconfigError, match="not found at"):
        kubeconfig_file.read(tmp_path / "none")
    with pytest.raises(KubeconfigError, match="is a directory"):
        kubeconfig_file.read(tmp_path)


def test_files_without_an_end_are_errors_and_do_not_fill_the_memory() -> None:
    """A link to /dev/zero as kubeconfig or token took all memory of the watcher of all clusters."""
    with pytest.raises(KubeconfigError, match="cannot be read: File too large"):
        kubeconfig_file.read(Path("/dev/zero"))
    read = kubeconfig_file.parse(yaml.safe_dump(document(user={"tokenFile": "/dev/zero"})).encode(), PATH)
    with pytest.raises((AuthError, KubeconfigError), match="/dev/zero: File too large"):
        read.token()


def test_a_named_context_wins_over_the_current_one() -> None:
    """One file may serve several clusters."""
    two = document()
    two["contexts"].append({"name": "other", "context": {"cluster": "c2", "user": "u"}})
    two["clusters"].append({"name": "c2", "cluster": {"server": "https://other:8443"}})
    assert kubeconfig_file.parse(yaml.safe_dump(two).encode(), PATH, "other").endpoint == "other:8443"
    assert kubeconfig_file.parse(yaml.safe_dump(two).encode(), PATH).endpoint == "fra:6443"


def test_a_token_file_is_relative_to_the_kubeconfig_and_stripped(tmp_path: Path) -> None:
    """`kubectl create token > file` leaves a newline, which no header may contain."""
    (tmp_path / "t").write_text("abc\n")
    read = kubeconfig_file.parse(
        yaml.safe_dump(document(user={"tokenFile": "t", "token": "old"})).encode(), tmp_path / "kc"
    )
    assert read.token() == "abc"
    read = kubeconfig_file.parse(yaml.safe_dump(document(user={"tokenFile": "t"})).encode(), tmp_path / "kc")
    (tmp_path / "t").write_text("\n")
    with pytest.raises(AuthError, match="is empty"):
        read.token()


def test_no_secret_is_in_the_representation() -> None:
    """A kubeconfig that is logged by accident shows no credentials."""
    secret = {"token": "s3cret", "username": "a", "password": "s3cret"}
    secret |= {"client-certificate-data": "c", "client-key-data": "s3cret"}
    assert "s3cret" not in repr(kubeconfig_file.parse(yaml.safe_dump(document(user=secret)).encode(), PATH))


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    """A binary file is not a kubeconfig."""
    path = tmp_path / "kc"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KubeconfigError, match="is not a text file"):
        kubeconfig_file.read(path)


def test_a_kubeconfig_that_others_may_read_has_a_warning(tmp_path: Path) -> None:
    """The warning names who may read it, and the command that ends it. A file without secrets has none."""
    path = tmp_path / "vulcan.yaml"
    path.write_text(yaml.safe_dump(document()))
    path.chmod(0o600)
    assert kubeconfig_file.read(path).warnings == []
    path.chmod(0o644)
    assert kubeconfig_file.read(path).warnings == [
        f"kubeconfig {path} is readable by everyone on this machine: run chmod 600 {path}"
    ]
    path.chmod(0o640)
    (warning,) = kubeconfig_file.read(path).warnings
    assert "is readable by its group" in warning
    path.write_text(yaml.safe_dump(document(user={"tokenFile": "token"})))
    assert kubeconfig_file.read(path).warnings == []


def test_a_kubeconfig_that_we_read_through_its_group_has_no_warning() -> None:
    """Kubernetes mounts Secrets as root's, for the group of the pod; nobody could follow `run chmod 600` there."""
    assert kubeconfig.readers(0o440, is_ours=False) is None
    assert kubeconfig.readers(0o440, is_ours=True) == "its group"
    assert kubeconfig.readers(0o444, is_ours=False) == "everyone on this machine"
