"""What the commands do: call the libraries, return the JSON value and what to print."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.output import tables
from flows.output.plan_view import run_status
from flows.steps.quiet_tensorflow import muted_import
from flows.steps.run_checks import (
    Cluster,
    check_run,
    publish_runs,
    publish_teachers,
    require_inputs,
    require_teachers,
)
from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.project.project_file import Project, load_project
from ssldata.project.training_section import REGIMES
from sslmodels.models.catalogue import check_models

if TYPE_CHECKING:
    from rich.console import RenderableType

    from flows.output.console import Console
    from flows.steps.pipeline import Options

_ROWS_TITLE = "Rows: positives and negatives of the training split, validation, test"

#: The JSON value of a command, and what is printed without ``--json``.
Shown = tuple[Any, "list[RenderableType]"]

_LOG = logging.getLogger(__name__)


def fetch(project: Project, console: Console, *, offline: bool, replace: bool) -> Shown:
    """Fetch the public files of a project."""
    from ssldata.project.fetch import fetch as fetch_files

    report = fetch_files(project, progress=console, offline=offline, replace=replace)
    rows = [
        (file.path, file.status, tables.size(file.bytes), file.origin or "–")
        for file in report.files
    ]
    return report.as_dict(), [tables.table("Files", ["file", "status", "size", "from"], rows)]


def build(
    project: Project,
    console: Console,
    *,
    experiments: Sequence[str] | None,
    cluster: Cluster,
    replace: bool,
    repair: bool,
    verify_cache: bool,
) -> Shown:
    """Build the stores of a project.

    Parameters
    ----------
    project, console
        What to build, and where progress is reported.
    experiments
        Names of experiments whose stores are built; None: all.
    cluster
        Where the work is done.
    replace, repair, verify_cache
        See :func:`ssldata.building.build_store.build_project`.
    """
    require_inputs(project)
    from ssldata.building.build_store import build_project

    stores = build_project(
        project,
        experiments=experiments,
        replace=replace,
        repair=repair,
        verify_cache=verify_cache,
        progress=console,
        **cluster.options(),
    )
    return stores, build_tables(stores)


def build_tables(stores: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """Return the tables of a build: rows per genome, and how the peaks were lifted."""
    rows = [
        (
            store["store"],
            tables.genome(step["group"]),
            *(
                tables.count(step["ranges"][key][1] - step["ranges"][key][0])
                for key in ("positive", "negative", "validation", "test")
            ),
            step["status"],
        )
        for store in stores
        for step in store["steps"]
    ]
    columns = ["store", "genome", "positives", "negatives", "validation", "test", ""]
    shown: list[RenderableType] = [tables.table(_ROWS_TITLE, columns, rows, numbers=5)]
    lifted = [
        (store["store"], tables.genome(step["group"]), step["liftover"])
        for store in stores
        for step in store["steps"]
        if "liftover" in step
    ]
    if lifted:
        from ssldata.liftover.lift_result import Status

        used = {key for _, _, counts in lifted for key in counts}
        statuses = [name for name in (s.name.lower() for s in Status) if name in used]
        shown.append(
            tables.table(
                "Liftover",
                ["store", "genome", *(key.replace("_", " ") for key in statuses)],
                [
                    (store, genome, *(tables.count(counts.get(key, 0)) for key in statuses))
                    for store, genome, counts in lifted
                ],
                numbers=len(statuses),
            )
        )
    return shown


def train(
    project: Project,
    console: Console,
    *,
    experiment: str | None,
    model: str | None,
    regime: str | None,
    seed: int,
    replace: bool,
    store: str | None = None,
    publish_weights: bool = False,
) -> Shown:
    """Train one run.

    Parameters
    ----------
    project, console
        What to train, and where progress is reported.
    experiment, model, regime
        Names; None: the only one of the project.
    seed
        Of the run.
    replace
        Overwrite a run made from other settings or another store.
    store
        Address of a store to train on instead of the project's.
    publish_weights
        Put the last teacher weights of the run in the store.

    Raises
    ------
    ConfigError
        An argument is ambiguous or unknown, or the weights cannot be published.
    """
    cell: dict[str, Any] = {
        "experiment": _only("experiment", experiment, project.cells()),
        "model": _only("model", model, project.training.models),
        "regime": _only("regime", regime, project.training.regimes),
        "seed": seed,
    }
    # Before TensorFlow is imported, which takes seconds.
    project.outputs_of(cell["experiment"])
    if cell["regime"] not in REGIMES:
        raise ConfigError(f"--regime {regime}: no such regime; there are {', '.join(REGIMES)}")
    if reason := project.refused_regimes([cell["regime"]]):
        raise ConfigError(f"--regime {regime}: {reason}")
    with muted_import():  # a model of one's own imports Keras
        training = project.training
        check_models([cell["model"], *training.model_options, *training.per_model])
    if publish_weights:
        require_teachers([cell["regime"]])
        if store is not None and not Path(store).is_dir():
            raise ConfigError(
                f"--publish-weights: {store} is not a local store; nothing can be written to it"
            )
    with muted_import(announce=console.draws):
        from sslmodels.runs.regimes import train as train_run

    folder = train_run(project, progress=console, replace=replace, location=store, **cell)
    value: dict[str, Any] = {"run": str(folder), **cell}
    shown: list[RenderableType] = [f"trained {folder}; next: crosslabel evaluate {folder}"]
    if publish_weights:
        value["weights"] = publish_runs([folder])
        shown += [published_line(one) for one in value["weights"]]
    return value, shown


def published_line(value: Mapping[str, Any]) -> str:
    """Return one line about published weights."""
    done = "published" if value["status"] == "published" else "published already, unchanged"
    return f"{value['path']}: weights {value['name']} (iteration {value['iteration']}) {done}"


def _only(option: str, given: str | None, choices: Sequence[str]) -> str:
    """Return the given choice, or the only one of the project."""
    if given is not None:
        return given
    if len(choices) == 1:
        return choices[0]
    raise ConfigError(f"--{option} is needed: the project has {', '.join(choices)}")


def evaluate(paths: Sequence[Path], console: Console) -> Shown:
    """Evaluate the runs that `paths` name."""
    folders = run_folders(paths)
    with muted_import(announce=console.draws):
        from sslmodels.evaluation.evaluate import evaluate_run

    rows = []
    with console.task("evaluate", len(folders)) as advance:
        for folder in folders:
            rows.append({"run": str(folder), **evaluate_run(folder, progress=console)})
            advance(1)
    return rows, [tables.metrics_table(rows)]


def interpret(paths: Sequence[Path], console: Console, options: Mapping[str, Any]) -> Shown:
    """Interpret the runs that `paths` name.

    `options` are those of :class:`sslmodels.interpretation.interpret.InterpretOptions`.
    """
    folders = run_folders(paths)
    with muted_import(announce=console.draws):
        from sslmodels.interpretation.interpret import InterpretOptions, interpret_run

    values = []
    for folder in folders:
        found = interpret_run(folder, InterpretOptions(**options), progress=console)
        page = folder / "interpretation" / "index.html"
        values.append({"run": str(folder), "page": str(page), **found})
    pages = [f"page: {value['page']}" for value in values]
    return values, [tables.motifs_table(values), *pages]


def hot_spots(
    paths: Sequence[Path],
    console: Console,
    options: Mapping[str, Any],
    *,
    store: str | None = None,
    folder: Path | None = None,
) -> Shown:
    """Test known motifs in the hot spots of models.

    Parameters
    ----------
    paths
        Model files and runs, as of :func:`models_of`.
    console
        Where progress is reported.
    options
        Those of :class:`sslmodels.hot_spots.hot_spot_options.HotSpotOptions`, the background as
        text.
    store, folder
        See :func:`sslmodels.hot_spots.hot_spot_motifs.hot_spot_motifs`.

    Raises
    ------
    ConfigError
        One folder for the results of several models.
    """
    from sslmodels.hot_spots.hot_spot_options import HotSpotOptions, background_of

    asked = HotSpotOptions(**{**options, "background": background_of(options["background"])})
    models = models_of(paths)
    if folder is not None and len(models) > 1:
        raise ConfigError(
            f"--to {folder}: one folder for {len(models)} models; name one model, or leave out --to"
        )
    with muted_import(announce=console.draws):
        from sslmodels.hot_spots.hot_spot_motifs import hot_spot_motifs
    from sslmodels.runs.run_folder import RunFolder

    values = []
    for path in models:
        found = hot_spot_motifs(path, asked, store=store, folder=folder, progress=console)
        run = path if path.is_dir() else path.parent
        page = (folder or RunFolder(run).hot_spots) / "index.html"
        values.append({"model": str(path), "page": str(page), **found})
    notes = [f"{value['title']}: {note}" for value in values for note in value["notes"]]
    pages = [f"page: {value['page']}" for value in values]
    return values, [tables.hot_spots_table(values), *notes, *pages]


def run_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the run folders that paths name: runs, folders of runs, projects.

    Raises
    ------
    MissingInputError
        A path does not exist or contains no complete run.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_file() or (path / "project.yaml").is_file():
            top = load_project(path).training.runs
        else:
            top = path
        if (top / "run.json").is_file():
            found[top] = None
            continue
        runs = _below(top)
        complete = []
        for run in runs:
            try:
                if run_status(run) == "complete":
                    complete.append(run)
                else:
                    _LOG.warning("%s: not complete, left out; `crosslabel train` continues it", run)
            except ConfigError as exc:
                _LOG.warning("left out: %s", exc)
        if not complete:
            raise MissingInputError(f"{top}: no complete run here; `crosslabel train` makes one")
        found.update(dict.fromkeys(complete))
    return list(found)


def models_of(paths: Sequence[Path]) -> list[Path]:
    """Return the models that paths name: ``.keras`` files, and what :func:`run_folders` finds."""
    found: list[Path] = []
    for path in paths:
        found += [path] if path.suffix == ".keras" else run_folders([path])
    return list(dict.fromkeys(found))


def _below(top: Path) -> list[Path]:
    from sslmodels.runs.run_folder import EARLIER

    # Only as deep as RUNS/EXPERIMENT/MODEL/REGIME/seed-N: models and curves hold no runs.
    depths = ("*", "*/*", "*/*/*", "*/*/*/*")
    found = sorted(path.parent for depth in depths for path in top.glob(f"{depth}/run.json"))
    return [run for run in found if run.parent.name != EARLIER]


def run(
    project: Project, console: Console, options: Options, *, publish_weights: bool = False
) -> Shown:
    """Do everything a project asks for, as a Prefect flow unless it is done already.

    Parameters
    ----------
    project, console
        What to run, and where progress is reported.
    options
        Workers, threads, report.
    publish_weights
        Put the last teacher weights of the grid's ssl-ns runs in their stores.
    """
    check_run(project, publish_weights=publish_weights)
    from flows.steps.pipeline import Pipeline

    idle = Pipeline(project, options, progress=console)
    value = idle.run() if idle.is_done() else _flow(project, console, options)
    shown = [
        *build_tables(value["stores"]),
        tables.metrics_table([*value["runs"], *(b for b in value["baselines"] if "aupr" in b)]),
        *(
            f"{b['experiment']}: no baseline {b['baseline']}: {b['reason']}"
            for b in value["baselines"]
            if "reason" in b
        ),
        f"report: {value['report']}",
        *([f"paper: {value['paper']}"] if "paper" in value else []),
    ]
    if publish_weights:
        value["weights"] = publish_teachers(value["runs"])
        shown += [published_line(one) for one in value["weights"]]
    return value, shown


def _flow(project: Project, console: Console, options: Options) -> dict[str, Any]:
    if options.elsewhere:
        from ssldata.building.dask_pool import open_pool

        # A cluster that does not answer fails before Prefect takes its seconds to start.
        with open_pool(**options.cluster):
            pass
    from flows.prefect_flows import prefect_runtime

    prefect_runtime.prepare(verbosity=console.verbosity)
    from flows.prefect_flows.project_flows import run_project

    options = dataclasses.replace(options, verify_cache=False)  # it was, a moment ago
    with prefect_runtime.flow_settings(console):
        # Plain values, since Prefect records them as JSON.
        return run_project(str(project.file), **asdict(options))
