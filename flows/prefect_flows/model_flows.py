"""The Prefect flows of models and of what is shared: train, evaluate and compare, publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from pydantic import NonNegativeInt, PositiveInt

from flows.prefect_flows.arrival_flows import DATASET, emit_of
from flows.prefect_flows.prefect_runtime import (
    advises_parameters,
    log_user_errors_plainly,
    never_failing,
    run_name,
    step,
)
from flows.prefect_flows.project_recorder import ProjectRecorder
from flows.prefect_flows.run_artifacts import as_text, cell_text
from flows.steps.arrival_steps import compare_rows
from flows.steps.pipeline import Options, Pipeline
from flows.steps.quiet_tensorflow import muted_import
from ssldata.base.errors import ConfigError
from ssldata.base.files import expanded
from ssldata.project.project_file import load_project
from ssldata.sharing.publish_icechunk import publish
from ssldata.sharing.zip_store import share_zip

log_user_errors_plainly()

#: Event: the runs of a project are trained.
TRAINED = "runs.trained"


@flow(name="crosslabel-train", flow_run_name=run_name("train {project}"), persist_result=False)
@advises_parameters
def train_runs(
    project: str,
    train_workers: NonNegativeInt = 0,
    dask_scheduler: str | None = None,
    scheduler_file: str | None = None,
    train_threads: PositiveInt | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Train and evaluate the runs of a project that are missing or stale, and renew its report.

    Runs whose rows did not change are left alone.

    Parameters
    ----------
    project
        A project file, or the folder that holds ``project.yaml``.
    train_workers, dask_scheduler, scheduler_file, train_threads, replace
        See :class:`flows.steps.pipeline.Options`.

    Returns
    -------
    dict
        See :meth:`flows.steps.pipeline.Pipeline.run`.
    """
    loaded = load_project(expanded(project))
    options = Options(
        train_workers=train_workers,
        dask_scheduler=dask_scheduler,
        scheduler_file=scheduler_file,
        train_threads=train_threads,
        replace=replace,
    )
    recorder = ProjectRecorder(loaded)
    value = Pipeline(loaded, options, step=recorder.step, progress=recorder.progress).run()
    emit_of(TRAINED, DATASET, loaded.name, {"project": project})
    return value


@flow(
    name="crosslabel-evaluate", flow_run_name=run_name("evaluate {project}"), persist_result=False
)
@advises_parameters
def evaluate_runs(project: str) -> dict[str, Any]:
    """Evaluate the complete runs of a project, and compare them with those before the last genome.

    The comparison is a table among the artifacts, and entries in the history of the stores.

    Parameters
    ----------
    project
        A project file, or the folder that holds ``project.yaml``.

    Returns
    -------
    dict
        ``runs``: metrics of each; ``effects``: see
        :func:`sslmodels.report.genome_effect.effects_of_rows`.
    """
    loaded = load_project(expanded(project))
    with muted_import():
        from sslmodels.evaluation.evaluate import evaluate_run
    from sslmodels.runs.run_grid import grid
    from sslmodels.runs.run_status import run_status

    runs, recorder = [], ProjectRecorder(loaded)
    for cell in grid(loaded):
        if run_status(loaded, **cell.arguments).status == "complete":
            metrics = recorder.step("evaluate", cell.name, evaluate_run, cell.folder)
            runs.append({"run": cell.name, **metrics})
    effects = compare_rows(loaded, show=lambda found: _show(loaded.name, found))
    return {"runs": runs, "effects": effects}


def _show(name: str, effects: list[dict[str, Any]]) -> None:
    from sslmodels.report.genome_effect import EFFECT_COLUMNS, effect_lines

    lines = effect_lines(effects)
    for line in lines:
        get_run_logger().info("%s: %s: %s → %s, difference %s: %s", *line[:2], *line[3:])
    if lines:
        shown = [[cell_text(text) for text in line] for line in lines]
        with never_failing("the comparison"):
            create_table_artifact(
                table=[dict(zip(EFFECT_COLUMNS, line, strict=True)) for line in shown],
                key="did-it-help",
                description=f"{as_text(name)}: AUPR before and after the last change of rows, on "
                "the same test bins, with 95 % intervals",
            )


@flow(name="crosslabel-publish", flow_run_name=run_name("publish {store}"), persist_result=False)
@advises_parameters
def publish_store(store: str, target: str, licence: str | None = None) -> dict[str, Any]:
    """Publish a store with its card: as one zip, or as a commit of an Icechunk repository.

    Parameters
    ----------
    store
        The folder of a store.
    target
        ``FILE.zip``; or an Icechunk repository: a folder, or ``s3://BUCKET/PREFIX``.
    licence
        Licence of the data, an SPDX name or URL; recorded in the card.

    Returns
    -------
    dict
        See :func:`ssldata.sharing.zip_store.share_zip` and
        :func:`ssldata.sharing.publish_icechunk.publish`.
    """
    path = Path(expanded(store))
    if target.endswith(".zip"):
        if "://" in target:
            raise ConfigError(
                f"{target}: a zip is written to a disk; on S3 name an Icechunk repository, "
                "s3://BUCKET/PREFIX"
            )
        value: dict[str, Any] = step(
            "publish", path.name, share_zip, path, expanded(target), licence=licence
        )
    else:
        place = target if "://" in target else str(expanded(target))
        value = step("publish", path.name, publish, path, place, licence=licence)
    for group in value["left_out"]:
        get_run_logger().warning("left out, not complete: %s", group)
    with never_failing("what was published"):
        create_markdown_artifact(
            markdown="\n".join(f"- {key}: {as_text(str(value[key]))}" for key in sorted(value)),
            key="published",
            description=f"{as_text(path.name)}, published to {as_text(target)}",
        )
    return value
