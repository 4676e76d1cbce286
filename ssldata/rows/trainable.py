"""Whether a store can be trained, validated and tested: positives and negatives in every split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ssldata.base.errors import InputError
from ssldata.project.project_file import Project
from ssldata.rows.intervals import Peaks
from ssldata.rows.reference_rows import ReferenceRows
from ssldata.rows.splits import SPLIT_NAMES


def check_splits(
    project: Project, experiments: Sequence[str], peaks: Mapping[str, Peaks], built: ReferenceRows
) -> None:
    """Refuse rows that lack positives or negatives in a split of an experiment that is trained.

    Parameters
    ----------
    project
        Names the experiments that are trained, and the file in the message.
    experiments
        Label columns of the rows.
    peaks
        Peaks of each experiment.
    built
        The rows of the labelled genome.

    Raises
    ------
    InputError
        With the numbers of every split. Where peaks are too narrow for any bin to be positive, it
        names ``width``.
    """
    table, windows = built.rows, project.windows
    for column, experiment in enumerate(experiments):
        if experiment not in project.trained_experiments():
            continue
        positive = table.label[:, column] > 0
        # A training negative is one of every experiment; those of a joint store share them.
        negative = ~positive
        negative[slice(*built.ranges["positive"])] = False
        counts = {
            name: [int((kind & (table.split == split)).sum()) for kind in (positive, negative)]
            for split, name in enumerate(SPLIT_NAMES)
        }
        lacking = [
            f"no {kind} in {', '.join(names)}"
            for at, kind in enumerate(("positives", "negatives"))
            if (names := [name for name, both in counts.items() if not both[at]])
        ]
        if not lacking:
            continue
        numbers = ", ".join(f"{name} {p} and {n}" for name, (p, n) in counts.items())
        rows = f"bins of {windows.size} b" if experiment in peaks else "sequences"
        advice = "change 'split' or the peaks"
        if experiment not in peaks:
            advice = "change 'sequences.splits' or the table"
        elif not all(p for p, _ in counts.values()):
            advice = _advice_on_width(peaks[experiment], project) or advice
        raise InputError(
            f"{project.file or 'project'}: experiment {experiment!r} has {' and '.join(lacking)} "
            f"(positive and negative {rows}: {numbers}); {advice}"
        )


def _advice_on_width(peaks: Peaks, project: Project) -> str:
    """Return what to do about peaks that are too narrow for any bin; empty: they are not."""
    windows = project.windows
    needed = windows.min_overlap * windows.size
    median = float(np.median(peaks.intervals.end - peaks.intervals.start))
    if median > needed:
        return ""
    return (
        f"half of its peaks have at most {median:g} b, and a bin is positive when more "
        f"than {needed:g} b are covered: set the experiment's 'width', or "
        "'windows.min_overlap'"
    )
