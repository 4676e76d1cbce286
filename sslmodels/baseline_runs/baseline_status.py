"""Which baselines a project asks for, what each depends on, and whether it is up to date.

Nothing is trained here, and neither TensorFlow nor scikit-learn is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import CrosslabelError, InputError
from ssldata.base.files import digest_of, sha256_of
from ssldata.project.project_file import Project
from ssldata.project.training_section import BaselineKind
from ssldata.store.store import HOMOLOGUES, REFERENCE, Store, open_store
from sslmodels.evaluation.evaluation_status import FILES, checked_file, read_metrics
from sslmodels.runs.run_folder import misshapen
from sslmodels.runs.training_rows import nearest_genomes

#: What stands for the model of a baseline in tables.
BASELINE_MODEL = "baseline"

#: Increased when equal settings would give another result than in the release before.
BASELINE_FORMAT = 1
#: Seed of every draw.
BASELINE_SEED = 0
#: Negatives per positive, in training and in validation; homologues count as positives.
NEGATIVES, VALIDATION_NEGATIVES = 20.0, 50.0
#: Bases of the training rows at most, by kind; of more rows some are drawn.
MOST_BASES = {"pwm": 5_000_000, "motif": 20_000_000, "kmer": 20_000_000, "gkm": 5_000_000}

_RECORD, _MODEL = "baseline.json", "baseline.npz"
#: What is added to the name of a baseline with homologues.
_HOMOLOGUES = "+hom"

_NEEDED: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("status", "digest", "experiment", "name"), (str,)),
    "identity": (dict,),
}
_POSSIBLE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("model", "reason"), (str,)),
    **dict.fromkeys(("settings", "rows", "versions"), (dict,)),
    "parameters": (int,),
    **dict.fromkeys(("seconds", "cpu_s"), (int, float)),
}

#: What each kind is, for the reader of a report.
_TEXTS = {
    "pwm": "scan with the known motif, best site of both strands",
    "pwm-sum": "scan with the known motif, all sites of both strands",
    "motif": "scan with a motif found in the training positives by EM",
    "kmer": "logistic regression on 6-mers",
    "gkm": "support vector machine on gapped k-mers (6 of 8)",
}

BaselineState = Literal["complete", "failed", "missing", "unknown"]


@dataclass(frozen=True)
class BaselineRun:
    """One baseline of one experiment.

    Attributes
    ----------
    project
        The project.
    experiment
        The experiment.
    kind
        The class.
    variant
        The statistic of a scan; else empty.
    homologues
        Whether homologues of the training positives are positives too.
    """

    project: Project
    experiment: str
    kind: BaselineKind
    variant: str = ""
    homologues: bool = False

    @property
    def name(self) -> str:
        """The baseline in tables: ``motif``, ``motif+hom``, ``pwm``, ``pwm-sum``, …."""
        variant = f"-{self.variant}" if self.variant not in ("", "best") else ""
        return f"{self.kind}{variant}{_HOMOLOGUES if self.homologues else ''}"

    @property
    def title(self) -> str:
        """The baseline in one line."""
        return f"{self.experiment} / {BASELINE_MODEL} / {self.name}"

    @property
    def folder(self) -> Path:
        """Its folder: ``<runs>/<experiment>/baselines/<name>``."""
        return self.project.training.runs / self.experiment / "baselines" / self.name

    @property
    def record_file(self) -> Path:
        """The record, which is written last."""
        return self.folder / _RECORD

    @property
    def model_file(self) -> Path:
        """The trained baseline."""
        return self.folder / _MODEL

    @property
    def length(self) -> int:
        """Bases that it reads: the bin, without the context around it."""
        return min(self.project.windows.size, self.project.windows.stored)

    def identity(self, store: Store) -> dict[str, Any]:
        """Return everything its result depends on."""
        training = self.project.training
        groups = [REFERENCE]
        if self.homologues:
            genomes = nearest_genomes(self.project, store)
            groups += [f"{HOMOLOGUES}/{name}" for name in genomes]
        found: dict[str, Any] = {
            "format": BASELINE_FORMAT,
            "experiment": self.experiment,
            "baseline": self.name,
            "seed": BASELINE_SEED,
            "length": self.length,
            "negatives": [NEGATIVES, VALIDATION_NEGATIVES, MOST_BASES[self.kind]],
            "content": {name: store.ledger[name]["content"] for name in groups},
        }
        if training.labelled_peaks is not None:
            found["labelled_peaks"] = training.labelled_peaks
        if self.kind == "pwm":
            motif = self.project.experiment(self.experiment).motif
            assert motif is not None
            known = file_digest(motif.file) if motif.file.is_file() else "missing"
            found["motif"] = {"file": known, "name": motif.name}
        return found


def baseline_texts(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return name and description of baselines, each once."""
    found = []
    for name in dict.fromkeys(names):
        more = "; homologues are positives too" if name.endswith(_HOMOLOGUES) else ""
        found.append((name, _TEXTS[name.removesuffix(_HOMOLOGUES)] + more))
    return found


def baseline_runs(project: Project, experiment: str | None = None) -> Iterator[BaselineRun]:
    """Yield the baselines that a project asks for, of one experiment or of all that are trained."""
    asked = project.training.baselines
    kinds = get_args(BaselineKind) if asked is True else tuple(asked or ())
    with_homologues = (False, True) if project.genomes else (False,)
    for name in project.trained_experiments() if experiment is None else [experiment]:
        for kind in kinds:
            if kind != "pwm":
                yield from (BaselineRun(project, name, kind, "", hom) for hom in with_homologues)
            elif project.experiment(name).motif is not None:
                # Nothing in a scan is trained, so homologues would change nothing.
                yield from (BaselineRun(project, name, kind, how) for how in ("best", "sum"))


def baseline_state(run: BaselineRun) -> tuple[BaselineState, dict[str, Any]]:
    """Return whether a baseline is up to date, with its metrics.

    Returns
    -------
    str
        ``complete``; ``failed`` with these rows and settings; ``missing`` (to be trained, or again,
        from other rows or settings, or because a file is damaged); ``unknown`` (there is no store
        yet).
    dict
        Metrics of a complete one; ``reason`` of a failed one.
    """
    try:
        store = open_store(run.project.store_path(run.experiment))
        wanted = digest_of(run.identity(store))
    except CrosslabelError:
        return "unknown", {}
    try:
        record = read_baseline_record(run.folder)
        if record is None or record["digest"] != wanted:
            return "missing", {}
        if record["status"] == "failed":
            return "failed", {"reason": record["reason"]}
        metrics = read_metrics(run.folder)
        for name in FILES:
            checked_file(run.folder, name)
    except InputError:
        return "missing", {}
    whole = run.model_file.is_file() and sha256_of(run.model_file) == record.get("model")
    if metrics is None or metrics.get("digest") != wanted or not whole:
        return "missing", {}
    return "complete", metrics


def baselines_left(project: Project, *, replace: bool = False) -> list[BaselineRun]:
    """Return the baselines to be trained; `replace`: also those that failed."""
    settled = {"complete"} if replace else {"complete", "failed"}
    return [run for run in baseline_runs(project) if baseline_state(run)[0] not in settled]


def baseline_results(project: Project) -> list[dict[str, Any]]:
    """Return ``experiment``, ``baseline``, ``folder``, and metrics or ``reason``, of each.

    A baseline that is to be trained has neither.
    """
    return [
        {
            "experiment": run.experiment,
            "baseline": run.name,
            "folder": str(run.folder),
            **baseline_state(run)[1],
        }
        for run in baseline_runs(project)
    ]


def read_baseline_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of a baseline; None: there is none.

    Raises
    ------
    InputError
        It is damaged.
    """
    path = folder / _RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as exc:
        wrong = str(exc)
    else:
        wrong = misshapen(record, _NEEDED, _POSSIBLE)
        if not wrong and record["status"] == "failed" and "reason" not in record:
            wrong = "no reason"
    if wrong:
        raise InputError(f"{path}: damaged ({wrong}); `crosslabel run` makes it again")
    return dict(record)
