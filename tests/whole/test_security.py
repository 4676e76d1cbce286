"""Files of a stranger run no code, whatever is in them; docs/security.md says so."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from run_tools import EXPERIMENT, MODEL, changed

from ssldata.base import yaml_text
from ssldata.base.errors import CrosslabelError
from ssldata.checking.validate import validate_store
from ssldata.project.project_file import load_project
from ssldata.simulation.truth import load_world
from ssldata.store.run_weights import read_weights
from ssldata.store.store import open_store
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.fit.checkpoint import read_checkpoint
from sslmodels.report.report_page import write_report
from sslmodels.runs import regimes

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


def test_the_pickles_of_these_tests_do_run(mark: Path) -> None:
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()


def test_yaml_tags_make_nothing(mark: Path) -> None:
    for tag in ("object/apply:os.mkdir", "object/new:os.mkdir", "name:os.mkdir", "module:os"):
        with pytest.raises(CrosslabelError):
            yaml_text.parse(Path("p.yaml"), f'name: !!python/{tag} ["{mark}"]')
    assert not mark.exists()


def test_checkpoints_and_truth_are_not_unpickled(mark: Path, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    evil = np.array([Evil(mark)], dtype=object)
    np.savez(path, header=evil, allow_pickle=True)
    assert read_checkpoint(path, identity="x") is None
    path.write_bytes(pickle.dumps(Evil(mark)))
    assert read_checkpoint(path, identity="x") is None
    names = ("contig", "version", "settings", "format", "experiments", "genomes")
    np.savez(tmp_path / "truth.npz", **dict.fromkeys(names, evil), allow_pickle=True)
    with contextlib.suppress(Exception):  # of which kind is the matter of its tests
        load_world(tmp_path)
    assert not mark.exists()


def pickled_array(folder: Path, mark: Path, form: int) -> None:
    """Write an array whose chunk is a pickle, in either format of Zarr."""
    folder.mkdir(parents=True)
    chunk = pickle.dumps(Evil(mark))
    shared: dict[str, Any] = {"shape": [2], "zarr_format": form, "fill_value": 0}
    if form == 2:
        codec = {"id": "pickle", "protocol": 5}
        meta = {**shared, "chunks": [2], "dtype": "<f4", "compressor": codec}
        meta |= {"filters": None, "order": "C"}
        (folder / ".zarray").write_text(json.dumps(meta))
        (folder / "0").write_bytes(chunk)
        return
    grid = {"name": "regular", "configuration": {"chunk_shape": [2]}}
    keys = {"name": "default", "configuration": {"separator": "/"}}
    codecs = [{"name": "bytes"}, {"name": "numcodecs.pickle", "configuration": {"id": "pickle"}}]
    meta = {**shared, "node_type": "array", "data_type": "float32", "attributes": {}}
    meta |= {"chunk_grid": grid, "chunk_key_encoding": keys, "codecs": codecs}
    (folder / "zarr.json").write_text(json.dumps(meta))
    (folder / "c").mkdir()
    (folder / "c" / "0").write_bytes(chunk)


@pytest.mark.parametrize("form", [2, 3])
def test_arrays_are_not_unpickled(form: int, mark: Path, tmp_path: Path, built_world: Path) -> None:
    version = tmp_path / "weights.zarr" / "iteration-1"
    pickled_array(version / "homologs" / "relative1", mark, form)
    for folder in (version, version / "homologs"):
        if form == 2:
            (folder / ".zgroup").write_text('{"zarr_format": 2}')
        else:
            group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
            (folder / "zarr.json").write_text(json.dumps(group))
    with pytest.raises(CrosslabelError, match="damaged"):
        read_weights(version.parent, 1)
    store = tmp_path / "alpha.zarr"
    shutil.copytree(built_world / "store" / "alpha.zarr", store)
    for name in ("label", "sequence"):
        shutil.rmtree(store / "reference" / name)
        pickled_array(store / "reference" / name, mark, form)
    with contextlib.suppress(Exception):  # of which kind is the matter of other tests
        validate_store(open_store(store), deep=True)
    with contextlib.suppress(Exception):
        open_store(store).group("reference").column("label")
    assert not mark.exists()


def test_zips_are_not_unpacked(tmp_path: Path, built_world: Path) -> None:
    store, place = built_world / "store" / "alpha.zarr", tmp_path / "a" / "b"
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / "alpha.zip", "w") as archive:
        for path in sorted(store.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(store).as_posix())
        for name in ("../up", "../../up", f"{tmp_path}/absolute"):
            archive.writestr(name, "x")
    opened = open_store(place / "alpha.zip")
    assert opened.group("reference").codes(0, 2).shape[0] == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "alpha.zip", "b"]


def test_a_run_of_a_stranger_imports_nothing(
    built_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: Path
) -> None:
    """Evaluation and report read what the record names as the model; they do not import it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil_module.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    project = changed(load_project(built_world), "training", epochs=1, runs=tmp_path / "runs")
    run = regimes.train(project, experiment=EXPERIMENT, model=MODEL, regime="sl", seed=0)
    record = json.loads((run / "run.json").read_text())
    record["model"] = "evil_module:f"
    (run / "run.json").write_text(json.dumps(record))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["training"]["models"] = ["evil_module:f"]
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    evaluate_run(run)
    write_report(tmp_path / "report.html", title="x", project=project, run_folders=[run])
    assert "evil_module:f" in (tmp_path / "report.html").read_text()
    assert "evil_module" not in sys.modules
    assert not mark.exists()
