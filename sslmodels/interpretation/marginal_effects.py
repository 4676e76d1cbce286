"""What a motif does on its own: its effect when it is put into background sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.genomes.onehot import reverse_complement
from sslmodels.baselines.meme_text import SequenceMotif
from sslmodels.interpretation.attribution import log_odds
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.scores.score_rows import score

Codes = NDArray[np.uint8]

#: Bases between two motifs: the distances that are tried.
_GAPS = tuple(range(0, 101, 4))


@dataclass(frozen=True)
class Effect:
    """Change of the log-odds over the backgrounds: mean and standard deviation."""

    mean: float
    sd: float

    def as_dict(self) -> dict[str, float]:
        """Return both, for JSON."""
        return asdict(self)


def likeliest(motif: SequenceMotif) -> Codes:
    """Return the base codes of the likeliest sequence of a motif."""
    return motif.matrix.argmax(axis=1).astype(np.uint8)


def inserted(backgrounds: Codes, sequence: Codes, start: int) -> Codes:
    """Return backgrounds (n, L) with a sequence written over their bases from `start` on."""
    made = backgrounds.copy()
    made[:, start : start + len(sequence)] = sequence
    return made


def marginal_effect(
    model: SequenceModel, backgrounds: Codes, motif: SequenceMotif, *, output: int = 0
) -> Effect:
    """Return the effect of a motif in the middle of backgrounds, mean of both strands.

    Parameters
    ----------
    model
        A model that reads bases.
    backgrounds
        Base codes (n, L).
    motif
        Its likeliest sequence is written over the middle bases.
    output
        Number of the output.
    """
    sequence = likeliest(motif)
    start = (backgrounds.shape[1] - len(sequence)) // 2
    base = _z(model, backgrounds, output)
    both = [
        _z(model, inserted(backgrounds, one, start), output) - base
        for one in (sequence, reverse_complement(sequence))
    ]
    return _effect(np.mean(both, axis=0))


def pair_effects(
    model: SequenceModel, backgrounds: Codes, motifs: Sequence[SequenceMotif], *, output: int = 0
) -> dict[str, Any]:
    """Return the effect of two motifs against the bases between them.

    Parameters
    ----------
    model, backgrounds, output
        As of :func:`marginal_effect`.
    motifs
        Two, or one to be paired with itself.

    Returns
    -------
    dict
        ``gaps``; for each orientation of the second motif (``same``, ``opposite``) the effects
        of the pair; and ``sum``, for each gap, of what both do alone at the same places.
    """
    first, second = likeliest(motifs[0]), likeliest(motifs[-1])
    length = backgrounds.shape[1]
    gaps = [gap for gap in _GAPS if len(first) + gap + len(second) <= length]
    base = _z(model, backgrounds, output)

    def effect(*placed: tuple[Codes, int]) -> NDArray[np.float32]:
        made = backgrounds
        for sequence, start in placed:
            made = inserted(made, sequence, start)
        return _z(model, made, output) - base

    found: dict[str, Any] = {"motifs": [motifs[0].name, motifs[-1].name], "gaps": gaps}
    for name, other in (("same", second), ("opposite", reverse_complement(second))):
        pairs, sums = [], []
        for gap in gaps:
            start = (length - len(first) - gap - len(second)) // 2
            places = ((first, start), (other, start + len(first) + gap))
            pairs.append(_effect(effect(*places)).as_dict())
            sums.append(_effect(effect(places[0]) + effect(places[1])).as_dict())
        found[name] = {"pair": pairs, "sum": sums}
    return found


def _z(model: SequenceModel, codes: Codes, output: int) -> NDArray[np.float32]:
    return log_odds(score(model, codes)[:, output])


def _effect(changes: NDArray[np.float32]) -> Effect:
    return Effect(float(changes.mean()), float(changes.std(ddof=1)) if len(changes) > 1 else 0.0)
