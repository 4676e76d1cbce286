"""A tiny project with everything that the report of the paper shows, DNABERT-2 included.

Its page is checked twice: written by the command after real training, which takes minutes, and
from saved results, which takes seconds.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from benchmark_tools import assert_legends_are_outside, groups
from dnabert2_tools import SMALL, tokenizer_text

from ssldata.project.project_file import Project, load_project
from ssldata.simulation.clade import simulate_clade
from sslmodels.benchmark.statistics import BASELINE_MODEL
from sslmodels.evaluation.resamples_file import write_resamples
from sslmodels.runs import run_grid
from sslmodels.runs.run_folder import RunFolder
from sslmodels.scores.metric_intervals import Resampled

#: Experiments, fewest peaks first: whose peaks, and one in how many of them.
EXPERIMENTS = {"few": ("alpha", 2), "some": ("beta", 1), "many": ("alpha", 1)}

#: What stands beside the own results: as if published.
PUBLISHED = """experiment,model,regime,aupr
few,deepbind,sl,0.1
few,deepbind,ssl,0.4
few,deepbind,ssl-ns,0.5
few,dnabert2,sl,0.2
some,deepbind,sl,0.2
some,deepbind,ssl,0.4
some,deepbind,ssl-ns,0.35
some,dnabert2,sl,0.3
many,deepbind,sl,0.4
many,deepbind,ssl,0.6
many,deepbind,ssl-ns,0.6
many,dnabert2,sl,0.65
"""
PUBLISHED_COUNTS = """experiment,positives,pseudo_labelled
few,60,300
some,100,450
many,120,600
"""

#: Settings with which a run takes seconds; sweeps as the paper has them: genomes on the small and
#: on the large model, iterations and noise on a CNN.
TRAINING: dict[str, Any] = {
    "models": ["deepbind", "cnn-27k", "dnabert2"],
    "regimes": ["sl", "ssl", "ssl-ns"],
    "seeds": [0],
    "batch_size": 32,
    "epochs": 6,
    "patience": 6,
    "learning_rate": 3e-3,
    "finetune_learning_rate": 1e-3,
    "noisy_student": {"iterations": 1},
    "baselines": ["kmer"],
    "dnabert2": {"folder": "small-dnabert2", "pretrained": False, "lora": None, "tokens": 112},
    "published": "published.csv",
    "published_counts": "published-counts.csv",
    "sweeps": {
        "per_model": {
            "deepbind": {"nearest": [2], "labelled_peaks": [20]},
            "cnn-27k": {"iterations": [2], "noise_sd": [0]},
            "dnabert2": {"nearest": [5]},
        }
    },
}


#: Numbers of the grid: experiments, models, regimes, genomes, baselines (with and without
#: homologues).
E, M, R, G, B = len(EXPERIMENTS), 3, 3, 6, 2

#: Figure → what it says, beside the names of the experiments; rows of its CSV with one seed.
FIGURES: dict[str, tuple[tuple[str, ...], int]] = {
    "figure_1_counts": (("training positives (rows)", "published"), E),
    "figure_1_genomes": (("genome (n = 6)", "rows per labelled row"), E * (G + 1)),
    "figure_published": (("published AUPR", "own AUPR"), 4 * E),
    "figure_2_aupr_increase": (("AUPR increase over sl (%)", "published"), E * M * (R - 1)),
    "figure_s1_auroc_increase": (("AUROC increase over sl (%)",), E * M * (R - 1)),
    "figure_s2_genomes": (("genomes, nearest first", "AUPR", "deepbind"), E * 3),
    "figure_s2_genomes_auroc": (("genomes, nearest first", "AUROC"), E * 3),
    "figure_s3_gain": (
        ("labelled positives", "AUPR increase over sl (%)", "ssl, published, n = 3"),
        E * M * (R - 1),
    ),
    "figure_s4_genomes": (("AUPR of dnabert2", "5 genomes", "all genomes"), E * 3),
    "figure_s5_scatter": (("AUPR of sl", "AUPR of the other regime"), E * M * (R - 1)),
    "figure_s5_noisy_student": (("AUPR of ssl", "AUPR of deepbind ssl-ns"), E * M),
    "figure_s5_large": (("AUPR of dnabert2 sl", "AUPR of deepbind"), E * (M - 1) * 2),
    "figure_s6_iterations": (("iterations k", "AUPR", "cnn-27k"), E * 3),
    "figure_s6_noise": (("SD of the noise", "AUPR", "cnn-27k"), E * 2),
    "figure_learning_curves": (("labelled loci", "AUPR", "few, deepbind"), E * 2 * 2),
}

#: Table → title on the page, and rows of its CSV with one seed.
TABLES: dict[str, tuple[str, int]] = {
    "table_1_counts": ("Training positives (Table 1)", E),
    "table_s1_counts": ("Training positives by genome (Table S1)", E * (G + 1)),
    "table_2_aupr": ("AUPR (Table 2)", E * (M * R + B)),
    "table_s2_auroc": ("AUROC (Table S2)", E * (M * R + B)),
    "table_increase_aupr": ("Increase of AUPR over sl, % (Figure 2)", E * M * (R - 1)),
    "table_increase_auroc": ("Increase of AUROC over sl, % (Figure S1)", E * M * (R - 1)),
    "table_published": ("AUPR beside the published (Table 2)", 4 * E),
    # Pairs of regimes of each model, and two regimes of the others against the large one.
    "tests_2_aupr": ("Methods compared across experiments, AUPR", 3 * M + 2 * (M - 1)),
    "tests_s2_auroc": ("Methods compared across experiments, AUROC", 3 * M + 2 * (M - 1)),
    "tests_best_baseline": ("Methods against the best baseline of each experiment, AUPR", M * R),
    "tests_each_baseline": ("Methods against each baseline, AUPR", M * R * B),
    "tests_published": ("Methods compared in the published values, AUPR", 3 + 2),
}

#: Distinct runs of one seed: the grid, and what the sweeps have beside it.
RUNS = E * (M * R + 1 + 2 + 1 + 1 + 1)


class Page(HTMLParser):
    """Collect the texts of a page, and what its links name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.source = page
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if (tag, name) == ("a", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def cells(self, table: str, row: str) -> list[str]:
        """Return the cells of the rows of a table that begin with a text, on all its parts."""
        section = self.source.partition(f'id="h-{table}"')[2].partition("</section>")[0]
        rows = re.findall(rf"<td>{re.escape(row)}</td>(.*?)</tr>", section, re.DOTALL)
        return re.findall(r"<td>(.*?)</td>", "".join(rows), re.DOTALL)


def assert_page_is_whole(folder: Path, *, seeds: int) -> Page:
    """Fail unless every figure and table is on a page with its CSV, and its counts are right."""
    page = Page((folder / "index.html").read_text())
    more = {"table_ensembles": ("AUPR of ensembles of all seeds", E * M * R)} if seeds > 1 else {}
    assert {path.stem for path in folder.glob("*.svg")} == set(FIGURES)
    lines = {"figure_s3_gain_lines", "figure_s5_scatter_lines"}
    assert {path.stem for path in folder.glob("*.csv")} == {
        *(*FIGURES, *TABLES, *more, *lines, "runs")
    }
    assert all((folder / link).is_file() for link in page.links if not link.startswith("#"))
    for name, (title, rows) in {**TABLES, **more}.items():
        assert title in page.texts
        assert f"{name}.csv" in page.links
        assert len(pd.read_csv(folder / f"{name}.csv")) == rows, name
    for name, (texts, rows) in FIGURES.items():
        assert {f"{name}.csv", f"{name}.svg"} <= set(page.links)
        by_seed = "s2_" in name or "s4_" in name or "s6_" in name or "learning" in name
        assert len(pd.read_csv(folder / f"{name}.csv")) == rows * (seeds if by_seed else 1), name
        svg = (folder / f"{name}.svg").read_text()
        assert [text for text in texts if f">{text}" not in svg] == [], name
        if groups(svg, "legend"):
            assert_legends_are_outside(svg)
    heading = next(text for text in page.texts if re.match(r"\d+ runs, ", text))
    runs = pd.read_csv(folder / "runs.csv", keep_default_na=False)
    trained = runs[runs["model"] != BASELINE_MODEL]
    named = f"{seeds} seed{'' if seeds == 1 else 's'}"
    assert heading.startswith(f"{RUNS * seeds} runs, {named} ")
    assert trained["run"].nunique() == RUNS * seeds
    assert (trained["sweep"] == "").sum() == E * M * R * seeds
    return page


def assert_statistics_are_those_of_the_runs(folder: Path, page: Page) -> None:
    """Fail unless first places, factors, intervals and increases follow from the runs."""
    runs = pd.read_csv(folder / "runs.csv", keep_default_na=False)
    grid = runs[runs["sweep"] == ""].astype({"aupr": float})
    means = grid.groupby(["experiment", "model", "regime"], sort=False)["aupr"].mean()
    table = pd.read_csv(folder / "table_2_aupr.csv")
    expected = means.groupby("experiment").max()
    first = table[table["first_place"] == 1].groupby("experiment")["mean"].first()
    np.testing.assert_allclose(first[expected.index], expected, rtol=1e-5)
    methods = table.groupby(["model", "regime"], sort=False)["first_place"].sum()
    shown = [cell for cell in page.cells("table_2_aupr", "first places") if cell != "–"]
    assert [int(cell) for cell in shown] == methods.tolist()
    # Every mean has its interval, and is named as one of seeds.
    assert (table["low"] <= table["high"]).all()
    assert (table["seeds"] == grid[grid["model"] != BASELINE_MODEL]["seed"].nunique()).any()
    cells = page.cells("table_2_aupr", next(iter(EXPERIMENTS)))
    assert sum("[" in cell for cell in cells) == M * R + B
    counts = pd.read_csv(folder / "table_1_counts.csv")
    for of in ("", "published_"):
        factor = counts[f"{of}pseudo_labelled"] / counts[f"{of}positives"]
        np.testing.assert_allclose(counts[f"{of}factor"], factor, rtol=1e-5)
    tests = pd.read_csv(folder / "tests_2_aupr.csv")
    pairs = {
        ((r["model_a"], r["regime_a"]), (r["model_b"], r["regime_b"]))
        for r in tests.to_dict("records")
    }
    for model in ("deepbind", "cnn-27k"):
        assert ((model, "ssl"), (model, "ssl-ns")) in pairs
        for regime in ("ssl", "ssl-ns"):
            assert (("dnabert2", "sl"), (model, regime)) in pairs
    for metric, number in (("aupr", "2"), ("auroc", "s1")):
        increases = pd.read_csv(folder / f"figure_{number}_{metric}_increase.csv")
        failed = increases["base_collapsed"] > 0
        assert increases.loc[failed, ["percent", "percent_low"]].isna().all(axis=None)
        assert increases.loc[~failed, "percent"].notna().all()
    increases = pd.read_csv(folder / "figure_2_aupr_increase.csv")
    # As published: .1 → .4 and so on.
    few = increases[(increases["experiment"] == "few") & (increases["model"] == "deepbind")]
    np.testing.assert_allclose(few["published_percent"], [300, 400])


def saved_results(project: Project, *, seeds: int = 1) -> pd.DataFrame:
    """Return results of the grid and the sweeps as if trained, with resamples and scores on disk.

    One run without homologues collapsed. The stores must be built.
    """
    rng = np.random.default_rng(0)
    level = {"sl": 0.2, "ssl": 0.45, "ssl-ns": 0.5}
    more, labelled = {"few": 0.0, "some": 0.1, "many": 0.2}, {"few": 54, "some": 88, "many": 107}
    training = project.training.model_copy(update={"seeds": list(range(seeds))})
    project = project.model_copy(update={"training": training})
    rows: dict[tuple[Path, str], dict[str, Any]] = {}
    cells = [*run_grid.grid(project), *run_grid.sweeps(project)]
    for cell in cells:
        aupr = level[cell.regime] + more[cell.experiment] + rng.normal(0, 0.03)
        aupr += {"deepbind": 0.0, "cnn-27k": 0.05, "dnabert2": -0.1}[cell.model]
        if cell.sweep in ("nearest", "labelled_peaks"):
            aupr -= 0.1
        collapsed = (cell.experiment, cell.model, cell.regime) == ("some", "cnn-27k", "sl")
        aupr = 0.02 if collapsed else aupr
        known = next((row for row in rows.values() if row["run"] == str(cell.folder)), {})
        rows[cell.folder, cell.sweep] = {
            **cell.arguments,
            "aupr": aupr,
            "auroc": 0.5 + aupr / 2,
            "prevalence": 0.1,
            "lift": aupr / 0.1,
            "collapsed": collapsed,
            "positives": 20,
            "labelled": labelled[cell.experiment],
            "pseudo_labelled": 400,
            "genomes": 6,
            "loci": 50,
            "parameters": 2129,
            "steps": 9,
            "wall_s": 1.0,
            "run": str(cell.folder),
            **known,
            "sweep": cell.sweep,
            "value": cell.value,
        }
    for name, baseline in product(EXPERIMENTS, ("kmer", "kmer+hom")):
        folder = project.training.runs / "baselines" / name / baseline
        aupr = 0.3 + rng.normal(0, 0.03)
        rows[folder, ""] = {
            **next(row for row in rows.values() if row["experiment"] == name),
            "model": BASELINE_MODEL,
            "regime": baseline,
            "seed": 0,
            "collapsed": False,
            "aupr": aupr,
            "auroc": 0.5 + aupr / 2,
            "run": str(folder),
        }
    for row in rows.values():
        evaluation = RunFolder(Path(row["run"])).evaluation
        evaluation.mkdir(parents=True, exist_ok=True)
        drawn = np.clip(row["aupr"] + rng.normal(0, 0.04, 200), 0.001, 1)
        write_resamples(evaluation, {"": Resampled(drawn, 0.5 + drawn / 2)})
        label = np.arange(40) % 4 == 0
        scores = pd.DataFrame({"label": label.astype(int), "score": label + rng.normal(0, 0.7, 40)})
        scores.to_csv(evaluation / "scores.csv.gz", index=False)
    return pd.DataFrame(rows.values())


def tokenizer_of_words() -> str:
    """Return a tokenizer of all words of two and four bases, nearly as short as the real one."""
    bases = "ACGT"
    pairs = ["".join(pair) for pair in product(bases, repeat=2)]
    words = ["".join(pair) for pair in product(pairs, repeat=2)]
    merges = [list(pair) for pair in pairs] + [[word[:2], word[2:]] for word in words]
    model = json.loads(tokenizer_text())["model"]
    special = [name for name in model["vocab"] if name.startswith("[")]
    vocabulary = [*special, *bases, *pairs, *words]
    model |= {"vocab": {name: i for i, name in enumerate(vocabulary)}, "merges": merges}
    return tokenizer_text(model=model)


def tiny_project(folder: Path, **training: Any) -> Project:
    """Write a simulated project of three experiments and six genomes; `training` changes its grid.

    DNABERT-2 has the sizes of :data:`dnabert2_tools.SMALL`, one layer, and starts at random.
    """
    world = simulate_clade(
        folder,
        seed=4,
        contigs=6,
        contig_size=40_000,
        genomes=6,
        peaks=(200, 160),
        nearest=0.02,
        farthest=0.2,
    )
    raw = yaml.safe_load(world.project_file.read_text())
    narrow = gzip.decompress((folder / "peaks" / "beta.narrowPeak.gz").read_bytes())
    lines = {
        "alpha": (folder / "peaks" / "alpha.bed").read_bytes().splitlines(keepends=True),
        "beta": narrow.splitlines(keepends=True),
    }
    raw["experiments"] = []
    for name, (source, step) in EXPERIMENTS.items():
        path = f"peaks/{name}.{'bed' if source == 'alpha' else 'narrowPeak'}"
        (folder / path).write_bytes(b"".join(lines[source][::step]))
        raw["experiments"].append({"name": name, "peaks": path, "width": 200})
    raw["training"] = {**TRAINING, **training}
    (folder / "published.csv").write_text(PUBLISHED)
    (folder / "published-counts.csv").write_text(PUBLISHED_COUNTS)
    small = folder / "small-dnabert2"
    small.mkdir()
    (small / "config.json").write_text(
        json.dumps(replace(SMALL, vocab_size=320, num_hidden_layers=1).as_dict())
    )
    (small / "tokenizer.json").write_text(tokenizer_of_words())
    world.project_file.write_text(yaml.safe_dump(raw, sort_keys=False))
    return load_project(folder)
