"""When a file counts as changed."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from support.files import EAGER, has_changed

from summit_runtime.own_thread import OwnThread
from summit_runtime.watched_files import WatchedFiles, read_limited

T = TypeVar("T")


@pytest.fixture
def files() -> Iterator[WatchedFiles]:
    thread = OwnThread("files")
    yield WatchedFiles(thread, EAGER)
    thread.end()


async def test_content_counts_and_not_the_time_of_a_file(files: WatchedFiles, tmp_path: Path) -> None:
    """A file that is touched, or replaced by an equal one, has not changed."""
    path = tmp_path / "file"
    path.write_text("one")
    files.note(path)
    path.touch()
    assert not await has_changed(files)
    (tmp_path / "equal").write_text("one")
    (tmp_path / "equal").rename(path)
    assert not await has_changed(files)
    path.write_text("two")
    assert await has_changed(files)


async def test_a_file_that_comes_or_goes_has_changed_even_if_it_is_empty(files: WatchedFiles, tmp_path: Path) -> None:
    """No file and an empty file are not the same; a name that no file can have is no file."""
    path = tmp_path / "file"
    files.note(path, Path("\0"))
    assert not await has_changed(files)
    path.touch()
    assert await has_changed(files)
    files.note(path)
    path.unlink()
    assert await has_changed(files)


async def test_a_symlink_that_is_swapped_above_a_file_changes_it(files: WatchedFiles, tmp_path: Path) -> None:
    """So Kubernetes updates mounted secrets: neither the file's path nor its own link is another then."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "file").write_text(version)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "file").symlink_to("..data/file")
    files.note(tmp_path / "file")
    assert not await has_changed(files)
    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert await has_changed(files)


async def test_each_of_several_files_counts(files: WatchedFiles, tmp_path: Path) -> None:
    """Files may be added later; what was noted before stays noted."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("one")
    files.note(first)
    first.write_text("two")
    files.note_also(second)
    assert await has_changed(files)
    files.note(first)
    second.write_text("two")
    assert not await has_changed(files)


class Writing(OwnThread):
    """Writes the next of some texts into a file before each look at it."""

    def __init__(self, path: Path, *texts: str) -> None:
        super().__init__("writing")
        self.path = path
        self.texts = list(texts)

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        if self.texts:
            self.path.write_text(self.texts.pop(0))
        return await super().run(work, seconds)


async def test_a_change_counts_when_it_has_stood_for_a_while(tmp_path: Path) -> None:
    """A file that is being written is waited for."""
    path = tmp_path / "file"
    writing = Writing(path, "o", "on", "one")
    files = WatchedFiles(writing, EAGER)
    files.note(path)
    async with asyncio.timeout(5):
        await files.changed()
    writing.end()
    assert writing.texts == []


async def test_a_change_that_is_taken_back_is_none(tmp_path: Path) -> None:
    """An editor that saves twice, the second time as before, has changed nothing."""
    path = tmp_path / "file"
    path.write_text("one")
    writing = Writing(path, "two", "one", "one", "one", "three")
    files = WatchedFiles(writing, EAGER)
    files.note(path)
    async with asyncio.timeout(5):
        await files.changed()
    writing.end()
    assert writing.texts == []


async def test_a_file_that_hangs_is_no_change_and_does_not_hold_up_the_process(
    files: WatchedFiles, tmp_path: Path
) -> None:
    """A pipe that nobody writes to stands for a file system that is away; when it answers, the change is found."""
    path = tmp_path / "file"
    files.note(path)
    os.mkfifo(path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4 * EAGER.read_seconds):
            await files.changed()
    writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    (tmp_path / "other").write_text("there")
    (tmp_path / "other").rename(path)
    os.close(writer)
    async with asyncio.timeout(5):
        await files.changed()


async def test_a_file_without_an_end_is_one_that_cannot_be_read(files: WatchedFiles, tmp_path: Path) -> None:
    """/dev/zero as a kubeconfig would take all memory."""
    path = tmp_path / "file"
    path.symlink_to("/dev/zero")
    files.note(path)
    path.unlink()
    assert not await has_changed(files)
    with pytest.raises(OSError, match="File too large"):
        read_limited(Path("/dev/zero"))
