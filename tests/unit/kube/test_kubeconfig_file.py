"""A kubeconfig and the files that it names, while they change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.files import EAGER, has_changed

from summit_runtime.own_thread import OwnThread
from summit_runtime.watched_files import WatchedFiles
from summit_watcher.kube.access.kubeconfig_file import read_noted
from summit_watcher.kube.errors import KubeconfigError

KUBECONFIG = yaml.safe_dump(
    {
        "current-context": "fra",
        "contexts": [{"name": "fra", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://fra:6443", "certificate-authority": "ca"}}],
        "users": [{"name": "u", "user": {"tokenFile": "t", "client-certificate": "crt", "client-key": "key"}}],
    }
)


@pytest.fixture
def files() -> Iterator[WatchedFiles]:
    thread = OwnThread("files")
    yield WatchedFiles(thread, EAGER)
    thread.end()


@pytest.mark.parametrize("name", ["kc", "ca", "t", "crt", "key"])
async def test_every_file_that_is_named_is_watched(files: WatchedFiles, tmp_path: Path, name: str) -> None:
    """A rotated token or a new authority is a change, though the kubeconfig is the same."""
    for file in ("ca", "t", "crt", "key"):
        (tmp_path / file).write_text("one")
    (tmp_path / "kc").write_text(KUBECONFIG)
    read_noted(files, tmp_path / "kc", None)
    assert not await has_changed(files)
    (tmp_path / name).write_text(KUBECONFIG + "# two")
    assert await has_changed(files)
    read_noted(files, tmp_path / "kc", None)
    assert not await has_changed(files)


async def test_a_broken_file_is_no_change_once_it_was_tried(files: WatchedFiles, tmp_path: Path) -> None:
    """The same holds for a missing file. Only a new content is a change."""
    for broken in (None, "clusters: ["):
        if broken is not None:
            (tmp_path / "kc").write_text(broken)
        with pytest.raises(KubeconfigError):
            read_noted(files, tmp_path / "kc", None)
        assert not await has_changed(files)
    (tmp_path / "kc").write_text(KUBECONFIG)
    assert await has_changed(files)
