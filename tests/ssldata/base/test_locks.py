"""One holder at a time, across processes; a dead one holds nothing."""

from __future__ import annotations

import errno
import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import filelock
import pytest

from ssldata.base.cache_folder import cache_dir
from ssldata.base.locks import exclusive_lock, one_at_a_time

#: For a process to start; never waited for in full.
PATIENCE = 300


def hold(path: Path, ready: Event, release: Event) -> None:
    with exclusive_lock(path):
        ready.set()
        release.wait()


@pytest.fixture(params=["a file", "a folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    if request.param == "a folder":
        path.mkdir()
    return path


@pytest.fixture
def holder(path: Path) -> tuple[BaseProcess, Event]:
    """Return a process that holds the lock, and what makes it let go."""
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(path, ready, release), daemon=True)
    process.start()
    assert ready.wait(PATIENCE)
    return process, release


def test_two_processes_exclude_each_other(
    path: Path, holder: tuple[BaseProcess, Event], caplog: pytest.LogCaptureFixture
) -> None:
    entered = threading.Event()

    def second() -> None:
        with exclusive_lock(path, waiting=f"{path}: waiting"):
            entered.set()

    thread = threading.Thread(target=second, daemon=True)
    thread.start()
    while not caplog.messages:
        time.sleep(0.01)
    assert caplog.messages == [f"{path}: waiting"]
    assert not entered.is_set()
    holder[1].set()
    assert entered.wait(PATIENCE)
    assert path.exists()  # removed, it would let a third in beside one who waits


def test_a_killed_holder_holds_nothing(
    path: Path, holder: tuple[BaseProcess, Event], caplog: pytest.LogCaptureFixture
) -> None:
    holder[0].kill()
    holder[0].join()
    with exclusive_lock(path, waiting="waiting"):
        assert caplog.messages == []


def test_an_error_under_the_lock_releases_it(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="a mistake"), exclusive_lock(path):
        raise ValueError("a mistake")
    with exclusive_lock(path, waiting="waiting"):
        assert caplog.messages == []


def test_waiting_can_be_interrupted(path: Path, holder: tuple[BaseProcess, Event]) -> None:
    code = (
        "import pathlib, sys\nfrom ssldata.base.locks import exclusive_lock\n"
        "try:\n"
        "    with exclusive_lock(pathlib.Path(sys.argv[1]), waiting='waiting'):\n"
        "        print('entered')\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE)[0] == "interrupted\n"


def test_the_contents_of_a_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("keep")
    with exclusive_lock(path):
        pass
    assert path.read_text() == "keep"


def test_a_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock, "lock_descriptor", unsupported)
    with exclusive_lock(path, required=False):
        pass
    with pytest.raises(OSError, match="No locks available"), exclusive_lock(path):
        pass
    # Only the lock itself is forgiven, not the work done under it.
    with pytest.raises(OSError, match="full"), exclusive_lock(path, required=False):
        raise OSError(errno.ENOSPC, "full")


def test_files_of_the_cache_are_locked_by_key() -> None:
    place = cache_dir("locks") / "some-key.lock"
    with one_at_a_time("some-key"), one_at_a_time("other-key"), place.open() as handle:
        assert not filelock.lock_descriptor(handle.fileno(), blocking=False)
    with place.open() as handle:
        assert filelock.lock_descriptor(handle.fileno(), blocking=False)
