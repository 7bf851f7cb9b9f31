"""A kubeconfig and the files it names, while they change."""

from pathlib import Path

import pytest
import yaml

from summit_watcher.kube.access.kubeconfig_files import KubeconfigFiles
from summit_watcher.kube.errors import KubeconfigError

KUBECONFIG = yaml.safe_dump(
    {
        "current-context": "fra",
        "contexts": [{"name": "fra", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://fra:6443", "certificate-authority": "ca"}}],
        "users": [{"name": "u", "user": {"tokenFile": "t", "client-certificate": "crt", "client-key": "key"}}],
    }
)


@pytest.mark.parametrize("name", ["kc", "ca", "t", "crt", "key"])
def test_every_file_that_is_named_counts(tmp_path: Path, name: str) -> None:
    """A rotated token or a new authority is a change, though the kubeconfig is the same; touching a file is none."""
    for file in ("ca", "t", "crt", "key"):
        (tmp_path / file).write_text("one")
    (tmp_path / "kc").write_text(KUBECONFIG)
    files = KubeconfigFiles(tmp_path / "kc", None)
    files.read()
    (tmp_path / name).touch()
    assert files.change() is None
    (tmp_path / name).write_text(KUBECONFIG + "# two")
    assert files.change() is not None
    files.read()
    assert files.change() is None


def test_mounted_secrets_change_by_a_symlink_above_them(tmp_path: Path) -> None:
    """Kubernetes swaps `..data`: neither the file's path nor the link itself is another then."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "kc").write_text(f"{KUBECONFIG}# {version}")
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "kc").symlink_to("..data/kc")
    files = KubeconfigFiles(tmp_path / "kc", None)
    files.read()
    assert files.change() is None
    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert files.change() is not None


def test_a_broken_file_is_no_change_once_it_was_tried(tmp_path: Path) -> None:
    """Nor is one that is not there; what mends it is."""
    files = KubeconfigFiles(tmp_path / "kc", None)
    for broken in (None, "clusters: ["):
        if broken is not None:
            (tmp_path / "kc").write_text(broken)
        with pytest.raises(KubeconfigError):
            files.read()
        assert files.change() is None
    (tmp_path / "kc").write_text(KUBECONFIG)
    assert files.change() is not None
