"""Scores of the labelled rows of a run's store, by its network or by its committee."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import MissingInputError
from ssldata.base.progress import NoProgress, Progress
from ssldata.project.project_file import load_project
from ssldata.reading.read_window import central
from ssldata.store.store import REFERENCE, Store
from sslmodels.committee.bin_scorer import BinScorer
from sslmodels.committee.committee_file import load_committee
from sslmodels.models.model_builder import load_model
from sslmodels.runs.run_folder import RunFolder
from sslmodels.scores.score_rows import score_rows

#: Rows a committee scores at once.
_BLOCK = 2**14


class RowScorer:
    """Scores labelled rows as a run does.

    Parameters
    ----------
    folder
        Folder of a complete run.
    store
        The store it was trained on.

    Raises
    ------
    CrosslabelError
        The run is damaged, or a genome that its committee looks at is missing.
    """

    def __init__(self, folder: RunFolder, store: Store) -> None:
        self.network = load_model(folder.model)
        self._store = store
        self._bins: BinScorer | None = None
        if folder.committee.is_file():
            committee = load_committee(folder.committee)
            if not folder.config.is_file():
                raise MissingInputError(
                    f"{folder.config}: no such file; it names the genomes that the committee looks "
                    "at: train the run again"
                )
            contigs = store.group(REFERENCE).contigs
            project = load_project(folder.config)
            self._bins = BinScorer(project, self.network, committee, contigs=contigs)

    def __call__(
        self,
        start: int,
        stop: int,
        *,
        both_strands: bool = False,
        progress: Progress | None = None,
        description: str = "scoring",
    ) -> NDArray[np.float32]:
        """Return the probabilities (stop − start, outputs) of rows of the group ``reference``.

        Parameters
        ----------
        start, stop, progress, description
            As of :func:`sslmodels.scores.score_rows.score_rows`.
        both_strands
            Average each row with its reverse complement; a committee always does.
        """
        if self._bins is None:
            return score_rows(
                self.network,
                self._store,
                group=REFERENCE,
                start=start,
                stop=stop,
                both_strands=both_strands,
                progress=progress,
                description=description,
            )
        parts = []
        with (progress or NoProgress()).task(description, total=stop - start) as advance:
            for first in range(start, stop, _BLOCK):
                last = min(first + _BLOCK, stop)
                parts.append(self._committee(self._bins, first, last))
                advance(last - first)
        return np.concatenate(parts)[:, None]

    def _committee(self, bins: BinScorer, first: int, last: int) -> NDArray[np.float32]:
        rows = self._store.group(REFERENCE)
        where: list[Any] = [
            rows.column_part(name, first, last) for name in ("contig", "start", "end", "strand")
        ]
        codes = central(rows.codes(first, last), bins.length)
        return bins.probabilities(np.ascontiguousarray(codes), *where)
