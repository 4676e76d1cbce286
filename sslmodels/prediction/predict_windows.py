"""Score all windows of a source into a file: a block at a time, and resumable.

The scores of each block are kept in the folder ``OUT.parts`` until all are known; then the file is
written from them. A command that was killed continues with the first block that is missing, to the
same bytes. ``OUT.json`` records what the file was made of; the same command then does nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.errors import ConfigError, InputError
from ssldata.base.files import atomic_path, digest_of, write_json_atomic
from ssldata.base.locks import one_at_a_time
from ssldata.base.progress import NoProgress, Progress
from sslmodels.prediction.score_files import ScoreFile, check_format
from sslmodels.prediction.trained_model import Scores
from sslmodels.prediction.window_scorer import WindowScorer
from sslmodels.prediction.window_sources import WindowSource

#: Incremented when a release would give other bytes from the same models and windows.
PREDICTION_FORMAT = 1


def predict_windows(
    source: WindowSource,
    scorer: WindowScorer,
    file: ScoreFile,
    *,
    identity: Mapping[str, Any],
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the scores of all windows of a source.

    Parameters
    ----------
    source, scorer, file
        The windows, what scores them, and where the scores go.
    identity
        What decides the scores of a window: models and options; JSON.
    replace
        Overwrite a file that was made of something else.
    dry_run
        Only count.
    progress
        Progress reporter, advanced by the windows scored and written.

    Returns
    -------
    dict
        ``status`` (``written``, ``unchanged``, ``to do``), ``files``, ``columns``, ``windows``,
        ``windows_on_minus_strand``, ``windows_with_n`` and ``skipped`` by reason.

    Raises
    ------
    ConfigError
        The file exists and was made of something else, or its format cannot hold the windows.
    InputError
        There is no window.
    """
    check_format(file.format, source)
    digest = digest_of(
        {
            "format": PREDICTION_FORMAT,
            **identity,
            "source": source.identity,
            "file": file.format,
            "columns": list(file.columns),
        }
    )
    total = minus = 0
    for block in source.blocks():
        total += len(block)
        minus += 0 if block.strand is None else int((block.strand < 0).sum())
    skipped = dict(source.skipped)
    if not total:
        reasons = ", ".join(f"{count} {why.replace('_', ' ')}" for why, count in skipped.items())
        raise InputError(f"no window to score ({reasons or 'the input is empty'})")
    summary: dict[str, Any] = {
        "files": [str(path) for path in file.paths],
        "columns": list(file.columns),
        "windows": total,
        "windows_on_minus_strand": minus,
        "skipped": skipped,
    }
    with one_at_a_time(f"predict-{digest_of(str(file.path.absolute()))[:32]}"):
        record = file.path.with_name(f"{file.path.name}.json")
        known = _read_json(record)
        existing = [path for path in file.paths if path.exists()]
        if known.get("digest") == digest and len(existing) == len(file.paths):
            return {**known["summary"], "status": "unchanged"}
        if existing and not replace:
            raise ConfigError(
                f"{existing[0]}: exists, made of other windows, models or options; choose another "
                "--out, or overwrite it with --replace"
            )
        folders = [path for path in existing if path.is_dir()]
        if folders and not known:
            raise ConfigError(
                f"{folders[0]}: a folder that `crosslabel predict` did not write, and --replace "
                "does not remove it; choose another --out"
            )
        if dry_run:
            return {**summary, "status": "to do"}
        with_n = _write(source, scorer, file, total, digest, progress or NoProgress())
        summary["windows_with_n"] = with_n
        write_json_atomic(
            record, {"digest": digest, "identity": dict(identity), "summary": summary}
        )
        shutil.rmtree(_parts_of(file))
    return {**summary, "status": "written"}


def _write(
    source: WindowSource,
    scorer: WindowScorer,
    file: ScoreFile,
    total: int,
    digest: str,
    progress: Progress,
) -> int:
    """Score what is missing, write the file, and return how many windows have an N."""
    parts = _parts_of(file)
    _claim(parts, digest)
    with_n = 0
    with progress.task("scoring windows", total) as advance:
        for number, block in enumerate(source.blocks()):
            part = _part(parts, number)
            if part is None:
                part = scorer.block(source, block)
                _write_part(parts, number, *part)
            with_n += part[1]
            advance(len(block))
    with (
        progress.task(f"writing {file.path.name}", total) as advance,
        file.writer(source, total) as write,
    ):
        for number, block in enumerate(source.blocks()):
            found = _part(parts, number)
            assert found is not None
            write(block, found[0])
            advance(len(block))
    return with_n


def _parts_of(file: ScoreFile) -> Path:
    return file.path.with_name(f"{file.path.name}.parts")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _claim(parts: Path, digest: str) -> None:
    """Empty the folder of parts unless it holds those of the same scores."""
    parts.mkdir(parents=True, exist_ok=True)
    manifest = parts / "manifest.json"
    if _read_json(manifest).get("digest") != digest:
        for path in parts.iterdir():
            path.unlink()
        write_json_atomic(manifest, {"digest": digest})
    for path in parts.glob("*.partial"):
        path.unlink()  # of a writer that was killed: the lock is held


def _path(parts: Path, number: int) -> Path:
    return parts / f"{number:07d}.npz"


def _part(parts: Path, number: int) -> tuple[Scores, int] | None:
    path = _path(parts, number)
    if not path.exists():
        return None
    with np.load(path) as found:
        return found["scores"], int(found["with_n"])


def _write_part(parts: Path, number: int, scores: Scores, with_n: int) -> None:
    with atomic_path(_path(parts, number)) as temporary, temporary.open("wb") as handle:
        np.savez(handle, scores=scores, with_n=with_n)
