"""Features of known motifs: the best site, and the sum over all sites, of both strands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.array_types import ByteArray
from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import InputError
from ssldata.store.feature_store import FeatureColumns
from sslmodels.baselines.meme_text import SequenceMotif, read_meme
from sslmodels.baselines.motif_scan import Statistic, log_odds_of, scan_scores
from sslmodels.features.feature_model import Features

#: What is taken of the sites of a sequence; two columns for each motif.
_STATISTICS: tuple[Statistic, ...] = ("best", "sum")


class MotifScores:
    """Log-odds of motifs over equally frequent bases.

    Frequencies are not taken from the sequences: features of a sequence must not depend on which
    others are in the file.

    Parameters
    ----------
    motifs
        The motifs.
    identity
        Of their file.
    """

    length: int | None = None
    reads_both_strands = True
    batch = 2**14

    def __init__(self, motifs: Sequence[SequenceMotif], identity: Mapping[str, Any]) -> None:
        self._motifs = motifs
        background = np.full(4, 0.25)
        self._matrices = [log_odds_of(motif, background) for motif in motifs]
        self.columns = FeatureColumns(
            names=[f"{_name(motif)}.{what}" for motif in motifs for what in _STATISTICS],
            long_name="log-odds of a motif: best site, or log of the mean odds of all sites",
            units="nat",
        )
        self.identity: Mapping[str, Any] = {**identity, "background": background.tolist()}

    def compute(self, codes: ByteArray) -> Features:
        """Return the scores (n, 2 × motifs) of base codes, both strands included."""
        found = np.empty((len(codes), len(self.columns.names)), np.float32)
        column = 0
        for motif, matrix in zip(self._motifs, self._matrices, strict=True):
            for statistic in _STATISTICS:
                try:
                    found[:, column] = scan_scores(codes, matrix, statistic)
                except InputError as exc:
                    raise InputError(f"motif {motif.name}: {exc}; leave it out") from exc
                column += 1
        return found


def motif_scores(path: Path) -> MotifScores:
    """Return what scores sequences with the motifs of a MEME file."""
    identity = {"kind": "motifs", "file": path.name, "digest": file_digest(path)}
    return MotifScores(read_meme(path), identity)


def _name(motif: SequenceMotif) -> str:
    return f"{motif.name}_{motif.label}" if motif.label else motif.name
