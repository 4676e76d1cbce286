"""AUPR by similarity: bins add up, metrics are those of their rows, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ssldata.base.errors import InputError
from ssldata.store.store import REFERENCE, open_store
from ssldata.trust.residual_similarity import BINS, NOT_MEASURED
from sslmodels.evaluation import similarity_bins
from sslmodels.evaluation.evaluation_status import Subject
from sslmodels.evaluation.similarity_bins import (
    ALL,
    read_similarity_bins,
    similarity_table,
    write_similarity_bins,
)
from sslmodels.runs.run_folder import RunFolder
from sslmodels.scores import metrics

HOMOLOGUES = "homologs/relative1"
BLOCKS = np.repeat(np.arange(20), 30)


def test_lines_are_the_metrics_of_their_bins() -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(600) < 0.2).astype(np.int64)
    score = label * 0.3 + rng.random(600)
    number = rng.choice([0, 1, len(BINS)], 600)
    score[number == 1] += label[number == 1]  # known by heart
    few = np.flatnonzero((number == 0) & (label == 0))[:30]
    number[few] = 2  # a bin without positives
    found = {line["similarity"]: line for line in similarity_table(label, score, number, BLOCKS)}
    assert [*found] == [ALL, *(name for name, _ in BINS), NOT_MEASURED]
    assert sum(line["rows"] for line in found.values()) == 2 * 600
    assert sum(line["positives"] for line in found.values()) == 2 * label.sum()
    for name, here in (("below 0.05", number == 0), ("0.05 to 0.1", number == 1)):
        expected = metrics.summary(label[here], score[here])
        assert {key: found[name][key] for key in ("aupr", "auroc", "lift")} == {
            key: expected[key] for key in ("aupr", "auroc", "lift")
        }
        low, high = found[name]["intervals"]["aupr"]
        assert low <= found[name]["aupr"] <= high
    assert found["0.05 to 0.1"]["aupr"] == 1 > found["below 0.05"]["aupr"]
    assert "aupr" not in found["0.1 to 0.2"]
    assert found["0.1 to 0.2"]["rows"] == 30


@pytest.fixture
def evaluated(built_world: Path, tmp_path: Path) -> tuple[Subject, Any]:
    """A run that was scored, without its training: what the file is made of."""
    path = tmp_path / "alpha.zarr"
    shutil.copytree(built_world / "store" / "alpha.zarr", path)
    store = open_store(path)
    content = {name: store.ledger[name]["content"] for name in (REFERENCE, HOMOLOGUES)}
    record = {"experiment": "alpha", "identity": {"content": content}}
    folder = RunFolder(tmp_path / "run")
    folder.evaluation.mkdir(parents=True)
    made = SimpleNamespace(
        folder=folder, record=record, store=store, outputs=None, digest="of the evaluation"
    )
    start, stop = store.group(REFERENCE).ranges["test"]
    label = store.group(REFERENCE).column("label")[start:stop, 0].astype(np.int64)
    score = 2 * label + np.linspace(0, 1, len(label))
    return cast(Subject, made), lambda name: {"alpha": (label, score)}[name]


def test_the_file_is_written_once_and_again_when_rows_change(
    evaluated: tuple[Subject, Any],
) -> None:
    run, scores_of = evaluated
    path = run.folder.evaluation / "similarity.json"
    write_similarity_bins(run, scores_of)
    found = read_similarity_bins(run.folder.path)
    assert found is not None
    assert found["groups"] == [HOMOLOGUES, REFERENCE]  # not those it was not trained on
    assert found["experiments"]["alpha"][0]["aupr"] == 1
    written = path.read_bytes()
    write_similarity_bins(run, lambda name: pytest.fail("read again"))
    run.record["identity"]["content"][HOMOLOGUES] = "older rows"
    write_similarity_bins(run, scores_of)
    again = read_similarity_bins(run.folder.path)
    assert again is not None
    assert again["groups"] == [REFERENCE]
    assert path.read_bytes() != written


def test_damage_is_told_and_mended(
    evaluated: tuple[Subject, Any], caplog: pytest.LogCaptureFixture
) -> None:
    run, scores_of = evaluated
    path = run.folder.evaluation / "similarity.json"
    assert read_similarity_bins(run.folder.path) is None
    write_similarity_bins(run, scores_of)
    good = path.read_bytes()
    value = json.loads(good)
    value["experiments"]["alpha"][0]["aupr"] = 0.5
    for text in (json.dumps(value), "{", "[]"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"similarity\.json: damaged"):
            read_similarity_bins(run.folder.path)
        write_similarity_bins(run, scores_of)
        assert path.read_bytes() == good
    assert "damaged" in caplog.text


def test_an_evaluation_stands_without_it(
    evaluated: tuple[Subject, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, scores_of = evaluated

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(similarity_bins, "write_json_atomic", full)
    write_similarity_bins(run, scores_of)
    assert "similarity.json: not written" in caplog.text
    assert read_similarity_bins(run.folder.path) is None
