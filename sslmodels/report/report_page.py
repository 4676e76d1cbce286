"""The HTML report: one self-contained page that loads nothing from other hosts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ssldata.base.files import write_text_atomic
from ssldata.base.yaml_text import dump
from ssldata.project.project_file import Project
from sslmodels.baseline_runs.baseline_status import (
    BASELINE_MODEL,
    baseline_runs,
    baseline_texts,
)
from sslmodels.report.baseline_tests import against_baselines
from sslmodels.report.number_text import (
    byte_size,
    count,
    duration,
    mean_sd,
    number,
    percent,
    signed,
    span,
)
from sslmodels.report.page_paths import RelativePaths
from sslmodels.report.report_data import (
    RunSummary,
    by_output,
    read_baselines,
    read_curve,
    read_history,
    read_run,
    read_top_motifs,
    summarise,
    with_resamples,
)
from sslmodels.report.report_findings import FEW_POSITIVES, findings, recall_margin
from sslmodels.report.report_gains import leading_gains
from sslmodels.report.report_stores import read_stores, store_lines
from sslmodels.report.report_tables import (
    gain_rows,
    gain_tiles,
    motif_tile,
    number_tiles,
    page_link,
    result_lines,
    result_rows,
)
from sslmodels.report.report_terms import UsedTerms
from sslmodels.report.row_changes import read_changes
from sslmodels.report.saved_data import saved_csv, saved_svg
from sslmodels.report.svg_figures import (
    CURVE_CELLS,
    History,
    SvgCurve,
    precision_recall,
    thinned,
    training_curves,
)
from sslmodels.runs.regime_table import REGIME_TABLE
from sslmodels.scores.metric_intervals import BLOCK
from sslmodels.scores.metrics import COLLAPSED_BELOW

#: With more runs than these, training curves are drawn of the first seed of each cell alone.
MOST_HISTORIES = 24


#: Packages whose versions shape a result.
_PACKAGES = ("crosslabel", "keras", "tensorflow", "zarr", "numpy", "pandas", "scikit-learn")


def write_report(
    path: Path,
    *,
    title: str,
    project: Project,
    run_folders: Sequence[Path] = (),
    created: datetime | None = None,
) -> Path:
    """Write one self-contained HTML page about the stores and runs of a project.

    The page is written whatever is missing, and lists what that is.

    Parameters
    ----------
    path
        The page to write; replaced atomically.
    title
        Headline.
    project
        The project whose stores are described.
    run_folders
        Runs to show, in this order.
    created
        Time printed on the page; default: that of the newest store or run, so that the same
        results give the same page.

    Returns
    -------
    Path
        `path`.
    """
    problems: list[str] = []
    runs = [read_run(Path(folder), problems) for folder in run_folders]
    stores = read_stores(project, problems)
    shown = with_resamples(by_output(runs), problems)
    lines = summarise(shown)
    baselines = with_resamples(read_baselines(project, problems), problems)
    baseline_lines = summarise(baselines)
    gains = leading_gains(lines, baseline_lines)
    genomes = [genome.name for genome in project.genomes]
    shown_lines = result_lines([*lines, *baseline_lines])
    test_positives = {
        name: number
        for store in stores
        for name, number in store.test_positives.items()
        if name in project.trained_experiments()
    }
    changes = [change.as_line() for change in read_changes(runs, problems, genomes)]
    curves = curve_figures(shown, baselines, problems)
    training = _training(runs, problems, path.parent)
    shown_stores = [store_lines(store) for store in stores]
    local = RelativePaths(_folder_of(project), _paths_of(project, run_folders))
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            style=Markup(_asset("report.css")),
            created=(created or _newest(project, runs)).strftime("%-d %B %Y, %H:%M UTC"),
            version=_version("crosslabel"),
            project=project,
            genomes=genomes,
            findings=findings(lines, baseline_lines, gains, test_positives),
            tiles=[
                *gain_tiles(gains),
                *number_tiles(lines, stores, plain=not any(gain.mean for gain in gains)),
                *(motif_tile(top, path.parent) for top in read_top_motifs(shown, problems)),
            ],
            lines=shown_lines,
            saved_results=saved_csv("results", result_rows(shown_lines)),
            gains=gains,
            saved_gains=saved_csv("gains", gain_rows(gains)),
            any_interval=any(line["interval"] for line in [*lines, *baseline_lines]),
            without_interval=not all(line["interval"] for line in [*lines, *baseline_lines]),
            block=BLOCK,
            few=[(name, n) for name, n in test_positives.items() if n < FEW_POSITIVES],
            few_positives=FEW_POSITIVES,
            few_margin=f"{100 * recall_margin(FEW_POSITIVES):.0f}",
            many_seeds=any(line["n"] > 1 for line in lines),
            seeds=sorted({seed for line in lines for seed, _ in line["auprs"]}),
            any_collapsed=any(line["collapsed"] for line in [*lines, *baseline_lines]),
            collapsed_below=f"{COLLAPSED_BELOW:g}",
            regimes=[
                *regime_texts(line["regime"] for line in lines),
                *baseline_texts(line["regime"] for line in baseline_lines),
            ],
            baseline_tests=against_baselines(lines, baseline_lines),
            changes=changes,
            curves=curves,
            stores=shown_stores,
            statuses=list(
                {one["key"]: one for s in shown_stores for one in s["statuses"]}.values()
            ),
            **training,
            versions=[(name, _version(name)) for name in _PACKAGES],
            configuration=dump(local.of_values(project.model_dump(mode="json"))),
            problems=[local(problem) for problem in problems],
            local=local,
        )
    )
    write_text_atomic(path, page)
    return path


def regime_texts(regimes: Iterable[str]) -> list[tuple[str, str]]:
    """Return name and description of the regimes that occur, in the order of the table."""
    used = set(regimes)
    return [(name, entry.text) for name, entry in REGIME_TABLE.items() if name in used]


def render_page(template: str, values: Mapping[str, Any]) -> str:
    """Return a page in the style of the report.

    Parameters
    ----------
    template
        Name of a file below ``templates``.
    values
        Values of its variables; ``style`` and ``version`` are added.
    """
    common = {"style": Markup(_asset("report.css")), "version": _version("crosslabel")}
    return _environment().get_template(template).render(**common, **values)


def _folder_of(project: Project) -> Path:
    """Return the folder of the project file, to which paths on the page are relative.

    A project does not know it: it is what its runs and its stores have in common.
    """
    paths = [project.training.runs, project.store_path(project.experiments[0].name).parent]
    return Path(os.path.commonpath([path.absolute() for path in paths]))


def _paths_of(project: Project, run_folders: Iterable[Path]) -> list[Path]:
    """Return the paths that texts of the page may contain."""
    stores = [project.store_path(experiment.name) for experiment in project.experiments]
    found = [project.training.runs, *stores, *(store.parent for store in stores)]
    found += map(Path, run_folders)
    sequences = [project.reference.sequence, *(genome.sequence for genome in project.genomes)]
    found += [path for path in sequences if path]
    return [Path(path) for path in found]


def _newest(project: Project, runs: Sequence[RunSummary]) -> datetime:
    """Return when the newest store or run on the page was written; now if there are none."""
    files = [run.folder / name for run in runs for name in ("run.json", "evaluation/metrics.json")]
    files += [run.record_file for run in baseline_runs(project)]
    files += [project.store_path(e.name) / "zarr.json" for e in project.experiments]
    times = [file.stat().st_mtime for file in files if file.is_file()]
    return datetime.fromtimestamp(max(times), UTC) if times else datetime.now(UTC)


def curve_figures(
    runs: Sequence[RunSummary], baselines: Sequence[RunSummary], problems: list[str]
) -> list[dict[str, Any]]:
    """Draw one figure per experiment and model, all regimes and seeds in it.

    The best baseline of an experiment stands in each; all of them have a figure of their own.

    Parameters
    ----------
    runs, baselines
        Those whose curves are drawn; others are left out.
    problems
        Sentences about curves that cannot be read are appended to it.

    Returns
    -------
    list of dict
        ``title``, ``svg`` (:func:`sslmodels.report.svg_figures.page_svg`), ``alt`` (the figure in
        words) and ``saved`` (links).
    """
    figures = []
    best = {b.experiment: b for b in sorted(baselines, key=lambda b: (b.metrics or {})["aupr"])}
    every = [*runs, *baselines]
    for experiment, model in dict.fromkeys((run.experiment, run.model) for run in every):
        group = [run for run in every if (run.experiment, run.model) == (experiment, model)]
        if model != BASELINE_MODEL and experiment in best:
            group.append(best[experiment])
        read = [(run, read_curve(run, problems)) for run in group]
        curves = [curve for _, curve in read if curve is not None]
        if not curves:
            continue
        bases = [(run.metrics or {}).get("prevalence") for run, curve in read if curve is not None]
        title = f"{experiment} / {model}"
        svg = precision_recall(curves, prevalence=bases[0], salt=f"pr {title}")
        name = f"precision_recall_{experiment}_{model}"
        figures.append(
            {
                "title": title,
                "svg": Markup(svg),
                "alt": _curves_in_words(curves),
                "saved": [saved_svg(name, svg), saved_csv(name, _curve_rows(curves))],
            }
        )
    return figures


def _curves_in_words(curves: Sequence[SvgCurve]) -> str:
    shown = ", ".join(f"{c.regime} (seed {c.seed}) AUPR {c.aupr:.3f}" for c in curves)
    return f"Precision against recall of {shown}"


def _curve_rows(curves: Sequence[SvgCurve]) -> list[dict[str, Any]]:
    """Return the points of curves as a file has them: about those that are drawn."""
    rows = []
    for curve in curves:
        points = zip(*thinned(curve.recall, curve.precision, cells=CURVE_CELLS), strict=True)
        cell = {"regime": curve.regime, "seed": curve.seed}
        rows += [{**cell, "recall": round(x, 4), "precision": round(y, 4)} for x, y in points]
    return rows


def _training(runs: Sequence[RunSummary], problems: list[str], folder: Path) -> dict[str, Any]:
    """Return the lines and figures of the section on training, of a page in `folder`."""
    lines, figures, rows = [], [], []
    few = len(runs) <= MOST_HISTORIES
    drawn: set[tuple[str, ...]] = set()
    for run in runs:
        # Of what was not trained, one problem is enough.
        trained = run.record.get("status") == "complete"
        history = read_history(run, problems) if trained else None
        cell = (run.experiment, run.model, run.regime)
        if history is not None:
            rows += _history_rows(run, history)
        if history is not None and (few or cell not in drawn):
            drawn.add(cell)
            svg = training_curves(history, salt=f"history {run.name}")
            epochs = sum(number for _, number in history.phases)
            figures.append(
                {
                    "title": run.name,
                    "svg": Markup(svg),
                    "alt": f"Losses over {epochs} epochs of training of {run.name}",
                    "saved": [saved_svg(f"training_{run.name}", svg)],
                }
            )
        metrics = run.metrics or {}
        lines.append(
            {
                "name": run.name,
                "collapsed": run.collapsed,
                "motifs": page_link(run.folder / "interpretation" / "index.html", folder),
                "epochs": "+".join(str(n) for _, n in history.phases) if history else "–",
                "parameters": count(run.record.get("parameters")),
                "steps": count(run.record.get("steps")),
                "time": duration(run.record.get("wall_s")),
                "aupr": number(metrics.get("aupr")),
                "auroc": number(metrics.get("auroc")),
            }
        )
    return {
        "runs": lines,
        "histories": figures,
        "histories_left": 0 if few else len(runs) - len(figures),
        "saved_runs": saved_csv("runs", lines),
        "saved_histories": saved_csv("training_curves", rows),
    }


def _history_rows(run: RunSummary, history: History) -> list[dict[str, Any]]:
    """Return the epochs of a run as a file has them."""
    names = [name for name, number in history.phases for _ in range(number)]
    cell = {"experiment": run.experiment, "model": run.model, "regime": run.regime}
    return [
        {**cell, "seed": run.seed, "phase": phase, "epoch": index + 1}
        | {name: values[index] for name, values in history.series.items()}
        for index, phase in enumerate(names)
    ]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(term=UsedTerms())
    environment.filters.update(
        mean_sd=mean_sd, span=span, signed=signed, percent=percent, bytes=byte_size
    )
    return environment


def _asset(name: str) -> str:
    return (resources.files("sslmodels.report") / "templates" / name).read_text("utf-8")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
