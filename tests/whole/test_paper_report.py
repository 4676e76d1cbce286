"""DeepBind and a small DNABERT-2 through the whole report of the paper, on a tiny project."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmark_tools import assert_legends_are_outside, groups
from paper_tools import EXPERIMENTS, TRAINING, tiny_project

from sslmodels.benchmark.statistics import BASELINE_MODEL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]

#: Figure → what it says, beside the names of the experiments.
FIGURES = {
    "figure_1_counts": ("training positives (rows)", "published"),
    "figure_1_genomes": ("genome (n = 6)", "rows per labelled row"),
    "figure_published": ("published AUPR", "own AUPR"),
    "figure_2_aupr_increase": ("AUPR increase over sl (%)", "published"),
    "figure_s1_auroc_increase": ("AUROC increase over sl (%)",),
    "figure_s2_genomes": ("genomes, nearest first", "AUPR", "deepbind"),
    "figure_s2_genomes_auroc": ("genomes, nearest first", "AUROC"),
    "figure_s3_gain": ("labelled positives", "AUPR increase over sl (%)", "ssl, published, n = 3"),
    "figure_s4_genomes": ("AUPR of dnabert2", "2 genomes", "all genomes"),
    "figure_s5_scatter": ("AUPR of sl", "AUPR of the other regime"),
    "figure_s5_noisy_student": ("AUPR of ssl", "AUPR of deepbind ssl-ns"),
    "figure_s5_large": ("AUPR of dnabert2 sl", "AUPR of deepbind"),
    "figure_s6_iterations": ("iterations k", "AUPR"),
    "figure_s6_noise": ("SD of the noise", "AUPR"),
}
TABLES = {
    *("table_1_counts", "table_s1_counts", "table_2_aupr", "table_s2_auroc"),
    *("table_increase_aupr", "table_increase_auroc", "table_published"),
    *("tests_2_aupr", "tests_s2_auroc", "tests_published"),
}


class Headings(HTMLParser):
    """Collect the texts of a page, and what its links name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if (tag, name) == ("a", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the report, written by the command."""
    folder = tmp_path_factory.mktemp("tiny") / "project"
    tiny_project(folder)
    # Prefect closes pytest's captured streams when it sets up logging: a process of its own.
    command = [sys.executable, "-m", "flows.cli", "run", str(folder), "--report", "paper", "-q"]
    subprocess.run([*command, "--train-threads", "1"], check=True, cwd=ROOT)
    return folder / "runs" / "paper"


def test_every_figure_and_table_is_on_the_page_with_its_csv(paper):
    page = Headings((paper / "index.html").read_text())
    assert {path.stem for path in paper.glob("*.svg")} == set(FIGURES)
    for name in {*FIGURES, *TABLES}:
        assert f"{name}.csv" in page.links
        assert len(pd.read_csv(paper / f"{name}.csv")) > 0, name
    assert all((paper / link).is_file() for link in page.links)
    lines = {"figure_s3_gain_lines", "figure_s5_scatter_lines"}
    assert {path.stem for path in paper.glob("*.csv")} >= {*FIGURES, *TABLES, *lines, "runs"}


def test_the_page_counts_every_run_once(paper):
    runs = pd.read_csv(paper / "runs.csv", keep_default_na=False)
    runs = runs[runs["model"] != BASELINE_MODEL]
    page = Headings((paper / "index.html").read_text())
    heading = next(text for text in page.texts if " seed" in text and " run" in text)
    count = re.match(r"(\d+) runs, 1 seed ", heading)
    assert count is not None
    assert int(count[1]) == runs["run"].nunique()
    # The grid, and what the sweeps have beside it.
    grid = len(EXPERIMENTS) * len(TRAINING["models"]) * len(TRAINING["regimes"])
    assert (runs["sweep"] == "").sum() == grid
    assert int(count[1]) >= grid + len(EXPERIMENTS)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_say_what_they_show_and_hide_nothing(paper, name):
    svg = (paper / f"{name}.svg").read_text()
    for text in FIGURES[name]:
        assert f">{text}" in svg, text
    if groups(svg, "legend"):
        assert_legends_are_outside(svg)


def test_statistics_are_those_of_the_runs(paper):
    runs = pd.read_csv(paper / "runs.csv", keep_default_na=False)
    grid = runs[runs["sweep"] == ""].astype({"aupr": float})
    first = grid.loc[grid.groupby("experiment")["aupr"].idxmax()]
    table = pd.read_csv(paper / "table_2_aupr.csv")
    assert set(table.loc[table["first_place"] == 1, "mean"]) == set(
        first["aupr"].map("{:.6g}".format).map(float)
    )
    page = (paper / "index.html").read_text()
    section = page.partition('id="h-table_2_aupr"')[2].partition("</section>")[0]
    rows = re.findall(r"<td>first places</td>(.*?)</tr>", section, re.DOTALL)
    places = re.findall(r"<td>(\d+)</td>", "".join(rows))
    expected = table.groupby(["model", "regime"], sort=False)["first_place"].sum()
    assert [int(place) for place in places] == expected.tolist()
    assert sum(expected) == len(EXPERIMENTS)
    counts = pd.read_csv(paper / "table_1_counts.csv")
    np.testing.assert_allclose(
        counts["factor"], counts["pseudo_labelled"] / counts["positives"], rtol=1e-5
    )
    tests = pd.read_csv(paper / "tests_2_aupr.csv")
    across = tests[tests["model_a"] != tests["model_b"]]
    assert set(zip(across["model_b"], across["regime_b"], strict=True)) == {
        ("deepbind", "ssl"),
        ("deepbind", "ssl-ns"),
    }
    assert set(across["model_a"] + " " + across["regime_a"]) == {"dnabert2 sl"}
    increases = pd.read_csv(paper / "figure_2_aupr_increase.csv")
    assert increases.loc[increases["base_collapsed"] > 0, "percent"].isna().all()
    # As published: .1 → .4 and so on.
    few = increases[(increases["experiment"] == "few") & (increases["model"] == "deepbind")]
    np.testing.assert_allclose(few["published_percent"], [300, 400])
