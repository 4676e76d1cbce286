"""Scores of windows by one model or several: calibration, homologues, mean and deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ssldata.base.array_types import ByteArray
from ssldata.conservation.homologue_windows import HomologueWindows
from ssldata.reading.read_window import central
from sslmodels.committee.bin_scorer import BinScorer
from sslmodels.evaluation.run_calibration import CalibrationMethod
from sslmodels.prediction.genome_scan import Scanner
from sslmodels.prediction.trained_model import Ensemble, Scores, mean_and_sd
from sslmodels.prediction.window_sources import WindowBlock, WindowSource

#: The column with the number of genomes behind a mean.
GENOMES = "genomes"
#: Windows that a committee scores at once.
_PLACED = 2**14


class WindowScorer:
    """Scores windows.

    Parameters
    ----------
    ensemble
        The models.
    both_strands
        Average each window with its reverse complement.
    calibration
        How the scores of each model are calibrated; None: they are not.
    homologues
        Where the homologues of a window are found; None: only the window itself is scored.
    committees
        Number of a model that is a committee → what scores places by it; missing: it scores
        sequences alone.

    Attributes
    ----------
    columns
        Names of what is computed: each output, its standard deviation over several models
        (``NAME_sd``), and the number of genomes (``genomes``).
    """

    def __init__(
        self,
        ensemble: Ensemble,
        *,
        both_strands: bool = True,
        calibration: CalibrationMethod | None = None,
        homologues: HomologueWindows | None = None,
        committees: Mapping[int, BinScorer] | None = None,
    ) -> None:
        self._ensemble = ensemble
        self._scanners = [Scanner(member) for member in ensemble.members]
        self._both_strands = both_strands
        self._calibration = calibration
        if calibration is not None:
            for member in ensemble.members:  # refused now rather than after the first block
                member.calibrate(np.zeros((0, len(member.outputs)), np.float32), calibration)
        self._homologues = homologues
        self._committees = dict(committees or {})
        several = len(ensemble.members) > 1
        self.columns = (
            *ensemble.outputs,
            *((f"{name}_sd" for name in ensemble.outputs) if several else ()),
            *([GENOMES] if homologues is not None else []),
        )

    def rows(self, codes: ByteArray) -> Scores:
        """Return the scores (models, n, outputs) of base codes (n, length)."""
        found = []
        for scanner in self._scanners:
            part = central(codes, scanner.model.length)
            found.append(scanner.score_codes(part, both_strands=self._both_strands))
        return self._calibrated(np.stack(found))

    def along(self, codes: ByteArray, stride: int) -> Scores:
        """Return the scores (models, windows, outputs) of all windows of a sequence."""
        found = []
        for scanner in self._scanners:
            lead = (self._ensemble.length - scanner.model.length) // 2
            part = codes[lead : len(codes) - lead]
            found.append(scanner.scan(part, stride=stride, both_strands=self._both_strands))
        return self._calibrated(np.stack(found))

    def _calibrated(self, scores: Scores) -> Scores:
        if self._calibration is None:
            return scores
        pairs = zip(self._ensemble.members, scores, strict=True)
        return np.stack([member.calibrate(one, self._calibration) for member, one in pairs])

    def _placed(self, number: int, bins: BinScorer, block: WindowBlock) -> Scores:
        """Return the scores (n, 1) of a block by the committee of a model."""
        parts = []
        for first in range(0, len(block), _PLACED):
            some = slice(first, first + _PLACED)
            strand = None if block.strand is None else block.strand[some]
            parts.append(
                bins.of_places(block.contig[some], block.start[some], block.end[some], strand)
            )
        scores = np.concatenate(parts)[:, None]
        if self._calibration is None:
            return scores
        return self._ensemble.members[number].calibrate(scores, self._calibration)

    def block(self, source: WindowSource, block: WindowBlock) -> tuple[Scores, int]:
        """Return the columns of a block, float32 (n, columns), and its windows with an N."""
        scores, with_n = source.score(block, self)
        for number, bins in self._committees.items():
            scores[number] = self._placed(number, bins, block)
        genomes: Sequence[Scores] = []
        if self._homologues is not None:
            count = np.ones(len(block), np.float32)
            total = scores.astype(np.float64)
            where = block.contig, block.start, block.end, block.strand
            for _, rows, codes in self._homologues.of(*where):
                total[:, rows] += self.rows(codes)
                count[rows] += 1
            scores = (total / count[:, None]).astype(np.float32)
            genomes = [count[:, None]]
        mean, sd = mean_and_sd(scores)
        return np.concatenate([mean, *([sd] if len(scores) > 1 else []), *genomes], axis=1), with_n
