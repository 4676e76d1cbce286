"""A report shows no path above its project, whatever its texts hold."""

from __future__ import annotations

import shutil
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_tools import make_run, page_of
from run_tools import changed

from ssldata.project.project_file import load_project
from sslmodels.benchmark.paper_page import write_paper
from sslmodels.report.page_paths import RelativePaths
from sslmodels.report.saved_data import file_name, saved_csv

PART = st.text("abcXYZ09_-", min_size=1, max_size=6)


def test_paths_below_the_project_are_relative_and_others_names(tmp_path: Path) -> None:
    root, other = tmp_path / "my project", tmp_path / "elsewhere/big genome.fa"
    shorten = RelativePaths(root, [other])
    assert shorten(root / "store/a.zarr") == "store/a.zarr"
    assert shorten(f"see {root}: done") == "see .: done"
    assert shorten(f"cannot read {other}, line 3") == "cannot read …/big genome.fa, line 3"
    assert shorten(f"{root}2/x") != "2/x"  # another folder
    assert shorten("https://example.org/a/b and 1/2") == "https://example.org/a/b and 1/2"


@given(st.lists(PART, min_size=2, max_size=5))
def test_no_absolute_path_remains(parts: list[str]) -> None:
    shown = RelativePaths(Path("/data/project"))(f"in /{'/'.join(parts)} of it")
    assert shown == f"in …/{parts[-1]} of it"


#: Folders as people name them, and as nobody should.
ODD = [
    "my project (2), final",
    'it\'s <b>&amp; "quoted"',
    "Ünï cödé 基因组",
    "100%25 #1?x=y",
    "back\\slash",
    "two  spaces\ttab",
]


@pytest.mark.parametrize("name", ODD)
def test_no_page_shows_the_folder_above_its_project(name: str, built: Path, tmp_path: Path) -> None:
    """Runs that are not there, a damaged one and the whole configuration have paths in words."""
    folder = tmp_path / name / "project"
    shutil.copytree(built, folder)
    project = changed(load_project(folder), "training", baselines=False)
    runs = [make_run(project, "ssl", seed, shift=1.5) for seed in (0, 1, 2)]
    (runs[1] / "history.csv").unlink()
    shutil.rmtree(runs[2] / "evaluation")
    shutil.rmtree(project.store_path("beta"))
    page_of(project, [*runs, runs[0].with_name("seed-9")])
    html = (project.training.runs / "report.html").read_text(encoding="utf-8")
    assert "Not in this report" in html
    shown = html + unescape(html) + unquote(html)
    assert [part for part in (str(tmp_path), tmp_path.name, name) if part in shown] == []
    assert "store/beta.zarr" in html

    results = pd.DataFrame(
        {"experiment": "alpha", "model": "cnn-7k", "regime": ["ssl"], "seed": 0, "sweep": ""}
        | {"value": 0, "aupr": 0.5, "auroc": 0.7, "prevalence": 0.02, "lift": 25.0}
        | {"collapsed": False, "positives": 13, "labelled": 22, "pseudo_labelled": 60}
        | {"genomes": 3, "loci": 20, "run": str(runs[0])}
    )
    alpha = [experiment for experiment in project.experiments if experiment.name == "alpha"]
    paper = write_paper(
        folder / "paper", project=project.model_copy(update={"experiments": alpha}), results=results
    )
    html = paper.read_text(encoding="utf-8")
    shown = html + unescape(html) + unquote(html)
    assert [part for part in (str(tmp_path), tmp_path.name, name) if part in shown] == []


def test_a_saved_table_is_what_it_was() -> None:
    saved = saved_csv(
        "AUPR of a/b", [{"name": 'x,"y"', "aupr": 0.25}, {"name": "<b>#%", "aupr": 1}]
    )
    head, _, content = saved["address"].partition(",")
    assert head == "data:text/csv;charset=utf-8"
    assert unquote(content) == 'name,aupr\n"x,""y""",0.25\n<b>#%,1\n'
    assert not set('"<>#&') & set(content)  # an attribute can hold it
    assert saved["file"] == "AUPR_of_a_b.csv"
    assert file_name("…") == "file"
