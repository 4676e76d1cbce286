"""In-silico saturation mutagenesis: the scores of every sequence with every base replaced."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssldata.base.progress import NoProgress, Progress
from ssldata.genomes.onehot import reverse_complement
from sslmodels.interpretation.local_network import CHANGES, LocalNetwork, NotLocalError
from sslmodels.layers.sequence_model import CHANNELS, SequenceModel
from sslmodels.scores.score_rows import score

#: Sequences at once: their substitutions take some hundred megabytes for the widest layers.
_ROWS = 64

#: Where a substitution changes a larger share of the layers, whole sequences are scored: as fast as
#: putting many short parts together, and simpler for the processor.
_LARGEST_SHARE = 0.25


def saturation(
    model: SequenceModel, codes: NDArray[np.uint8], *, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Score every substitution of base codes (n, L).

    Only what a substitution changes is computed again, for networks that begin with convolutions
    and poolings. Where that is most of the network, or for other layers, whole sequences are
    scored.

    Parameters
    ----------
    model
        A model that reads bases.
    codes
        (n, L), L the length of the model.
    progress
        Progress reporter, advanced by sequences.

    Returns
    -------
    numpy.ndarray
        Probabilities float32 (n, L, 4, outputs) with base A, C, G or T at a position. Where the
        sequence has that base, and where it has N, this is its own score.
    """
    network = _local(model)
    outputs = int(model.body.output_shape[1])
    found = np.empty((*codes.shape, CHANNELS, outputs), np.float32)
    with (progress or NoProgress()).task("saturation mutagenesis", total=len(codes)) as advance:
        for first in range(0, len(codes), _ROWS):
            rows = codes[first : first + _ROWS]
            changed = _substituted(model, network, rows)
            own = score(model, rows)
            part = found[first : first + len(rows)]
            part[:] = own[:, None, None]
            row, place = np.nonzero(rows < CHANNELS)
            for step in range(CHANGES):
                base = (rows[row, place] + step + 1) % CHANNELS
                part[row, place, base] = changed[row, place, step]
            advance(len(rows))
    return found


def _local(model: SequenceModel) -> LocalNetwork | None:
    """Return the network taken apart; None where that saves nothing or cannot be done."""
    try:
        network = LocalNetwork(model.body)
    except NotLocalError:
        return None
    return network if network.share <= _LARGEST_SHARE else None


def _substituted(
    model: SequenceModel, network: LocalNetwork | None, codes: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return the scores (n, L, 3, outputs) with base (code + k + 1) mod 4."""
    if network is None:
        return brute_force(model, codes)
    forward = network.substituted(codes)
    if not model.both_strands:
        return forward
    # On the other strand base b is 3 − b, so that (code + 1, 2, 3) become (code + 3, 2, 1).
    other = network.substituted(reverse_complement(codes))
    return (forward + other[:, ::-1, ::-1]) * np.float32(0.5)


def brute_force(model: SequenceModel, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the same by scoring every changed sequence in full."""
    places = np.arange(codes.shape[1])
    found = []
    for row in codes:
        changed = np.repeat(row[None], CHANGES * len(row), axis=0).reshape(len(row), CHANGES, -1)
        for step in range(CHANGES):
            new = np.where(row < CHANNELS, (row + step + 1) % CHANNELS, row)
            changed[places, step, places] = new
        found.append(score(model, changed.reshape(-1, len(row))).reshape(len(row), CHANGES, -1))
    return np.stack(found)
