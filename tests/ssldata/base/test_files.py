"""Files appear whole, and are on the disk before they have their name."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from disk_log import DiskLog, disk_log

from ssldata.base.files import atomic_path, write_json_atomic


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    """Otherwise a power cut may leave the new name on an empty file."""
    lost: list[Path] = []

    def check(log: DiskLog, old: Path, new: Path) -> None:
        assert new == tmp_path / "x.json"
        lost.extend(log.unflushed(old))

    with disk_log(check) as log:
        write_json_atomic(tmp_path / "x.json", {"a": 1})
    assert [event[0] for event in log.events] == ["fsync", "rename"]
    assert lost == []
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "a": 1\n}\n'


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old", encoding="utf-8")
    with suppress(KeyError), atomic_path(tmp_path / "x") as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text(encoding="utf-8") == "old"
