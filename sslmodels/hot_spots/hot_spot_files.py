"""Files of hot spots: BED, a table, and arrays; the table of motifs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssldata.base.files import atomic_path, write_text_atomic
from ssldata.genomes.onehot import decode
from sslmodels.hot_spots.hot_spot_windows import HotSpots, attributions_of, windows_of
from sslmodels.hot_spots.sequence_choice import ChosenSequences

#: Columns of ``motifs.tsv``, in order.
MOTIF_COLUMNS = [
    *("rank", "name", "label", "consensus", "width", "largest_log_odds", "threshold"),
    *("hits_1", "count_1", "share_1", "hits_0", "count_0", "share_0"),
    *("difference", "low", "high", "z", "test", "p", "bonferroni", "bh"),
]


def write_hot_spots(
    folder: Path,
    sequences: ChosenSequences,
    spots: HotSpots,
    attributions: NDArray[np.float32],
    *,
    hits: NDArray[np.bool_],
    motifs: Sequence[str],
) -> None:
    """Write ``hot_spots.bed``, ``hot_spots.tsv`` and ``hot_spots.npz``.

    Parameters
    ----------
    folder
        Where.
    sequences, spots
        The sequences, and the hot spots found in them.
    attributions
        Of the sequences (n, L, 4).
    hits, motifs
        Which hot spots have a site of which motif (spots, motifs), and the names of the motifs.
    """
    table = _table(sequences, spots)
    write_text_atomic(folder / "hot_spots.tsv", _tsv(table))
    bed = table[["contig", "start", "end", "name", "score", "strand"]].assign(
        score=(1000 * table["probability"]).round().astype(np.int64)
    )
    bed = bed.sort_values(["contig", "start", "end"], kind="stable")
    lines = bed.to_csv(sep="\t", index=False, header=False, lineterminator="\n")
    write_text_atomic(folder / "hot_spots.bed", lines)
    arrays: Mapping[str, NDArray[Any]] = {
        "codes": windows_of(sequences.codes, spots),
        "attributions": attributions_of(attributions, spots),
        "length": spots.stop - spots.start,
        "sequence": spots.sequence,
        "label": sequences.labels[spots.sequence].astype(np.uint8),
        "hits": hits,
        "motifs": np.array(list(motifs), np.str_),
    }
    with atomic_path(folder / "hot_spots.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_motif_table(path: Path, motifs: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of tested motifs."""
    write_text_atomic(path, _tsv(pd.DataFrame(list(motifs), columns=MOTIF_COLUMNS)))


def _table(sequences: ChosenSequences, spots: HotSpots) -> pd.DataFrame:
    start, end = sequences.places(spots.sequence, spots.start, spots.stop)
    peak, _ = sequences.places(spots.sequence, spots.peak, spots.peak + 1)
    label = sequences.labels[spots.sequence]
    p = sequences.probabilities[spots.sequence].astype(np.float64)
    codes = windows_of(sequences.codes, spots)
    lengths = spots.stop - spots.start
    return pd.DataFrame(
        {
            "contig": sequences.contigs[spots.sequence],
            "start": start,
            "end": end,
            "name": [
                f"class_{int(one)}_sequence_{number}"
                for one, number in zip(label, spots.sequence, strict=True)
            ],
            "score": spots.height.astype(np.float64),
            "strand": np.where(sequences.strands[spots.sequence] > 0, "+", "-"),
            "class": label.astype(np.int64),
            "probability": np.where(label, p, 1 - p),
            "peak": peak,
            "bases": [decode(row[:n]) for row, n in zip(codes, lengths, strict=True)],
        }
    )


def _tsv(table: pd.DataFrame) -> str:
    return str(table.to_csv(sep="\t", index=False, float_format="%.6g", lineterminator="\n"))
