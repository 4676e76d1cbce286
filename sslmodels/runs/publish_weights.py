"""Publish the teacher weights of a run in the store it was trained from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssldata.base.errors import ConfigError, StoreError
from ssldata.store.published_weights import publish_weights
from ssldata.store.run_weights import iterations_of, read_weights
from sslmodels.runs.regime_table import WITH_TEACHER
from sslmodels.runs.run_folder import RunFolder, check_files, complete_record, store_place

#: Digits of a run's digest in the name of its weights.
_DIGITS = 12


def publish_run(
    run_folder: Path,
    *,
    iteration: int | None = None,
    name: str | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Write the teacher weights of one iteration of a run into its store.

    Parameters
    ----------
    run_folder
        A complete run of a regime with a teacher (ssl-ns).
    iteration
        Iteration whose weights are published; default: the last.
    name
        Their name in the store; default: the first digits of the run's digest and the iteration.
    replace
        Overwrite other weights of that name.

    Returns
    -------
    dict
        As :func:`ssldata.store.published_weights.publish_weights`, with ``run`` and ``iteration``.

    Raises
    ------
    MissingInputError
        There is no run, or it has no weights of that iteration.
    ConfigError
        The run is not complete, or its regime has no teacher.
    InputError
        The weights are not those that the run wrote.
    StoreError
        The rows of the store are not those of the run, or other weights have the name.
    """
    record = complete_record(run_folder)
    folder = RunFolder(run_folder)
    if record["regime"] not in WITH_TEACHER:
        raise ConfigError(
            f"{run_folder}: a run of {record['regime']} has no teacher weights; those of an "
            f"{' or '.join(WITH_TEACHER)} run are published"
        )
    if iteration is None:
        # If all were removed by hand, the error names the first one as missing.
        iteration = (iterations_of(folder.weights) or [1])[-1]
    place = store_place(folder, record)
    if isinstance(place, str):
        raise StoreError(f"{place}: not a local store; weights are published in a .zarr folder")
    check_files(run_folder, record, folder.weights.name)
    arrays, made_by = read_weights(folder.weights, iteration)
    content = record["identity"]["content"]
    cell = {key: record[key] for key in ("experiment", "model", "seed")}
    # A column of weights belongs to an output: runs that train with them must have the same ones.
    cell["outputs"] = record["identity"].get("outputs", [record["experiment"]])
    done = publish_weights(
        place,
        name or f"{record['digest'][:_DIGITS]}-{iteration}",
        arrays,
        contents={group: content[group] for group in arrays},
        provenance={**made_by, **cell},
        replace=replace,
    )
    return {**done, "run": str(run_folder), "iteration": iteration}
