"""`crosslabel store …` as a user meets it: tables, JSON, exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
import zarr
from small_store import edit_root

from flows.cli import main
from flows.output import store_view
from ssldata.project.project_file import load_project
from ssldata.reading.reader import training_dataset
from ssldata.store.store import open_store

LAST = "relative3"


@pytest.fixture(scope="module")
def world(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a built project of this module's own."""
    folder = tmp_path_factory.mktemp("commands") / "world"
    shutil.copytree(built_world, folder)
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, Any, str]:
    """Run a command with --json; return exit code, value and what it said."""
    code = main(["store", *map(str, words), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def test_a_genomes_life(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genome = load_project(world).genomes[-1]
    store = world / "store" / "alpha.zarr"
    kept = world / "kept.zarr"
    shutil.copytree(store, kept)
    code, value, _ = run(capsys, "remove", world, LAST)
    assert (code, {s["status"] for s in value["stores"]}) == (0, {"removed"})
    code, value, _ = run(capsys, "diff", kept, store)
    assert code == 4
    assert value["groups"][f"homologs/{LAST}"]["status"] == "only in the first"
    options = ("--name", LAST, "--sequence", genome.sequence, "--chain", genome.chain)
    code, value, _ = run(capsys, "add", world, *options, "--distance", str(genome.distance))
    assert (code, [s["status"] for s in value["stores"]]) == (0, ["built", "built"])
    code, value, _ = run(capsys, "diff", kept, store)
    assert (code, value["same"]) == (0, True)
    code, value, _ = run(capsys, "yank", store, LAST, "--reason", "why not")
    assert (code, value["stores"][0]["status"]) == (0, "yanked")
    assert main(["store", "diff", str(kept), str(store)]) == 4
    assert "yanked" in capsys.readouterr().out
    code, value, _ = run(capsys, "unyank", store, LAST)
    assert (code, value["stores"][0]["status"]) == (0, "complete")
    assert main(["store", "add", str(world), *map(str, options)]) == 0
    assert "unchanged" in capsys.readouterr().out


def test_validate_exits_for_scripts(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = world / "store" / "beta.zarr"
    code, value, _ = run(capsys, "validate", store, "--deep", "--project", world)
    assert (code, value["valid"], value["problems"]) == (0, True, [])
    # The project it lies in is found; one whose genomes changed since is none of its faults.
    _, found, _ = run(capsys, "validate", store, "--deep")
    assert found["rows"] == value["rows"]
    assert all(rows["extracted"] == rows["rows"] for rows in found["rows"].values())
    text = (world / "project.yaml").read_text()
    raw = yaml.safe_load(text)
    raw["genomes"] = [{**g, "sequence": raw["genomes"][0]["sequence"]} for g in raw["genomes"]]
    (world / "project.yaml").write_text(yaml.safe_dump(raw))
    code, found, _ = run(capsys, "validate", store, "--deep")
    assert (code, found["rows"]["homologs/relative2"]["extracted"]) == (0, 0)
    assert "genome" in {warning["check"] for warning in found["warnings"]}
    code, _, _ = run(capsys, "validate", store, "--deep", "--project", world)
    assert code == 4
    (world / "project.yaml").write_text(text)
    spoilt = tmp_path / "spoilt.zarr"
    shutil.copytree(store, spoilt)
    zarr.open_group(spoilt, mode="r+", use_consolidated=False)["reference/weight"][:] = 2
    assert main(["store", "validate", str(spoilt)]) == 4
    said = capsys.readouterr().out
    assert "WRONG" in said
    assert "weight is not in [0, 1]" in said


def test_leakage_exits_for_scripts(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = world / "store" / "beta.zarr"
    code, value, _ = run(capsys, "leakage", store)
    assert (code, value["mark"], len(value["findings"])) == (0, "note", 5)
    leaky = tmp_path / "leaky.zarr"
    shutil.copytree(store, leaky)
    rows = open_store(leaky).group("homologs/relative1")
    split = zarr.open_group(leaky, mode="r+", use_consolidated=False)["homologs/relative1/split"]
    split[rows.ranges["test"][0]] = 0
    assert main(["store", "leakage", str(leaky), "-v"]) == 4
    said = capsys.readouterr().out
    assert re.search(r"fail +leakage\.source-split", said)
    assert "Splits proven from sources" in said


def test_a_large_project_is_shown_by_its_stores(
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(store_view, "_MANY_GROUPS", 7)
    assert main(["store", "inspect", str(world)]) == 0
    said = capsys.readouterr().out
    assert "2 stores" in said
    assert LAST not in said
    assert main(["store", "inspect", str(world), "-v"]) == 0
    assert capsys.readouterr().out.count(LAST) == 2
    project = tmp_path / "project"
    shutil.copytree(world, project)
    shutil.rmtree(project / "store" / "beta.zarr")
    assert main(["store", "yank", str(project), LAST, "--reason", "contaminated"]) == 0
    capsys.readouterr()
    assert main(["store", "inspect", str(project)]) == 0
    said = capsys.readouterr().out
    assert f"not built yet: {project}/store/beta.zarr" in said
    assert f"{LAST} was yanked: contaminated" in said
    assert main(["build", str(project), "-q"]) == 0
    assert main(["plan", str(project)]) == 0
    said = capsys.readouterr().out
    assert "nothing to do" in said
    assert "building" not in said
    assert main(["plan", str(project), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hours"]["build_core_hours"] == 0


def test_a_store_that_was_cut_is_shown(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "cut.zarr"
    shutil.copytree(world / "store" / "beta.zarr", store)
    for ledger in ({"reference": {"status": "writing", "digest": "x"}}, {}):
        attributes = {"ledger": ledger}
        edit_root(store, lambda root, a=attributes: root["attributes"]["crosslabel"].update(a))
        code, value, _ = run(capsys, "inspect", store)
        assert code == 0
        assert [(g["genome"], g["status"]) for g in value[0]["groups"]] == [
            ("reference", "writing")
        ]
        assert main(["store", "inspect", str(store)]) == 0
        assert "writing" in capsys.readouterr().out


def test_share_and_card(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "own.zarr"
    shutil.copytree(world / "store" / "beta.zarr", store)
    code, value, _ = run(capsys, "card", store)
    assert code == 0
    made = {"README.md", "card.html", "findings.json"}
    assert {Path(path).name for path in value["changed"]} == made
    assert {one["check"] for one in value["findings"]} >= {"integrity.format", "rows.labelled"}
    assert main(["store", "card", str(store)]) == 0
    assert "is current" in capsys.readouterr().out
    code, value, _ = run(capsys, "card", store, "--licence", "CC0-1.0")
    assert code == 0
    changed = {"README.md", "croissant.json", "card.html"}
    assert {Path(path).name for path in value["changed"]} == changed
    code, value, _ = run(capsys, "share", store, "--zip", tmp_path / "own.zip")
    assert code == 0
    assert value["sha256"] in (tmp_path / "own.zip.sha256").read_text()
    assert main(["store", "share", str(store), "--zip", str(tmp_path / "again.zip")]) == 0
    assert value["sha256"] in capsys.readouterr().out
    code, value, _ = run(capsys, "validate", tmp_path / "own.zip", "--deep")
    assert (code, value["valid"]) == (0, True)
    words = ["card", tmp_path / "own.zip", "--out", tmp_path / "card", "--licence", "CC0-1.0"]
    assert main(["store", *map(str, words)]) == 0
    page = (tmp_path / "card" / "card.html").read_text()
    assert "CC0-1.0" in page
    assert page == (store / "card.html").read_text()


def test_serve_until_interrupted(world: Path) -> None:
    store = world / "store" / "beta.zarr"
    command = [sys.executable, "-m", "flows.cli", "store", "serve", str(store), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert open_store(url).genomes == open_store(store).genomes
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=600) == 130


ADD = ["add", "{world}", "--name", "x", "--sequence", "a", "--chain", "b"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["serve", "{world}/none.zarr"], "no such store"),
        (["serve", "{world}"], "not a crosslabel store"),
        (["share", "{store}", "--zip", "{store}/x.zip"], "inside the store"),
        (["validate", "{store}", "--project", "{world}"], "--project needs --deep"),
        (["validate", "{world}/none.zarr"], "no such store"),
        (["card", "{world}/none.zarr"], "no such store"),
        (["card", "{store}", "--published", "yesterday"], "expected YYYY-MM-DD"),
        (["remove", "{world}", "nobody"], "no genome 'nobody'; there are relative1"),
        (["yank", "{world}/none", "x"], "no such store or project"),
        ([*ADD, "--alias", "c"], "expected ALIAS=NAME"),
        (ADD, "a: no such file"),
        ([*ADD, "--workers", "1", "--memory", "50MB"], "a worker of this project needs"),
        ([*ADD, "--scheduler-file", "{world}/project.yaml"], "it has no address"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], expected: str, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = world / "store" / "alpha.zarr"
    arguments = [word.format(world=world, store=store) for word in words]
    assert main(["store", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert expected in said.err
    assert said.err.count("\n") == 1


# -- read-only stores ----------------------------------------------------------------------------

READ_ONLY: set[str] = set()
WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}


def refuse_writes(event: str, arguments: Any) -> None:
    """Be the kernel of a read-only mount of the folders in READ_ONLY."""
    if not READ_ONLY or (event != "open" and event not in WRITES):
        return
    opened_to = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if event == "open" else True
    for path in arguments[: 2 if event == "os.rename" else 1]:
        inside = isinstance(path, str | Path) and str(path).startswith(tuple(READ_ONLY))
        if inside and opened_to:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


sys.addaudithook(refuse_writes)


def test_a_read_only_store_serves_all_that_writes_nothing(
    built_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mount, out = tmp_path / "mount", tmp_path / "out"
    shutil.copytree(built_world / "store", mount, ignore=shutil.ignore_patterns("*.lock"))
    store = mount / "alpha.zarr"
    READ_ONLY.add(str(mount))
    try:
        with pytest.raises(OSError, match="Read-only"):
            (mount / "x").mkdir()
        for words in (
            ["inspect", store],
            ["validate", store, "--deep"],
            ["diff", store, store],
            ["export", store, out / "bed", "--format", "bed"],
            ["share", store, "--zip", out / "alpha.zip"],
            ["bench", store, "--seconds", "0.1"],
        ):
            assert main(["store", *map(str, words)]) == 0, words
            assert capsys.readouterr().err.count("error:") == 0
        rows = training_dataset(open_store(store), batch_size=16)[0]
        assert len(list(rows.take(3))) == 3
        # What would write says so, and why not.
        assert main(["store", "card", str(store)]) == 2
        assert "cannot be written to (Read-only file system); pass --out" in capsys.readouterr().err
        assert main(["store", "card", str(store), "--out", str(out / "card")]) == 0
        capsys.readouterr()
        assert main(["store", "yank", str(store), LAST]) == 2
        assert "Read-only file system" in capsys.readouterr().err
    finally:
        READ_ONLY.clear()
    assert sorted(item.name for item in mount.iterdir()) == ["alpha.zarr", "beta.zarr"]
