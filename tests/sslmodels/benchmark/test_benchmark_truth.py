"""The benchmark on a simulated world finds what was planted there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_tools import changed

from ssldata.building.build_store import build_project
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import decode
from ssldata.project.project_file import Project, load_project
from ssldata.simulation.clade import simulate_clade
from sslmodels.benchmark import grid_results
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.runs import run_grid
from sslmodels.runs.regimes import train

pytestmark = [
    pytest.mark.slow,
    # Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

FEW, MANY = 120, 340


def configured(folder: Path) -> Project:
    project = load_project(folder)
    sweeps = project.training.sweeps.model_copy(update={"labelled_peaks": [FEW, MANY]})
    return changed(
        project,
        "training",
        experiments=["alpha"],
        models=["cnn-7k"],
        regimes=["sl", "ssl"],
        seeds=[0, 1],
        batch_size=32,
        epochs=40,
        patience=6,
        sweeps=sweeps,
    )


def gains(project: Project) -> dict[int, float]:
    """Return labelled loci → mean AUPR of ssl over that of sl."""
    build_project(project, experiments=["alpha"])
    cells = list(run_grid.sweeps(project))
    for cell in cells:
        evaluate_run(train(cell.project, **cell.arguments))
    results = grid_results.collect(cells)
    means = results.groupby(["value", "regime"])["aupr"].mean().unstack("regime")
    return {int(value): float(row["ssl"] / row["sl"]) for value, row in means.iterrows()}


def shuffle_homologues(project: Project) -> None:
    """Put the bases of every target contig in random order; coordinates stay."""
    rng = np.random.default_rng(0)
    for target in project.genomes:
        genome = open_genome(target.sequence)
        lines = [
            f">{name}\n{decode(rng.permutation(genome.codes(name)))}\n" for name in genome.names
        ]
        target.sequence.write_text("".join(lines))


def test_gain_shrinks_with_labels_and_needs_true_homologues(tmp_path: Path) -> None:
    simulate_clade(tmp_path / "true", seed=3, contig_size=200_000, peaks=(700, 100))
    true = gains(configured(tmp_path / "true"))
    assert true[FEW] > 1.3
    assert true[FEW] > true[MANY] + 0.1
    simulate_clade(tmp_path / "shuffled", seed=3, contig_size=200_000, peaks=(700, 100))
    project = configured(tmp_path / "shuffled")
    shuffle_homologues(project)
    shuffled = gains(project)
    assert shuffled[FEW] < 1.1
    assert shuffled[FEW] < true[FEW] - 0.2
