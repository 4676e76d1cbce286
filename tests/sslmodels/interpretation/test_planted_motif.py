"""The motif that a simulated world was made with is found, and none where labels are random.

On real data the motif of the factor is found.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from motif_tools import matrix_of

from flows.cli import main
from ssldata.building.build_store import build_project
from ssldata.project.fetch import fetch
from ssldata.project.project_file import load_project
from ssldata.simulation.clade import CONSENSUS, EXPERIMENTS, simulate_clade
from ssldata.simulation.truth import World
from sslmodels.baselines.meme_text import SequenceMotif, write_meme
from sslmodels.interpretation.interpret import InterpretOptions, interpret_run
from sslmodels.runs import regimes

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "yeast"


def world(folder: Path) -> World:
    simulated = simulate_clade(
        folder, seed=1, contigs=6, contig_size=150_000, genomes=3, peaks=(500, 100)
    )
    motifs = [
        SequenceMotif(name, matrix_of(text), name)
        for name, text in zip(EXPERIMENTS, CONSENSUS, strict=True)
    ]
    # Known motifs of other factors: TOMTOM needs many columns to compare with.
    rng = np.random.default_rng(0)
    motifs += [SequenceMotif(f"other{i}", rng.dirichlet([0.2] * 4, 6 + i % 9)) for i in range(60)]
    write_meme(folder / "known.meme", motifs)
    return simulated


def interpreted(folder: Path) -> tuple[Path, dict]:
    project = load_project(folder)
    few = {"epochs": 40, "batch_size": 64, "patience": 6}
    training = project.training.model_copy(update=few)
    project = project.model_copy(update={"training": training})
    build_project(project, experiments=["alpha"])
    cell = {"experiment": "alpha", "model": "cnn-7k", "regime": "ssl", "seed": 0}
    run = regimes.train(project, **cell)
    return run, interpret_run(run, InterpretOptions(known=folder / "known.meme"))


def test_the_planted_motif_is_the_strongest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "world"
    world(folder)
    run, result = interpreted(folder)
    [first, *_] = result["experiments"]["alpha"]["motifs"]
    assert first["matches"][0]["label"] == "alpha"
    assert first["matches"][0]["q"] < 1e-6
    assert first["effect"]["mean"] > 2
    # Again it is only read, also by the command.
    before = {path: path.stat().st_mtime_ns for path in (run / "interpretation").iterdir()}
    known = str(folder / "known.meme")
    assert main(["model", "interpret", str(run), "--motifs", known, "--json"]) == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert shown["experiments"] == result["experiments"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("seed", range(3))
def test_random_labels_have_no_motif(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "world"
    simulated = world(folder)
    sizes = dict(zip(simulated.reference.contigs, simulated.reference.sizes.tolist(), strict=True))
    [peaks] = [e.peaks for e in load_project(folder).experiments if e.name == "alpha"]
    rng = np.random.default_rng(seed)
    lines = []
    for line in Path(peaks).read_text().splitlines():
        contig, start, end, *rest = line.split("\t")
        size = int(end) - int(start)
        place = int(rng.integers(sizes[contig] - size))
        lines.append("\t".join([contig, str(place), str(place + size), *rest]))
    Path(peaks).write_text("\n".join(lines) + "\n")
    _, result = interpreted(folder)
    motifs = result["experiments"]["alpha"]["motifs"]
    assert not [one for one in motifs if one["matches"][0]["q"] < 0.05]


@pytest.mark.mirror
def test_the_motif_of_reb1_is_that_of_jaspar(mirror: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "yeast"))
    project = load_project(folder)
    fetch(project, offline=True)
    build_project(project, experiments=["Reb1"])
    run = regimes.train(project, experiment="Reb1", model="cnn-7k", regime="ssl", seed=0)
    known = mirror / "motifs" / "JASPAR2024_CORE_fungi.meme"
    first = interpret_run(run, InterpretOptions(known=known))["experiments"]["Reb1"]["motifs"][0]
    assert first["matches"][0]["label"] == "REB1"
    assert first["matches"][0]["q"] < 0.01
