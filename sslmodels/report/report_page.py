"""The HTML report: one self-contained page that loads nothing from other hosts."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from ssldata.base.files import write_text_atomic
from ssldata.project.project_file import Project, dump_project
from sslmodels.baseline_runs.baseline_status import (
    BASELINE_MODEL,
    baseline_runs,
    baseline_texts,
)
from sslmodels.report.baseline_tests import against_baselines
from sslmodels.report.page_paths import RelativePaths
from sslmodels.report.report_data import (
    RowsChange,
    RunSummary,
    StoreView,
    TopMotif,
    by_output,
    mean_and_sd,
    read_baselines,
    read_changes,
    read_curve,
    read_history,
    read_run,
    read_stores,
    read_top_motifs,
    summarise,
    with_resamples,
)
from sslmodels.report.report_findings import FEW_POSITIVES, findings, recall_margin
from sslmodels.report.report_gains import BEST_BASELINE, Gain, leading_gains, span
from sslmodels.report.report_terms import STATUS_TEXTS, UsedTerms, status_name
from sslmodels.report.saved_data import saved_csv, saved_svg
from sslmodels.report.svg_figures import (
    CURVE_CELLS,
    History,
    SvgCurve,
    precision_recall,
    style_of,
    thinned,
    training_curves,
)
from sslmodels.runs.regime_table import BASELINE, REGIME_TABLE
from sslmodels.scores.metric_intervals import BLOCK
from sslmodels.scores.metrics import COLLAPSED_BELOW

#: Colours of the liftover statuses, in the order they are stacked.
STATUS_COLOURS = {
    "mapped": "#2a9d8f",
    "deleted": "#8d99a6",
    "partial": "#e3b341",
    "split": "#ee8f4a",
    "duplicated": "#d65f5f",
    "distant": "#8f6bc9",
    "multi_contig": "#4a7fb5",
    "invalid": "#5b4b49",
    "not_reciprocal": "#b5739d",
    "summit_lost": "#a0a83d",
}

#: With more runs than these, training curves are drawn of the first seed of each cell alone.
MOST_HISTORIES = 24

#: Below this q value a known motif is named beside a found one.
MOTIF_NAMED_BELOW = 0.05

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
    result_lines = _result_lines([*lines, *baseline_lines])
    test_positives = {
        name: number
        for store in stores
        for name, number in store.test_positives.items()
        if name in project.trained_experiments()
    }
    changes = _change_lines(read_changes(runs, problems, genomes))
    curves = curve_figures(shown, baselines, problems)
    training = _training(runs, problems, path.parent)
    store_lines = [_store_lines(store) for store in stores]
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
                *_gain_tiles(gains),
                *_tiles(lines, stores, plain=not any(gain.mean for gain in gains)),
                *(_motif_tile(top, path.parent) for top in read_top_motifs(shown, problems)),
            ],
            lines=result_lines,
            saved_results=saved_csv("results", _result_rows(result_lines)),
            gains=gains,
            saved_gains=saved_csv("gains", _gain_rows(gains)),
            any_interval=any(line["interval"] for line in [*lines, *baseline_lines]),
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
            stores=store_lines,
            statuses=list({one["key"]: one for s in store_lines for one in s["statuses"]}.values()),
            **training,
            versions=[(name, _version(name)) for name in _PACKAGES],
            configuration=local(dump_project(project)),
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


def _result_lines(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add to every line of results its colour and where its dots lie on the common scale."""
    top = max((aupr for line in lines for _, aupr in line["auprs"]), default=1.0) or 1.0
    shown: list[dict[str, Any]] = []
    for line in lines:
        cell = (line["experiment"], line["model"])
        shown.append(
            {
                **line,
                "first": not shown or (shown[-1]["experiment"], shown[-1]["model"]) != cell,
                "colour": style_of(line["regime"])[0],
                "scale": top,
                "dots": [round(100 * aupr / top, 2) for _, aupr in line["auprs"]],
                "base": round(min(100.0, 100 * (line["prevalence"] or (0,))[0] / top), 2),
            }
        )
    return shown


def _result_rows(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of results as a file has them."""
    rows = []
    for line in lines:
        row: dict[str, Any] = {
            "experiment": line["experiment"],
            "model": line["model"],
            "regime": line["regime"],
        }
        numbers = {key: line[key] for key in ("aupr", "auroc", "prevalence", "lift")}
        for key, pair in numbers.items():
            mean, sd = pair or (None, None)
            row |= {key: mean} if key == "prevalence" else {key: mean, f"{key}_sd": sd}
        low, high = line["interval"] or (None, None)
        row |= {"aupr_low": low, "aupr_high": high, "runs": line["n"]}
        row |= {"seeds": " ".join(str(seed) for seed, _ in line["auprs"])}
        rows.append({**row, "collapsed": line["collapsed"], "test_positives": line["positives"]})
    return rows


def _gain_rows(gains: Sequence[Gain]) -> list[dict[str, Any]]:
    """Return the gains as a file has them."""
    rows = []
    for gain in gains:
        for line in gain.lines + ([gain.mean] if gain.mean and len(gain.lines) > 1 else []):
            low, high = line.interval or (None, None)
            row: dict[str, Any] = {"model": gain.model, "regime": gain.regime, "over": line.over}
            row |= {"experiment": line.name, "aupr": line.aupr, "aupr_of_other": line.base}
            rows.append({**row, "gain": line.ratio, "gain_low": low, "gain_high": high})
    return rows


def _change_lines(changes: Sequence[RowsChange]) -> list[dict[str, Any]]:
    """Return what the page shows of changed rows: means over seeds, and of their differences."""
    lines = []
    for change in changes:
        _, before, after = zip(*change.pairs, strict=True)
        differences = [new - old for old, new in zip(before, after, strict=True)]
        lines.append(
            {
                "cell": f"{change.experiment} / {change.model} / {change.regime}",
                "rows": change.rows,
                "genomes": f"{len(change.before)} → {len(change.after)}",
                "names": " → ".join(", ".join(names) for names in (change.before, change.after)),
                "before": mean_and_sd(before),
                "after": mean_and_sd(after),
                "difference": mean_and_sd(differences),
                "comparable": change.comparable,
                "collapsed": change.collapsed,
                "seeds": ", ".join(str(seed) for seed, *_ in change.pairs),
            }
        )
    return lines


def _gain_tiles(gains: Sequence[Gain]) -> list[dict[str, str]]:
    """Return the first gain over a control, and the first over the best baseline."""
    tiles: dict[bool, dict[str, str]] = {}
    for gain in gains:
        if gain.mean is not None:
            interval = span(gain.mean.interval, 2).lstrip()
            parts = (f"95 % {interval}" if interval else "", gain.note, gain.model)
            tile = {
                "label": f"{gain.regime} over {gain.over}",
                "value": f"× {gain.mean.ratio:.2f}",
                "note": "; ".join(part for part in parts if part),
            }
            tiles.setdefault(gain.over == BEST_BASELINE, tile)
    return list(tiles.values())


def _tiles(
    lines: Sequence[Mapping[str, Any]], stores: Sequence[StoreView], *, plain: bool
) -> list[dict[str, str]]:
    """Return the few numbers a reader looks for first; `plain`: with the gain over sl."""
    tiles = []
    if lines:
        best = max(lines, key=lambda line: line["aupr"][0])
        where = f"{best['experiment']}, {best['model']}, {best['regime']}"
        if best["interval"]:
            where = f"95 %{span(best['interval'], 3)}; {where}"
        tiles.append({"label": "Best AUPR", "value": f"{best['aupr'][0]:.3f}", "note": where})
        of_sl = [
            line
            for line in lines
            if line["regime"] == BASELINE
            and (line["experiment"], line["model"]) == (best["experiment"], best["model"])
        ]
        known = of_sl and of_sl[0]["aupr"][0] > 0 and not of_sl[0]["collapsed"]
        if plain and known and best["regime"] != BASELINE:
            gain = best["aupr"][0] / of_sl[0]["aupr"][0]
            note = f"over {BASELINE}, {best['experiment']} and {best['model']}"
            tiles.append({"label": "Gain", "value": f"{gain:.2f} ×", "note": note})
    labelled = sum(g.rows.get("positive", 0) for s in stores for g in s.groups[:1])
    lifted = sum(g.rows.get("positive", 0) for s in stores for g in s.groups[1:])
    if labelled:
        of = f"in {len(stores)} store{'s' if len(stores) > 1 else ''}"
        tiles.append(
            {"label": "Labelled positives", "value": f"{labelled:,}", "note": f"training rows {of}"}
        )
        note = f"{lifted / labelled:.1f} × the labelled ones"
        tiles.append({"label": "Homologous positives", "value": f"{lifted:,}", "note": note})
    return tiles


def _motif_tile(top: TopMotif, folder: Path) -> dict[str, str]:
    """Return the tile of the top motif of an experiment, with a link from a page in `folder`."""
    if not top.consensus:
        note = "nothing is more frequent in positive rows"
    elif top.match is None:
        note = f"in {_percent(top.share)} of the positive rows"
    elif top.match_q is not None and top.match_q < MOTIF_NAMED_BELOW:
        note = f"like {top.match} (q {top.match_q:.1e}), in {_percent(top.share)} of the positives"
    else:
        note = f"like no known motif, in {_percent(top.share)} of the positive rows"
    tile = {
        "label": f"Top motif, {top.experiment}",
        "value": top.consensus or "none",
        "note": f"{note}; {top.run}",
        "href": _link(top.page, folder),
    }
    if top.logo is not None:
        # As an image: nothing in it can run.
        tile["logo"] = f"data:image/svg+xml;base64,{base64.b64encode(top.logo).decode()}"
    return tile


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
                "motifs": _link(run.folder / "interpretation" / "index.html", folder),
                "epochs": "+".join(str(n) for _, n in history.phases) if history else "–",
                "parameters": _count(run.record.get("parameters")),
                "steps": _count(run.record.get("steps")),
                "time": _time(run.record.get("wall_s")),
                "aupr": _number(metrics.get("aupr")),
                "auroc": _number(metrics.get("auroc")),
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


def _link(page: Path, folder: Path) -> str:
    """Return where a page lies relative to a folder: a project can be moved. Empty: nowhere."""
    if not page.is_file():
        return ""
    return quote(Path(os.path.relpath(page.resolve(), folder.resolve())).as_posix())


def _store_lines(store: StoreView) -> dict[str, Any]:
    """Return what the page shows of one store."""
    used = {key for group in store.groups for key in group.liftover}
    statuses = [key for key in STATUS_COLOURS if key in used]
    lifted: list[dict[str, Any]] = []
    for group in store.groups:
        total = sum(group.liftover.values())
        if not total:
            continue
        parts = [
            {
                "name": status_name(key),
                "count": f"{group.liftover[key]:,}",
                "colour": STATUS_COLOURS[key],
                "width": round(100 * group.liftover[key] / total, 3),
            }
            for key in statuses
            if group.liftover.get(key)
        ]
        share = _percent(group.liftover.get("mapped", 0) / total)
        lifted.append(
            {"name": group.name, "liftover": group.liftover, "parts": parts, "mapped_share": share}
        )
    return {
        "name": store.name,
        "path": store.path,
        "saved": [
            saved_csv(
                f"liftover_{store.name}",
                [{"genome": group["name"], **group["liftover"]} for group in lifted],
            )
        ],
        "saved_rows": saved_csv(
            f"rows_{store.name}",
            [
                {"genome": group.name, "status": group.status, **group.rows}
                | {"aligned": group.aligned, "identity": group.identity, "bytes": group.size}
                | {"content": group.digest}
                for group in store.groups
            ],
        ),
        "digest": store.digest,
        "sources": store.sources,
        "groups": store.groups,
        "lifted": lifted,
        "statuses": [
            {
                "key": key,
                "name": status_name(key),
                "colour": STATUS_COLOURS[key],
                "text": STATUS_TEXTS[status_name(key)],
            }
            for key in statuses
        ],
    }


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
        mean_sd=_mean_sd, span=span, signed=_signed, percent=_percent, bytes=_bytes
    )
    return environment


def _asset(name: str) -> str:
    return (resources.files("sslmodels.report") / "templates" / name).read_text("utf-8")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _mean_sd(pair: tuple[float, float | None] | None, digits: int, with_sd: bool = True) -> str:
    if pair is None:
        return "–"
    mean, sd = pair
    return _number(mean, digits) + (f" ± {sd:.{digits}f}" if with_sd and sd is not None else "")


def _signed(pair: tuple[float, float | None]) -> str:
    return ("+" if pair[0] >= 0 else "−") + _mean_sd((abs(pair[0]), pair[1]), 3)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _bytes(amount: float) -> str:
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
