"""Frozen features against training from scratch, by the number of labelled positives.

One network learns many factors of yeast. Its layers are then features of the bins of a factor that
it never saw: how far does a logistic regression on them get with few labelled bins, beside training
the same network from scratch, fine-tuning it, and counting 6-mers?

    python examples/introns/run.py --data $CROSSLABEL_MIRROR --out /tmp/introns

Writes ``results.csv``, ``summary.csv``, ``curves.svg`` and ``index.html`` into the folder. What is
finished is not done again. ``--quick`` does all of it on a few rows, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from flows.output.console import Console
from ssldata.base.errors import CrosslabelError, InputError
from ssldata.base.files import atomic_path, digest_of, write_text_atomic
from ssldata.base.keyed_random import permutation
from ssldata.building.build_store import build_project
from ssldata.project.project_file import JOINT, Project, load_project
from ssldata.store.feature_store import open_features
from sslmodels.baselines.kmer_regression import KmerRegression
from sslmodels.features.feature_rows import open_sequences
from sslmodels.scores.metric_intervals import blocks_of_bins, resampled
from sslmodels.scores.metrics import summary
from sslmodels.transfer.feature_table import FeatureTable
from sslmodels.transfer.lasso_logistic import fit_lasso
from sslmodels.transfer.learning_curves import (
    LearningCurves,
    curve_figure,
    curve_table,
    learning_curve_page,
)
from sslmodels.transfer.linear_model import LinearModel
from sslmodels.transfer.ridge_logistic import fit_ridge
from sslmodels.transfer.row_labels import LabelledRows

MODEL, LENGTH = "cnn-7k", 200
#: Factor → close paralogues, which the joint model must not see either.
TARGETS = {"Reb1": (), "Sok2": ("Phd1",)}
SPLIT = {"test": ["chrIV", "chrXV"], "validation": ["chrXII"]}
#: The peak files number their contigs; the genome uses Roman numerals.
ROMAN = (
    *("I", "II", "III", "IV", "V", "VI", "VII", "VIII"),
    *("IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI"),
)
#: What is stored of the joint model: all that lies behind its first convolution.
LAYERS = ("best_match", "penultimate", "log-odds")
METHODS = {
    "frozen-l2": "frozen features, L2",
    "frozen-l1": "frozen features, L1",
    "fine-tuned": "joint model, fine-tuned",
    "scratch": "from scratch",
    "6-mers": "6-mers",
}
#: Incremented when cells of an earlier version of this script must not be taken.
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is done.

    Attributes
    ----------
    counts
        Labelled positives, a fifth of which only choose (validation); None: all.
    seeds
        Number of draws of positives and of initial weights.
    negatives
        Negatives for each positive.
    others, pool
        Factors of the joint model at most, and negatives stored; None: all.
    joint
        The section ``training`` of the joint model.
    fit
        Options of a fit of one output, other than the learning rate.
    steps
        Fewest steps of an epoch of such a fit.
    resamples
        Of the test bins.
    """

    counts: Sequence[int | None] = (10, 30, 100, None)
    seeds: int = 3
    negatives: int = 5
    others: int | None = None
    pool: int = 10_000
    joint: Mapping[str, Any] = field(
        default_factory=lambda: {"batch_size": 128, "epochs": 40, "patience": 6}
    )
    fit: Mapping[str, Any] = field(default_factory=lambda: {"epochs": 60, "patience": 8})
    steps: int = 10
    resamples: int = 500


QUICK = Settings(
    counts=(10,),
    seeds=1,
    others=3,
    pool=400,
    joint={"batch_size": 32, "epochs": 30, "patience": 30, "learning_rate": 3e-3},
    fit={"epochs": 3, "patience": 3},
    steps=4,
    resamples=50,
)


def project_text(
    data: Path, peaks: Mapping[str, Path], settings: Settings, *, joint: bool = False
) -> str:
    """Return the project file of some factors: one joint store of all, or a store of each."""
    training = {
        "models": [MODEL],
        "regimes": ["sl"],
        "seeds": [0],
        "both_strands": True,
        "augment": {"reverse_complement": 0.5},
        **settings.joint,
    }
    project = {
        "name": "joint" if joint else "targets",
        "reference": {
            "name": "sacCer3",
            "sequence": str(data / "yeast/genomes/sacCer3.2bit"),
            "aliases": {f"chr{n}": f"chr{roman}" for n, roman in enumerate(ROMAN, start=1)},
        },
        "experiments": [
            {"name": name, "peaks": str(path), "width": LENGTH} for name, path in peaks.items()
        ],
        "windows": {"exclude": ["*_*", "chrM"]},
        "split": SPLIT,
        "negatives": {"ratio": 3, "redraw": True},
        "training": training,
    }
    if joint:
        project["store"] = {"joint": True}
        training["outputs"] = "joint"
    else:
        project["negatives"] = {"pool": settings.pool}
    return yaml.safe_dump(project, sort_keys=False)


def peak_files(data: Path) -> dict[str, Path]:
    """Return the peak file of every factor of yeast."""
    found = sorted(data.glob("yeast/peaks*/*_CX.bed"), key=lambda path: path.name)
    peaks = {path.name.removesuffix("_CX.bed"): path for path in found}
    missing = [name for name in TARGETS if name not in peaks]
    if missing:
        raise InputError(
            f"{data}/yeast/peaks*/{missing[0]}_CX.bed: no such file; --data names the folder of "
            "the data, with yeast/genomes and yeast/peaks"
        )
    return peaks


def built(folder: Path, text: str, progress: Console) -> Project:
    """Write a project file into a folder, and build its stores."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / "project.yaml", text)
    project = load_project(folder)
    build_project(project, progress=progress)
    return project


@dataclass(frozen=True)
class Bins:
    """The bins of a target factor: sequences, features of the joint model, labels, splits."""

    codes: NDArray[np.uint8]
    features: NDArray[np.float32]
    names: Sequence[str]
    labels: NDArray[np.int8]
    split: NDArray[Any]
    blocks: NDArray[np.int64]
    digest: str

    @property
    def tested(self) -> NDArray[np.int64]:
        """Numbers of the test bins."""
        return np.flatnonzero(self.split == "test")


def bins_of(store: Path, run: Path, out: Path, progress: Console) -> Bins:
    """Return the bins of a store, with features as `crosslabel model features` writes them."""
    from sslmodels.features.extract_features import FeatureRequest, extract_features

    rows = open_sequences(str(store))
    values, names, digests = [], [], []
    for layer in LAYERS:
        path = out / f"{store.stem}-{layer}.zarr"
        request = FeatureRequest(model=str(run), sequences=str(store), out=path, layer=layer)
        extract_features(request, replace=True, progress=progress)
        features = open_features(path)
        values.append(features.read(0, features.rows))
        names += [f"{layer}:{column}" for column in features.columns]
        digests.append(features.attributes["content"])
    split = np.asarray(rows.coordinates["split"])
    test = split == "test"
    blocks = np.zeros(rows.count, np.int64)
    blocks[test] = blocks_of_bins(rows.coordinates["contig"][test], rows.coordinates["start"][test])
    return Bins(
        codes=rows.read(0, rows.count),
        features=np.concatenate(values, axis=1),
        names=names,
        labels=rows.coordinates["label"],
        split=split,
        blocks=blocks,
        digest=digest_of([digests, rows.identity]),
    )


@dataclass(frozen=True)
class Chosen:
    """Numbers of the labelled bins that all methods get, and which of them only choose."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def chosen_bins(bins: Bins, count: int | None, seed: int, negatives: int) -> Chosen:
    """Draw labelled bins; those of a smaller count are among those of a larger one of a seed.

    Raises
    ------
    InputError
        There are too few.
    """
    held_out = None if count is None else max(1, round(count / 5))
    wanted = {"train": None if count is None else count - held_out, "validation": held_out}
    found = {}
    for split, number in wanted.items():
        here = bins.split == split
        parts = []
        for label in (1, 0):
            rows = np.flatnonzero(here & (bins.labels == label))
            rows = rows[permutation(len(rows), f"{split} {label}", seed)]
            number = len(rows) if number is None else number
            if number > len(rows):
                raise InputError(f"{number} {split} bins of label {label}: there are {len(rows)}")
            parts.append(rows[:number])
            number = min(negatives * number, int((here & (bins.labels == 0)).sum()))
        found[split] = np.concatenate(parts)
    return Chosen(**found)


@dataclass(frozen=True)
class FewRows:
    """A few rows of features in memory, as a `FeatureTable` reads a store."""

    values: NDArray[np.float32]
    columns: Sequence[str]
    path: str = "features"

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values)

    chunk_rows = 2**20

    def read(self, first: int, last: int, columns: Any = None, *, out: Any = None) -> Any:
        """Return the rows [first, last)."""
        return self.values[first:last]


def frozen(bins: Bins, chosen: Chosen, seed: int, *, penalty: str) -> NDArray[np.float64]:
    """Return the log-odds of the test bins by a logistic regression on frozen features."""
    used = np.concatenate([chosen.train, chosen.validation])
    few = FewRows(bins.features[used], bins.names)
    table = FeatureTable(few, np.arange(len(bins.names)), bins.names, keep=few.values.nbytes)
    numbers = np.arange(len(used))
    split = (numbers >= len(chosen.train)).astype(np.int8)
    labels = bins.labels[used]
    rows = LabelledRows(labels, split, numbers, numbers, "stored", np.zeros_like(numbers))
    table.standardise(rows.of("train"))
    fit = {"l2": fit_ridge, "l1": fit_lasso}[penalty]
    common = {"seed": seed, "resamples": 0, "room": 2**28, "progress": Console(verbosity=-1)}
    model: LinearModel = fit(table, rows, **common)
    moments = table.moments
    scale = np.where(moments.varies, moments.scale, np.inf)
    standard = (bins.features[bins.tested] - moments.mean) / scale
    return standard @ model.coefficients + model.intercept


def network(seed: int, joint: Any = None) -> Any:
    """Return the network with one output: new weights, or below its output those of `joint`."""
    from sslmodels.models.model_builder import build_model

    model = build_model(MODEL, length=LENGTH, outputs=1, seed=seed, both_strands=True)
    if joint is not None:
        for layer in model.body.layers[:-1]:
            layer.set_weights(joint.body.get_layer(layer.name).get_weights())
    return model


def fitted(
    bins: Bins, chosen: Chosen, seed: int, settings: Settings, *, joint: Any = None
) -> NDArray[np.float64]:
    """Return the probabilities of the test bins by a network trained on the chosen bins."""
    import tensorflow as tf

    from ssldata.project.training_section import Augment
    from sslmodels.fit.fit_options import Batches, FitOptions, Validation
    from sslmodels.fit.training_loop import fit
    from sslmodels.models.augmented_model import Augmented, augmentations
    from sslmodels.models.model_settings import GENERAL
    from sslmodels.scores.score_rows import score

    model = network(seed, joint)
    layers = augmentations(Augment(reverse_complement=0.5), seed=seed, originals=True)
    codes, labels = (of[chosen.train] for of in (bins.codes, bins.labels))
    batch = 64
    data = tf.data.Dataset.from_tensor_slices(
        (codes, labels[:, None].astype(np.float32), np.ones(len(codes), np.float32))
    )
    data = data.shuffle(len(codes), seed=seed).repeat().batch(batch).prefetch(1)
    rate = GENERAL.learning_rate if joint is None else GENERAL.finetune_learning_rate
    fit(
        Augmented(model, layers),
        Batches(open=data.skip, steps_per_epoch=max(settings.steps, -(-len(codes) // batch))),
        Validation(
            codes=bins.codes[chosen.validation],
            labels=bins.labels[chosen.validation, None].astype(np.float32),
        ),
        options=FitOptions(learning_rate=rate, **settings.fit),
    )
    return score(model, bins.codes[bins.tested])[:, 0].astype(np.float64)


def words(bins: Bins, chosen: Chosen) -> NDArray[np.float64]:
    """Return the log-odds of the test bins by a regression on their 6-mers."""
    train, validation = chosen.train, chosen.validation
    model = KmerRegression.fit(
        bins.codes[train],
        bins.labels[train],
        validation_codes=bins.codes[validation],
        validation_labels=bins.labels[validation],
    )
    return model.score(bins.codes[bins.tested])


def scores_of(
    method: str, bins: Bins, chosen: Chosen, seed: int, settings: Settings, joint: Any
) -> NDArray[np.float64]:
    """Return the scores that a method gives to the test bins."""
    if method == "6-mers":
        return words(bins, chosen)
    if method == "scratch":
        return fitted(bins, chosen, seed, settings)
    if method == "fine-tuned":
        return fitted(bins, chosen, seed, settings, joint=joint)
    return frozen(bins, chosen, seed, penalty=method.removeprefix("frozen-"))


def cell(
    bins: Bins, count: int | None, seed: int, settings: Settings, joint: Any
) -> tuple[list[dict[str, Any]], NDArray[np.float64]]:
    """Return a row of results and the resamples of the test bins for each method."""
    chosen = chosen_bins(bins, count, seed, settings.negatives)
    labels, blocks = bins.labels[bins.tested], bins.blocks[bins.tested]
    rows, resamples = [], []
    for method in METHODS:
        scores = scores_of(method, bins, chosen, seed, settings, joint)
        drawn = resampled(labels, scores, blocks, resamples=settings.resamples)
        numbers = summary(labels, scores)
        low, high = drawn.intervals().get("aupr", (np.nan, np.nan))
        rows.append(
            {
                "labelled": int(bins.labels[np.concatenate(list(vars(chosen).values()))].sum()),
                "seed": seed,
                "method": method,
                "train_rows": len(chosen.train),
                "validation_rows": len(chosen.validation),
                "test_positives": numbers["positives"],
                "prevalence": numbers["prevalence"],
                "aupr": numbers["aupr"],
                "aupr_low": low,
                "aupr_high": high,
                "auroc": numbers["auroc"],
            }
        )
        resamples.append(drawn.aupr)
    return rows, np.array(resamples)


def finished(path: Path, digest: str) -> tuple[pd.DataFrame, NDArray[np.float64]] | None:
    """Return the rows and resamples of a cell that was done with the same input."""
    if not path.is_file():
        return None
    with np.load(path) as held:
        if str(held["digest"]) != digest:
            return None
        return pd.DataFrame(json.loads(str(held["rows"]))), held["resamples"]


def learnt(
    args: argparse.Namespace, settings: Settings, progress: Console
) -> tuple[LearningCurves, list[str]]:
    """Build, train the joint model, write features, and do every cell that is missing."""
    from sslmodels.models.model_builder import load_model
    from sslmodels.runs.regimes import train

    data, out = args.data.resolve(), args.out
    peaks = peak_files(data)
    unseen = {*TARGETS, *(name for names in TARGETS.values() for name in names)}
    others = [name for name in peaks if name not in unseen][: settings.others]
    seen = {name: peaks[name] for name in others}
    project = built(out / "joint", project_text(data, seen, settings, joint=True), progress)
    run = train(project, experiment=JOINT, model=MODEL, regime="sl", seed=0, progress=progress)
    target_peaks = {name: peaks[name] for name in TARGETS}
    targets = built(out / "targets", project_text(data, target_peaks, settings), progress)
    joint = load_model(run)
    (out / "cells").mkdir(exist_ok=True)
    tables, resamples = [], {}
    for target in TARGETS:
        bins = bins_of(targets.store_path(target), run, out, progress)
        counts = len(settings.counts)
        with progress.task(f"{target}: methods", counts * settings.seeds) as advance:
            for count in settings.counts:
                drawn = []
                for seed in range(settings.seeds):
                    path = out / "cells" / f"{target}-{count or 'all'}-{seed}.npz"
                    key = digest_of([VERSION, asdict(settings), bins.digest, count, seed])
                    found = finished(path, key)
                    if found is None:
                        rows, values = cell(bins, count, seed, settings, joint)
                        text = json.dumps([{**row, "task": target} for row in rows])
                        with atomic_path(path) as temporary, temporary.open("wb") as handle:
                            np.savez(handle, digest=key, rows=text, resamples=values)
                        found = finished(path, key)
                    assert found is not None
                    tables.append(found[0])
                    drawn.append(found[1])
                    advance(1)
                labelled = int(tables[-1]["labelled"].iloc[0])
                for number, method in enumerate(METHODS):
                    resamples[target, labelled, method] = np.array([one[number] for one in drawn])
    results = pd.concat(tables, ignore_index=True)
    first = ["task", "labelled", "method", "seed"]
    results = results[[*first, *(name for name in results if name not in first)]]
    curves = LearningCurves(
        results=results, resamples=resamples, methods=METHODS, ours="frozen-l2", theirs="scratch"
    )
    return curves, others


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    mirror = os.environ.get("CROSSLABEL_MIRROR")
    parser.add_argument(
        "--data", type=Path, default=mirror and Path(mirror), help="folder of the data"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--threads", type=int, default=1, help="of TensorFlow; 0: its choice")
    parser.add_argument("--quick", action="store_true", help="few rows, to see that it works")
    args = parser.parse_args(argv)
    if args.data is None:
        parser.error("--data: name the folder of the data, or set CROSSLABEL_MIRROR")
    if args.threads:
        from sslmodels.fit.threads import limit_threads

        limit_threads(args.threads)
    progress = Console()
    try:
        curves, others = learnt(args, QUICK if args.quick else Settings(), progress)
    except CrosslabelError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    page = learning_curve_page(
        curves,
        title="A factor that the features never saw",
        lead=f"One {MODEL} network learnt {len(others)} factors of yeast, without "
        f"{', '.join(TARGETS)} and their paralogues. What lies behind its first convolution is "
        "stored as features, and simple models on these are compared with networks trained on "
        "the same labelled bins. Tested on every bin of chrIV and chrXV.",
        details={"factors learnt": ", ".join(others), "layers": ", ".join(LAYERS)},
    )
    write_text_atomic(args.out / "results.csv", curves.results.to_csv(index=False))
    table = curve_table(curves)
    write_text_atomic(args.out / "summary.csv", table.to_csv(index=False, float_format="%.4f"))
    write_text_atomic(args.out / "curves.svg", curve_figure(curves, file=True))
    write_text_atomic(args.out / "index.html", page)
    print(f"{args.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
