"""The students that a run of ssl-ns keeps, and those that it takes from a run of the same series.

``students/student-0.keras`` is the first teacher and ``student-<k>.keras`` the student of iteration
k; the last one is ``model.keras`` itself. Student k is the teacher of iteration k + 1, so the
weights of every iteration can be computed again from the run folder. ``students`` of the record
lists them.

No draw, seed or initial weight of a student depends on the number of iterations, so that k
iterations contain those of k − 1, bit for bit. A run therefore takes the students that another run
of the series has: one with the same identity but for that number, in ``training.runs`` or in
``sweeps/iterations-*`` below it.
"""

from __future__ import annotations

import copy
import csv
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.base.files import atomic_path, digest_of
from ssldata.store.run_weights import read_weights, write_weights
from sslmodels.models.catalogue import MODEL_FILE
from sslmodels.runs.run_folder import (
    RunFolder,
    check_files,
    link_or_copy,
    misshapen,
    read_record,
)
from sslmodels.runs.run_identity import run_folder, with_runs
from sslmodels.runs.run_logs import HISTORY, write_history

if TYPE_CHECKING:
    from sslmodels.runs.run import Run

_LOG = logging.getLogger(__name__)

#: Folders of the series over iterations, below the runs folder of the grid.
SERIES = "sweeps/iterations-*"


def student_file(folder: RunFolder, number: int) -> Path:
    """Return the file that keeps a student that is not the last; 0: the first teacher."""
    return folder.students / f"student-{number}.keras"


def student_entry(number: int, weights: str, *, last: bool) -> dict[str, Any]:
    """Return what the record says of a student: its iteration, file and digest of weights."""
    file = MODEL_FILE if last else f"students/student-{number}.keras"
    return {"iteration": number, "file": file, "weights_sha256": weights}


def keep_file(folder: RunFolder, number: int, source: Path) -> None:
    """Keep a saved model as a student; a link where the file system can."""
    target = student_file(folder, number)
    with atomic_path(target) as temporary:
        link_or_copy(source, temporary)


@dataclass(frozen=True)
class _Lender:
    """A complete run of the same series, whose files are whole."""

    folder: RunFolder
    record: Mapping[str, Any]

    @property
    def count(self) -> int:
        """Number of its students; the first teacher is not one."""
        return len(self.record["students"]) - 1

    def file(self, number: int) -> Path:
        """Return the file of a student."""
        return self.folder.model if number == self.count else student_file(self.folder, number)


def take_students(run: Run) -> tuple[int, Path | None]:
    """Take the students that another run of the series has, with their weights and epochs.

    Parameters
    ----------
    run
        A run of ssl-ns that has no phases yet, with its first teacher in the details.

    Returns
    -------
    tuple
        The number of students taken, and the file of the last; (0, None) if there are none.
    """
    wanted = run.project.training.noisy_student.iterations
    lender = max(_lenders(run), key=lambda one: min(one.count, wanted), default=None)
    if lender is None:
        return 0, None
    count = min(lender.count, wanted)
    source = os.path.relpath(lender.folder.path, run.folder.path)
    for number in range(1, count + 1):
        arrays, made_by = read_weights(lender.folder.weights, number)
        if "calibration" in made_by:
            run.details.setdefault("calibration", []).append(made_by["calibration"])
        write_weights(run.folder.weights, number, arrays, {**made_by, "run": run.digest})
        if number < wanted:
            keep_file(run.folder, number, lender.file(number))
        digest = lender.record["students"][number]["weights_sha256"]
        described = student_entry(number, digest, last=number == wanted)
        run.details["students"].append({**described, "taken_from": source})
    _take_phases(run, lender, count)
    for made_of in ("dnabert2", "sei"):
        if made_of in lender.record:
            run.details[made_of] = lender.record[made_of]
    _LOG.info("%s: %d students taken from %s", run.folder.path, count, lender.folder.path)
    return count, lender.file(count)


def _take_phases(run: Run, lender: _Lender, count: int) -> None:
    """Take the phases of the first `count` students into the record, the history and the logs."""
    epochs = _read_history(lender.folder.history)
    phases = lender.record["phases"]
    for phase in phases[: len(phases) // lender.count * count]:
        name = phase["name"]
        here = [record for record in epochs if record["phase"] == name]
        with run.logs.phase(len(run.phases), name) as log:
            log([{key: value for key, value in one.items() if key != "phase"} for one in here])
        run.history += here
        run.phases.append(dict(phase))
    write_history(run.folder.history, run.history)


def _read_history(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return [
            {"phase": row["phase"], "epoch": int(row["epoch"])}
            | {key: float(row[key]) for key in HISTORY[2:]}
            for row in csv.DictReader(handle)
        ]


def _lenders(run: Run) -> Iterator[_Lender]:
    """Yield the runs of the same series that have students to lend."""
    top = run.teachers or run.project.training.runs
    cell = {key: getattr(run, key) for key in ("experiment", "model", "regime", "seed")}
    mine = _series_of(read_record(run.folder.path))
    for runs in (top, *sorted(top.glob(SERIES))):
        path = run_folder(with_runs(run.project, runs), **cell)
        if path == run.folder.path:
            continue
        try:
            record = read_record(path)
        except (ConfigError, MissingInputError):
            continue
        folder = RunFolder(path)
        if not folder.is_complete(record) or not _lends(record):
            continue
        same_teacher = record["teacher"]["weights"] == run.details["teacher"]["weights"]
        if _series_of(record) != mine or not same_teacher:
            continue
        try:
            for part in (MODEL_FILE, "students", folder.weights.name, folder.history.name):
                check_files(path, record, part)
        except InputError as exc:
            _LOG.warning("%s; its students are trained again", exc)
            continue
        yield _Lender(folder, record)


def _lends(record: Mapping[str, Any]) -> bool:
    """Return whether a record lists students as this release does; earlier ones kept none."""
    needed: dict[str, tuple[type, ...]] = {
        **dict.fromkeys(("teacher", "files"), (dict,)),
        **dict.fromkeys(("students", "phases"), (list,)),
        "teacher.weights": (str,),
    }
    if misshapen(record, needed, {}):
        return False
    students, phases = record["students"], record["phases"]
    shape: dict[str, tuple[type, ...]] = {"iteration": (int,), "weights_sha256": (str,)}
    return (
        len(students) > 1
        and len(phases) % (len(students) - 1) == 0
        and not any(misshapen(one, shape, {}) for one in students)
        and not any(misshapen(one, {"name": (str,)}, {}) for one in phases)
        and [one["iteration"] for one in students] == list(range(len(students)))
    )


def _series_of(record: Mapping[str, Any]) -> str:
    """Return a digest that runs of the same identity but for the iterations share."""
    identity = copy.deepcopy(record["identity"])
    identity["training"].get("noisy_student", {}).pop("iterations", None)
    return digest_of(identity)
