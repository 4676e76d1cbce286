"""What becomes of a run when the store or the settings change, or its files are damaged."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_tools import EXPERIMENT, MODEL, changed, identity_of, record_of

from ssldata.base.errors import ConfigError, CrosslabelError, InputError, MissingInputError
from ssldata.base.files import digest_of
from ssldata.building.add_remove_genomes import unyank_genome, yank_genome
from ssldata.project.project_file import Project, load_project
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.models.model_builder import load_model
from sslmodels.runs import regimes
from sslmodels.runs.publish_weights import publish_run
from sslmodels.runs.run_folder import RunFolder, check_files, complete_record, read_record
from sslmodels.runs.run_identity import changed_rows
from sslmodels.runs.run_status import RunStatus, claim, run_status

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ADDED = "relative2"


def train(project: Project, regime: str, **options: Any) -> Path:
    cell: dict[str, Any] = {"experiment": EXPERIMENT, "model": MODEL, "regime": regime, "seed": 0}
    return regimes.train(project, **cell, **options)


def status(project: Project, regime: str) -> RunStatus:
    return run_status(project, experiment=EXPERIMENT, model=MODEL, regime=regime, seed=0)


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of the files of a run; logs tell times."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock" and "logs" not in path.parts
    }


@pytest.fixture(scope="module")
def before(built_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose runs were made before its last genome was added; not to be written to."""
    folder = tmp_path_factory.mktemp("before") / "project"
    shutil.copytree(built_world, folder)
    yank_genome(folder, ADDED)
    project = settings(folder)
    for regime in ("sl", "ssl", "ssl-ns"):
        evaluate_run(train(project, regime))
    unyank_genome(folder, ADDED)
    return folder


def settings(folder: Path) -> Project:
    project = load_project(folder)
    student = project.training.noisy_student.model_copy(update={"iterations": 1})
    project = changed(project, "training", epochs=2, batch_size=16, noisy_student=student)
    return changed(project, "training", runs=folder / "runs")


@pytest.fixture
def project(before: Path, tmp_path: Path) -> Project:
    shutil.copytree(before, tmp_path / "project")
    return settings(tmp_path / "project")


# Stale runs -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_new_genome_makes_stale_what_uses_it_and_the_earlier_run_is_kept(
    project: Project, tmp_path: Path
) -> None:
    """The same command trains again, without a flag, to the bits of a run that is new."""
    assert status(project, "sl").status == "complete"
    for regime in ("ssl", "ssl-ns"):
        found = status(project, regime)
        assert (found.status, found.reasons) == ("stale", (f"rows changed: + {ADDED}",))
        old = digests(found.folder)
        folder = train(project, regime)
        assert status(project, regime).status == "complete"
        fresh = train(changed(project, "training", runs=tmp_path / "fresh"), regime)
        assert record_of(folder)["weights_sha256"] == record_of(fresh)["weights_sha256"]
        # All of the earlier run: the record, the model, the weights, the evaluation.
        kept = folder / "earlier" / "1"
        assert digests(kept) == old
        check_files(kept, complete_record(kept), "model.keras")
        assert evaluate_run(kept)["aupr"] > 0  # known, of the same store
        load_model(kept)
        assert not (folder / "evaluation").exists()
        assert "earlier" not in digests(fresh)
    # Its teacher uses no homologues.
    assert not (status(project, "sl").folder / "earlier").exists()


def test_every_change_of_rows_is_kept_in_order(project: Project) -> None:
    folder = train(project, "ssl")
    yank_genome(project.file.parent, ADDED)  # type: ignore[union-attr]
    assert status(project, "ssl").reasons == (f"rows changed: − {ADDED}",)
    yank_genome(project.file.parent, "relative1")  # type: ignore[union-attr]
    train(project, "ssl", replace=True)  # kept with --replace as well
    contents = [read_record(run)["identity"]["content"] for run in RunFolder(folder).earlier]
    assert [ADDED in "".join(content) for content in contents] == [False, True]


def test_published_weights_of_the_earlier_run_stay(project: Project) -> None:
    store = project.store_path(EXPERIMENT)
    folder = status(project, "ssl-ns").folder
    old = publish_run(folder)
    train(project, "ssl-ns")
    new = publish_run(folder)
    assert new["name"] != old["name"]
    assert {*new["groups"]} - {*old["groups"]} == {f"homologs/{ADDED}"}
    again = publish_run(folder / "earlier" / "1")
    assert (again["status"], again["name"]) == ("unchanged", old["name"])
    assert Path(again["path"]).samefile(store)


def test_an_unfinished_run_of_other_rows_starts_again_and_is_not_kept(project: Project) -> None:
    folder = status(project, "ssl").folder
    record = {**record_of(folder), "status": "training"}
    (folder / "run.json").write_text(json.dumps(record))
    assert status(project, "ssl").status == "stale"
    assert train(project, "ssl") == folder
    assert not (folder / "earlier").exists()


def test_other_settings_are_refused_whatever_the_rows(project: Project) -> None:
    other = changed(project, "training", epochs=1)
    assert status(other, "ssl").status == "changed"
    with pytest.raises(ConfigError, match=r"other settings .*epochs: 2 → 1.*--replace"):
        train(other, "ssl")
    folder = train(project, "ssl")
    assert RunFolder(folder).earlier
    train(other, "ssl", replace=True)
    assert not RunFolder(folder).earlier  # of settings that are gone


class StopAtError(Exception):
    """Stands for a kill."""


def test_at_every_moment_the_old_run_is_whole_somewhere(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop before each link, rename and removal; whatever happened, the next claim succeeds."""
    source = status(project, "ssl-ns").folder
    old = digests(source)
    identity = identity_of(project, "ssl-ns")
    moments = 0
    for moment in range(1000):
        folder = RunFolder(tmp_path / f"run{moment}")
        shutil.copytree(source, folder.path)
        left = iter(range(moment))

        def step(left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise StopAtError

        with monkeypatch.context() as patch:
            for owner, name in ((os, "link"), (Path, "rename"), (Path, "unlink"), (os, "unlink")):
                real = getattr(owner, name)

                def acting(*args: Any, real: Any = real, step: Any = step, **kw: Any) -> Any:
                    step()
                    return real(*args, **kw)

                patch.setattr(owner, name, acting)
            try:
                claim(folder, identity=identity, replace=False)
                moments = moment
            except StopAtError:
                pass
        kept = folder.path / "earlier" / "1"
        assert (
            digests(folder.path) == old
            or digests(kept) == old
            or (
                {
                    name: digest
                    for name, digest in digests(folder.path).items()
                    if "earlier" not in name
                }
                == old
            )
        )
        assert not claim(folder, identity=identity, replace=False)
        assert digests(folder.path) == {f"earlier/1/{name}": digest for name, digest in old.items()}
        if moments:
            break
    assert moments > 20


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"content": {"homologs/b": "2"}}, "+ b"),
        ({"content": {"homologs/a": None}}, "− a"),
        (
            {"content": {"homologs/a": "9", "reference": "8"}},
            "other rows of reference, other rows of a",
        ),
        # A genome brings its distance, and rows the weights published for them.
        ({"content": {"homologs/b": "2"}, "distances": {"b": 0.2}}, "+ b"),
        ({"content": {"homologs/b": "2"}, "weights": {"homologs/b": "w"}}, "+ b"),
        ({"content": {"homologs/a": "9"}, "weights": {"homologs/a": "x"}}, "other rows of a"),
        # Settings, with or without other rows.
        ({"distances": {"a": 0.3}}, ""),
        ({"content": {"homologs/b": "2"}, "distances": {"a": 0.3, "b": 0.2}}, ""),
        ({"weights": {"homologs/a": "x"}}, ""),
        ({"content": {"homologs/b": "2"}, "epochs": 7}, ""),
        ({"content": {"homologs/b": "2"}, "model": "deepsea"}, ""),
        ({"content": {"homologs/b": "2"}, "weights": None}, ""),
        ({}, ""),
    ],
)
def test_rows_and_settings_are_told_apart(change: dict[str, Any], expected: str) -> None:
    old: dict[str, Any] = {
        "model": MODEL,
        "content": {"reference": "0", "homologs/a": "1"},
        "training": {
            "epochs": 2,
            "sampling": {"genomes": "distance", "distances": {"a": 0.1}},
            "weighting": {"distance_scale": 1.0, "distances": {"a": 0.1}},
            "weights": {"homologs/a": "v"},
        },
    }
    new = copy.deepcopy(old)
    new["content"] |= change.get("content", {})
    new["content"] = {name: value for name, value in new["content"].items() if value}
    for section in ("sampling", "weighting"):
        new["training"][section]["distances"] |= change.get("distances", {})
    if "weights" in change and change["weights"] is None:
        del new["training"]["weights"]
    else:
        new["training"]["weights"] |= change.get("weights", {})
    new["training"]["epochs"] = change.get("epochs", 2)
    new["model"] = change.get("model", MODEL)
    assert changed_rows(old, new) == expected


def test_changed_rows_name_genomes_in_the_order_of_the_project() -> None:
    old: dict[str, Any] = {"training": {}, "content": {"reference": "0", "homologs/d": "1"}}
    new = {**old, "content": {"reference": "0", **{f"homologs/{name}": "1" for name in "abc"}}}
    assert changed_rows(old, new, genomes=["c", "a", "b"]) == "+ c, + a, + b, − d"
    assert changed_rows(old, new, genomes=["b"]) == "+ b, + a, + c, − d"
    assert changed_rows(old, new) == "+ a, + b, + c, − d"


# Damage -----------------------------------------------------------------------------------------


def test_records_of_any_shape_are_refused_in_one_line(project: Project) -> None:
    folder = status(project, "sl").folder
    good = record_of(folder)
    odd: list[Any] = [None, [], {}, 7, "run", [[]], {"status": "complete"}, good["identity"]]
    for key in [*good, "identity.content", "identity.training", "store.path", "store.relative"]:
        *outer, last = key.split(".")
        for value in (None, 7, [], {}, "x", [{}], True):
            record = copy.deepcopy(good)
            inner = record
            for part in outer:
                inner = inner[part]
            if type(inner[last]) is type(value) or (key == "store.relative" and value is None):
                continue
            inner[last] = value
            odd.append(record)
    texts = [json.dumps(value) for value in odd]
    texts += ["", "{", "\0", "[" * 100_000, json.dumps(good)[:-1], '{"status": "\\ud800"}', "NaN"]
    said: list[str] = []
    for text in texts:
        (folder / "run.json").write_text(text)
        for read in (lambda: status(project, "sl"), lambda: evaluate_run(folder)):
            try:
                read()
            except CrosslabelError as exc:
                said.append(str(exc))
        if status(project, "sl").status == "damaged":
            assert "train again with --replace" in status(project, "sl").reasons[0]
    assert len(said) > len(texts) / 2
    assert all("\n" not in line and re.search(r"run\.json|not complete", line) for line in said)
    (folder / "run.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"run\.json: cannot be read"):
        read_record(folder)


def test_a_record_that_does_not_belong_to_its_identity_is_damaged(project: Project) -> None:
    folder = status(project, "sl").folder
    record = record_of(folder)
    record["identity"]["training"]["epochs"] = 3
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="its digest is not that of its identity"):
        read_record(folder)
    assert record["digest"] != digest_of(record["identity"])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_damaged_model_is_found_by_every_reader_and_replaced(project: Project) -> None:
    folder = status(project, "sl").folder
    flip(folder / "model.keras")
    found = status(project, "sl")
    assert found.status == "damaged"
    assert "model.keras: damaged or replaced" in found.reasons[0]
    for read in (train, lambda *_: evaluate_run(folder), lambda *_: load_model(folder)):
        with pytest.raises(CrosslabelError, match=r"model\.keras: damaged or replaced") as caught:
            read(project, "sl")
        assert "\n" not in str(caught.value)
    train(project, "sl", replace=True)
    assert status(project, "sl").status == "complete"
    evaluate_run(folder)


def test_damaged_weights_are_not_published(project: Project) -> None:
    folder = status(project, "ssl-ns").folder
    chunk = next((folder / "weights.zarr").rglob("c/0"))
    whole = chunk.read_bytes()
    flip(chunk)
    with pytest.raises(InputError, match=r"c/0: damaged or replaced"):
        publish_run(folder)
    chunk.unlink()
    with pytest.raises(InputError, match=r"c/0: damaged or replaced \(sha256 none"):
        publish_run(folder)
    chunk.write_bytes(whole)
    assert publish_run(folder)["status"] == "published"


def test_runs_of_releases_before_checksums_are_read(project: Project) -> None:
    folder = status(project, "ssl-ns").folder
    record = record_of(folder)
    del record["files"]
    (folder / "run.json").write_text(json.dumps(record))
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    del metrics["files"], metrics["checksum"]
    (folder / "evaluation" / "metrics.json").write_text(json.dumps(metrics))
    seen = (folder / "evaluation" / "metrics.json").stat().st_mtime_ns
    assert evaluate_run(folder) == metrics
    assert (folder / "evaluation" / "metrics.json").stat().st_mtime_ns == seen
    assert publish_run(folder)["status"] == "published"
    load_model(folder)
    train(project, "ssl-ns")
    assert read_record(folder / "earlier" / "1") == record


def test_a_folder_that_is_none(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(MissingInputError, match="not a run folder"):
            read_record(place)
