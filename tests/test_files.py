"""Files that are written as a whole or not at all, in every format."""

import os
import signal
import stat
import threading

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import files, io

FULL = "/dev/full"
needs_full = pytest.mark.skipif(not os.path.exists(FULL), reason="a full disk to write to")


@pytest.fixture
def drawing():
    cell = tg.ElmanCell(1, 2, rng=0)
    return tg.draw(tg.unroll(cell, np.ones((2, 1, 1))).outputs.sum())


SUFFIXES = [".svg", ".png", ".pdf", ".dot", ".html", ".json"]


class FullDisk:
    """A file system on which the first bytes fit and no more."""

    def __init__(self, monkeypatch, room):
        self.room, self._fdopen = room, os.fdopen
        monkeypatch.setattr(os, "fdopen", self.open)

    def open(self, *arguments, **options):
        file = self._fdopen(*arguments, buffering=0, **options)
        disk = self

        class File:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def write(self, data):
                written = file.write(memoryview(data)[: disk.room])
                disk.room -= written
                if written < len(memoryview(data)):
                    raise OSError(28, "No space left on device")
                return written

            def __getattr__(self, name):
                return getattr(file, name)

        return File()


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".safetensors"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, drawing, suffix):
    path = tmp_path / f"picture{suffix}"
    save = tg.ElmanCell(3, 4).save if suffix == ".safetensors" else drawing.save
    save(path)
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        FullDisk(patched, 100)
        with pytest.raises(OSError, match=rf"No space left on device: '.*picture\{suffix}'") as e:
            save(path)
    assert e.value.filename == str(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@needs_full
def test_a_device_is_written_to_directly(drawing):
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        files.write(FULL, "text" * 10_000)
    assert files.write("/dev/null", b"x").name == "null"


def test_two_savers_at_once_leave_one_whole_file(tmp_path):
    cells = [tg.GRUCell(40, 50, rng=i) for i in range(4)]
    path, errors = tmp_path / "m.safetensors", []

    def save(cell):
        try:
            for _ in range(10):
                cell.save(path)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(cell,)) for cell in cells]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = io.read(path).arrays["W"]
    assert any(np.array_equal(found, cell.W.numpy()) for cell in cells)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(5, "broken")])
def test_an_error_in_the_middle_leaves_the_old_file(tmp_path, error):
    path = files.write(tmp_path / "a", "old")
    kind = error if isinstance(error, type) else OSError
    with pytest.raises(kind), files.replacing(path) as f:  # noqa: PT012
        f.write(b"new")
        raise error
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_links_are_followed_and_permissions_kept(tmp_path):
    path = files.write(tmp_path / "a", "old")
    path.chmod(0o640)
    (tmp_path / "link").symlink_to("a")
    files.write(tmp_path / "link", "new")
    assert path.read_text() == "new"
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    mask = os.umask(0o022)
    try:
        fresh = files.write(tmp_path / "b", "x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o644


def test_places_that_cannot_be_written_are_named(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"Is a directory: '.*'"):
        files.write(tmp_path, "x")
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*/none/a'"):
        files.write(tmp_path / "none" / "a", "x")
    with pytest.raises(NotADirectoryError, match=r"'.*/b/c'"):
        files.write(files.write(tmp_path / "b", "x") / "c", "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_is_write_protected_stays(tmp_path):
    path = files.write(tmp_path / "a", "old")
    path.chmod(0o400)
    with pytest.raises(PermissionError, match=r"'.*/a'"):
        files.write(path, "new")


def test_a_long_name_is_no_obstacle(tmp_path):
    name = "n" * 255
    assert files.write(tmp_path / name, "x").read_text() == "x"


def test_files_that_belong_together_come_together(tmp_path):
    for name in "ab":
        files.write(tmp_path / name, "old")
    with pytest.raises(KeyboardInterrupt), files.together(tmp_path) as new:  # noqa: PT012
        files.write(new / "a", "new")
        raise KeyboardInterrupt
    assert [(tmp_path / name).read_text() for name in "ab"] == ["old", "old"]
    assert len(list(tmp_path.iterdir())) == 2
    with files.together(tmp_path) as new:
        for name in "abc":
            files.write(new / name, "new")
    assert sorted((e.name, e.read_text()) for e in tmp_path.iterdir()) == [
        ("a", "new"), ("b", "new"), ("c", "new"),
    ]  # fmt: skip


def test_an_error_names_the_file_and_not_where_it_is_made(tmp_path):
    with pytest.raises(IsADirectoryError) as e, files.together(tmp_path) as new:  # noqa: PT012
        (new / "a").mkdir()
        files.write(new / "a", "new")
    assert e.value.filename == str(tmp_path / "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(IsADirectoryError) as e, files.together(tmp_path) as new:
        files.write(new / "b", "new")
    assert e.value.filename == str(tmp_path / "b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_ctrl_c_waits_until_all_are_in_place(tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(a, b):
        signal.raise_signal(signal.SIGINT)
        replace(a, b)

    with pytest.raises(KeyboardInterrupt), files.together(tmp_path) as new:  # noqa: PT012
        for name in "abc":
            files.write(new / name, "new")
        monkeypatch.setattr(os, "replace", interrupted)
    assert sorted(e.name for e in tmp_path.iterdir()) == ["a", "b", "c"]
