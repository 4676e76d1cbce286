"""The HTML report: complete, self-contained, safe, and there whatever is missing."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_tools import make_run, page_of

from ssldata.base.files import digest_of
from ssldata.project.project_file import Project, load_project
from ssldata.store.store import open_store
from ssldata.store.store_writer import StoreWriter
from sslmodels.benchmark import benchmark_figures
from sslmodels.benchmark.paper_page import Figure
from sslmodels.benchmark.paper_tables import Table
from sslmodels.evaluation.resamples_file import read_resamples
from sslmodels.report.report_data import read_run, summarise, with_resamples
from sslmodels.report.report_gains import leading_gains
from sslmodels.report.report_page import render_page
from sslmodels.report.svg_figures import (
    History,
    SvgCurve,
    precision_recall,
    thinned,
    training_curves,
)


def test_the_whole_page(project: Project) -> None:
    folders = [make_run(project, "sl", seed, shift=shift) for seed, shift in ((0, 1.5), (1, 0.0))]
    folders += [make_run(project, "ssl", seed, shift=2.5) for seed in (0, 1)]
    page = page_of(project, folders)
    assert page.open == []
    assert "Not in this report" not in page.text
    # Nothing is loaded from anywhere: figures refer to their own parts only.
    assert all(
        link.startswith(("#", "data:text/csv", "data:image/svg+xml")) for link in page.loaded
    )
    assert len(page.ids) == len(set(page.ids))
    # What users wrote is text, not markup.
    assert "A & B <i>" in page.text

    metrics = {(run.regime, run.seed): run.metrics for run in (read_run(f, []) for f in folders)}
    auprs = [metrics["sl", seed]["aupr"] for seed in (0, 1)]  # type: ignore[index]
    line = next(row for row in page.rows if row[:3] == ["alpha", "cnn-7k", "sl"])
    arrays = [read_resamples(folder, "alpha").aupr for folder in folders[:2]]  # type: ignore[union-attr]
    low, high = np.percentile(np.mean(arrays, axis=0), [2.5, 97.5])
    mean = f"{np.mean(auprs):.3f} ± {np.std(auprs, ddof=1):.3f}"
    assert line[3] == f"{mean} [{low:.3f}, {high:.3f}]"
    assert re.fullmatch(r"0\.\d{3} ± 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", line[6])  # AUROC
    assert line[-2:] == ["2", "1"]  # two runs, one of them collapsed
    assert "stays in the mean" in page.text
    run = next(row for row in page.rows if row[0] == "alpha / cnn-7k / ssl / seed 1")
    assert run[1:5] == ["6,869", "3+3", "1,234", "1 min 15 s"]
    assert (
        str(project.training.runs.parent) not in (project.training.runs / "report.html").read_text()
    )

    # One figure of curves with both regimes, one of training per run.
    html = (project.training.runs / "report.html").read_text()
    assert html.count("<svg") == 1 + 4
    assert 'aria-label="Precision against recall of' in html

    store = open_store(project.store_path("alpha"))
    for genome in store.genomes:
        ranges = store.homologues(genome).ranges
        wanted = [f"{ranges[key][1] - ranges[key][0]:,}" for key in ranges]
        assert [genome, *wanted] in [row[:5] for row in page.rows]
        lifted = store.ledger[f"homologs/{genome}"]["liftover"]
        assert [genome, f"{lifted['mapped']:,}"] in [row[:2] for row in page.rows]
    assert store.digest in page.text
    assert "min_overlap: 0.5" in page.text


def test_it_leads_with_what_homologues_bring(project: Project) -> None:
    shifts = {("sl-plus", "alpha"): 1.5, ("ssl-plus", "alpha"): 2.0, ("ssl", "alpha"): 1.8}
    shifts |= {("sl-plus", "beta"): 1.7, ("ssl-plus", "beta"): 1.6, ("sl", "beta"): 1.0}
    # Nothing is compared with a run that collapsed.
    shifts |= {("two-stage", "alpha"): 0.0}
    folders = [
        make_run(project, regime, seed, shift=shift, experiment=experiment)
        for (regime, experiment), shift in shifts.items()
        for seed in (0, 1)
    ]
    page = page_of(project, folders)
    lines = {
        (line["regime"], line["experiment"]): line
        for line in summarise(with_resamples([read_run(f, []) for f in folders], []))
    }
    rows = {row[3]: row for row in page.rows if row[1:2] == ["sl-plus"]}
    both = [
        [lines[regime, name] for name in ("alpha", "beta")] for regime in ("ssl-plus", "sl-plus")
    ]
    over, base = ([line["aupr"][0] for line in half] for half in both)
    assert [cell.split(" [")[0] for cell in rows["alpha"][4:6]] == [
        *(f"{over[0]:.3f}", f"{base[0]:.3f}")
    ]
    assert all(" [" in cell for name in ("alpha", "mean of 2") for cell in rows[name][4:6])
    mean = np.mean(over) / np.mean(base)
    arrays = [np.mean([line["resamples"] for line in half], axis=0) for half in both]
    low, high = np.percentile(arrays[0] / arrays[1], [2.5, 97.5])
    text = f"× {mean:.2f} [{low:.2f}, {high:.2f}]"
    assert rows["mean of 2"][6:] == [text, "2 / 2"]
    said = f"ssl-plus over sl-plus (cnn-7k): {text}, 2 experiments, higher in 1; 2 seeds each"
    assert said in page.text
    assert "ssl over two-stage (cnn-7k); not compared, collapsed: alpha" in page.text
    assert "over sl," not in page.text


def test_gains_without_resamples_controls_or_anything_to_lead_with(project: Project) -> None:
    made = [make_run(project, "sl", 0, shift=0.0), make_run(project, "ssl-ns", 0, shift=2.0)]
    page = page_of(project, made)
    assert "Nothing is compared with a collapsed run" not in page.text
    assert "over sl" not in page.text  # which collapsed
    made += [
        make_run(project, regime, 0, shift=shift, resamples=False)
        for regime, shift in (("sl-plus", 1.5), ("ssl-plus", 2.5))
    ]
    page = page_of(project, made)
    (row,) = (row for row in page.rows if row[1:2] == ["sl-plus"])
    assert row[6].startswith("× ")
    assert "[" not in row[6]
    assert "1 experiment, higher in 1; one seed each" in page.text


def test_the_best_baseline_is_that_of_each_experiment() -> None:
    def line(experiment: str, regime: str, aupr: float, **more: Any) -> dict[str, Any]:
        values = {"experiment": experiment, "model": "m", "regime": regime, "n": 1, "collapsed": 0}
        return {**values, "aupr": (aupr, None), "resamples": np.array([aupr, 2 * aupr]), **more}

    lines = [line("a", "ssl-plus", 0.6), line("b", "ssl-plus", 0.2), line("c", "ssl-plus", 0.1)]
    baselines = [line("a", "pwm", 0.4), line("a", "6-mer", 0.3), line("b", "6-mer", 0.25)]
    baselines += [line("c", "6-mer", 0.01, collapsed=1)]
    (gain,) = leading_gains(lines, baselines)
    assert [(one.name, one.over, one.ratio) for one in gain.lines] == [
        ("a", "pwm", pytest.approx(1.5)),
        ("b", "6-mer", pytest.approx(0.8)),
    ]
    assert gain.mean is not None
    assert gain.mean.ratio == pytest.approx(0.8 / 0.65)
    assert gain.mean.interval == pytest.approx((0.8 / 0.65, 0.8 / 0.65))
    assert gain.collapsed == ("c",)
    assert gain.wins == 1
    assert "over the best baseline" in gain.sentence


def test_the_same_results_give_the_same_page(project: Project) -> None:
    folder = make_run(project, "sl", 0, shift=1.0)
    path = project.training.runs / "report.html"
    page_of(project, [folder])
    first = path.read_bytes()
    page_of(project, [folder])
    assert path.read_bytes() == first
    page_of(project, [folder], created=datetime(2030, 1, 2, 3, 4, tzinfo=UTC))
    assert b"2 January 2030, 03:04 UTC" in path.read_bytes()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: shutil.rmtree(run / "evaluation"), "not evaluated; run `crosslabel evaluate"),
        (lambda run: (run / "run.json").unlink(), "training is not complete"),
        (lambda run: (run / "run.json").write_text("{"), "training is not complete"),
        (lambda run: (run / "history.csv").unlink(), "its training history cannot be read"),
        (lambda run: (run / "history.csv").write_text(""), "its training history cannot be read"),
        (
            lambda run: (run / "evaluation" / "curves.csv").write_text("a,b\n1,2\n"),
            "its curve cannot be read",
        ),
        (lambda run: shutil.rmtree(run), "training is not complete"),
    ],
)
def test_a_damaged_run_is_named_and_the_rest_is_there(
    damage: Any, said: str, project: Project
) -> None:
    folders = [make_run(project, regime, 0, shift=1.0) for regime in ("sl", "ssl")]
    damage(folders[1])
    page = page_of(project, folders)
    assert "Not in this report" in page.text
    assert f"alpha / cnn-7k / ssl / seed 0: {said}" in page.text
    assert ["alpha", "cnn-7k", "sl"] in [row[:3] for row in page.rows]


def test_what_other_rows_brought(project: Project) -> None:
    """Pairs of the same seed, the genomes of both, and no difference where the test rows differ."""
    folders = []
    contents: list[dict[str, str]] = [
        {"reference": "0", "homologs/a": "1"},
        {"reference": "0", "homologs/a": "1", "homologs/b": "2"},
        {"reference": "9", "homologs/a": "1", "homologs/b": "2"},
    ]
    for seed in (0, 1):
        versions = []
        for number, content in enumerate(contents):
            made = make_run(project, "ssl", seed, shift=1.8 + 0.7 * number)
            record = json.loads((made / "run.json").read_text())
            identity = {**record["identity"], "content": content}
            record |= {"identity": identity, "digest": digest_of(identity)}
            (made / "run.json").write_text(json.dumps(record))
            versions.append(made.rename(made.with_name(f"version{number}")))
        folder = versions[-1].rename(made)
        for number, version in enumerate(versions[:-1], start=1):
            (folder / "earlier").mkdir(exist_ok=True)
            version.rename(folder / "earlier" / str(number))
        folders.append(folder)
    folders.append(make_run(project, "sl", 0, shift=1.0))
    page = page_of(project, folders)
    assert "Not in this report" not in page.text
    before, after = (
        [(read_run(run / "earlier" / number, []).metrics or {})["aupr"] for run in folders[:2]]
        for number in ("1", "2")
    )
    gains = np.subtract(after, before)
    cell = "alpha / cnn-7k / ssl"
    first, second = (row for row in page.rows if row[0] == cell)
    assert first[1:3] == ["+ b", "1 → 2"]
    assert first[3].startswith(f"{np.mean(before):.3f} ±")
    drawn = [
        np.mean([read_resamples(r / "earlier" / n, "alpha").aupr for r in folders[:2]], axis=0)  # type: ignore[union-attr]
        for n in ("1", "2")
    ]
    low, high = np.percentile(drawn[1] - drawn[0], [2.5, 97.5])
    mean = f"+{np.mean(gains):.3f} ± {np.std(gains, ddof=1):.3f}"
    assert first[5:] == [f"{mean} [{low:+.3f}, {high:+.3f}]".replace("[-", "[−"), "0, 1"]
    assert all(" [" in cell for cell in first[3:5])
    assert second[1:3] == ["other rows of reference", "2 → 2"]
    assert second[5] == "other test rows"
    shutil.rmtree(folders[0] / "earlier" / "1" / "evaluation")
    page = page_of(project, folders)
    assert "earlier/1" in page.text.partition("What other rows brought")[0]  # not evaluated
    assert [row[6] for row in page.rows if row[:2] == [cell, "+ b"]] == ["1"]


def test_genomes_stand_in_the_order_of_the_project(project: Project) -> None:
    """Whatever the order of names and of the store: header, liftover, rows, changed rows."""
    genomes = [genome.name for genome in reversed(project.genomes)]
    assert genomes != sorted(genomes)
    turned = project.model_copy(update={"genomes": list(reversed(project.genomes))})
    folder = make_run(project, "ssl", 0, shift=2.0)
    later = folder.rename(folder.with_name("later"))
    earlier = make_run(project, "ssl", 0, shift=1.5)
    for run, names in ((earlier, []), (later, sorted(genomes))):
        record = json.loads((run / "run.json").read_text())
        content = {"reference": "0"} | {f"homologs/{name}": "1" for name in names}
        identity = {**record["identity"], "content": content}
        record |= {"identity": identity, "digest": digest_of(identity)}
        (run / "run.json").write_text(json.dumps(record))
    (later / "earlier").mkdir()
    earlier.rename(later / "earlier" / "1")
    page = page_of(turned, [later.rename(folder)])
    assert f"genomes : {', '.join(genomes)}" in page.text
    firsts = [row[0] for row in page.rows if row[0] in genomes]
    assert firsts == 4 * genomes  # liftover and rows of two stores
    (changed_row,) = (row for row in page.rows if row[0] == "alpha / cnn-7k / ssl")
    assert changed_row[1] == ", ".join(f"+ {name}" for name in genomes)


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{7*7}}",
    "</title></style></svg><b>",
    "$\\frac{$",
    "&lt;i&gt; & \u202e",
    "two\nlines]]><!--",
]


class Skeleton(HTMLParser):
    """The elements and attributes of a page, without their texts and values."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[tuple[str, ...]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append((tag, *(name for name, _ in attrs)))
        self.words += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.parts.append(("comment", data))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def named_page(project: Project, folder: Path, name: str) -> Skeleton:
    """Return the page of a project in which everything that has a name has this one."""
    place = folder / name.replace("/", "∕")
    renamed = project.model_copy(
        update={
            "name": name,
            "reference": project.reference.model_copy(update={"name": name}),
            "genomes": [project.genomes[0].model_copy(update={"name": name})],
            "split": project.split.model_copy(update={"test": [name]}),
            "training": project.training.model_copy(update={"runs": place}),
        }
    )
    runs = [make_run(project, "ssl", seed, shift=1.0) for seed in (0, 1, 2)]
    cell = {"experiment": name, "model": name, "regime": name}
    for number, run in enumerate(runs):
        metrics = json.loads((run / "evaluation" / "metrics.json").read_text())
        (run / "evaluation" / "metrics.json").write_text(json.dumps({**metrics, **cell}))
        history = (run / "history.csv").read_text()
        phase = '"' + name.replace('"', '""') + '"'
        (run / "history.csv").write_text(history.replace("pre-train", phase))
        content = {"reference": "0"} | {f"homologs/{name}": str(number)}
        identity = {"content": content, "training": {}}
        record = json.loads((run / "run.json").read_text())
        record |= {**cell, "identity": identity, "digest": digest_of(identity)}
        (run / "run.json").write_text(json.dumps(record))
    (runs[0] / "earlier").mkdir()
    runs[2].rename(runs[0] / "earlier" / "1")
    (runs[1] / "history.csv").write_text(f"{name}\n")  # a problem that quotes it
    root = project.store_path("beta") / "zarr.json"
    value = json.loads(root.read_text())
    ledger = value["attributes"]["crosslabel"]["ledger"]
    ledger["homologs/relative2"]["status"] = name
    ledger["homologs/relative1"]["liftover"][name] = 3
    root.write_text(json.dumps(value))
    place.mkdir(parents=True)
    page = page_of(renamed, [place / "gone", *runs[:2]], title=name)
    assert page.open == []
    return Skeleton((place / "report.html").read_text())


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_whatever_they_are(name: str, built: Path, tmp_path: Path) -> None:
    pages = []
    for number, used in enumerate(("plain", name)):
        shutil.copytree(built, tmp_path / str(number))
        project = load_project(tmp_path / str(number))
        pages.append(named_page(project, tmp_path / f"runs{number}", used))
    plain, page = pages
    # What the page has, not how often: Matplotlib draws each line of a text on its own.
    assert {*page.parts} - {*plain.parts} <= {("text", "style", "transform")}
    assert " ".join(name.split()) in page.text
    assert "alert(1)" not in str(page.parts)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_in_the_pages_of_the_benchmark(name: str) -> None:
    def page_with(used: str) -> Skeleton:
        increases = pd.DataFrame(
            {"experiment": [used], "model": [used], "regime": [used], "labelled": [5]}
            | {"ratio": [1.5], "percent": [50.0], "base": [0.1], "mean": [0.2]}
            | {"base_collapsed": [0], "published_percent": [90.0], "published_labelled": [4.0]}
        )
        svg = benchmark_figures.increase_bars(increases, metric="aupr")
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        table = Table("t", used, [(used, pd.DataFrame({used: [used]}))], increases, used)
        figure = Figure("f", used, svg, increases, used)
        values: dict[str, Any] = {"title": used, "reference": used, "genomes": [used]}
        values |= {
            "findings": [used],
            "test": [used],
            "runs": 1,
            "seeds": 1,
            "tables": [table],
            "figures": [figure],
        }
        return Skeleton(render_page("paper.html.j2", {**values, "regimes": [(used, used)]}))

    page = page_with(name)
    assert {*page.parts} - {*page_with("plain").parts} <= {("text", "style", "transform")}
    assert " ".join(name.split()) in page.text


def test_no_runs_and_no_stores(project: Project) -> None:
    shutil.rmtree(project.store.path)
    page = page_of(project, [])
    assert "No run has been evaluated yet." in page.text
    assert "No genome has been lifted to yet." in page.text
    assert "No store has been built yet." in page.text
    assert page.text.count("no such store; run `crosslabel build` first") == 2


def test_an_incomplete_genome_is_named(project: Project) -> None:
    StoreWriter(project.store_path("beta")).begin("homologs/relative2", "other")
    page = page_of(project, [])
    assert "beta.zarr: homologs/relative2 is not complete (writing)" in page.text
    assert ["relative2", "writing"] in page.rows


def test_summary_counts_only_evaluated_runs(project: Project) -> None:
    runs = [
        read_run(make_run(project, "sl", seed, shift=1.0, experiment=e), [])
        for e, seeds in (("alpha", (0, 1, 2)), ("beta", (0,)))
        for seed in seeds
    ]
    runs[2].metrics = None
    first, second = summarise(runs)
    values = [runs[seed].metrics["aupr"] for seed in (0, 1)]  # type: ignore[index]
    assert first["n"] == 2
    assert first["aupr"] == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    assert second["aupr"][1] is None
    assert second["collapsed"] in (0, 1)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60),
    st.integers(1, 50),
)
def test_thinning_moves_a_curve_by_less_than_a_pixel(
    points: list[tuple[float, float]], cells: int
) -> None:
    x, y = np.array(points).T
    kept_x, kept_y = thinned(x, y, cells=cells)
    assert (kept_x[0], kept_y[0], kept_x[-1], kept_y[-1]) == (x[0], y[0], x[-1], y[-1])
    # Every point that was dropped lies in the pixel of one that was kept.
    pixels = {tuple(p) for p in np.round(np.stack([kept_x, kept_y], axis=1) * cells)}
    assert {tuple(p) for p in np.round(np.stack([x, y], axis=1) * cells)} <= pixels


def test_figures_are_whole_svg_in_the_colours_of_the_page() -> None:
    line = np.linspace(0, 1, 10)
    curves = [SvgCurve("sl", seed, line, 1 - line, 0.5) for seed in (0, 1)]
    history = History([("pre-train", 6), ("fine-tune", 4)], {"loss": line, "val_aupr": line})
    for svg in (
        precision_recall(curves, prevalence=0.1, salt="a"),
        training_curves(history, salt="b"),
    ):
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg")
        assert "width" not in root.attrib
        assert "currentColor" in svg
        assert "var(--grid)" in svg
        assert not re.search(r"#01020[0-9]|#04050[0-9]", svg)
        assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg)
    text = precision_recall(curves, prevalence=0.1, salt="a")
    assert text == precision_recall(curves, prevalence=0.1, salt="a")
    assert "sl  AUPR 0.500, 2 seeds" in text
    assert "guessing  0.100" in text
    assert "pre-train" in training_curves(history, salt="b")
