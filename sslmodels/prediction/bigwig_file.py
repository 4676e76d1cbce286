"""bigWig files of scores along contigs; the only module that imports pyBigWig."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssldata.base.array_types import Int64Array
from ssldata.base.errors import ConfigError
from sslmodels.prediction.trained_model import Scores


class BigWigFile:
    """A bigWig being written; windows come contig by contig, by rising start.

    Windows overlap, and the values of a bigWig do not: a window gives its value to the central
    `stride` bases, or to all of its bases where it is shorter than that.

    Parameters
    ----------
    path
        The file.
    contigs, sizes
        Of the genome.
    length, stride
        Bases of a window, and from one to the next.

    Raises
    ------
    ConfigError
        pyBigWig is not installed.
    """

    def __init__(
        self,
        path: Path,
        contigs: Sequence[str],
        sizes: Sequence[int],
        *,
        length: int,
        stride: int,
    ) -> None:
        require_bigwig()
        import pyBigWig

        self._contigs = contigs
        self._span = min(length, stride)
        self._lead = (length - self._span) // 2
        self._stride = stride
        self._file: Any = pyBigWig.open(str(path), "w")
        self._file.addHeader([(name, int(size)) for name, size in zip(contigs, sizes, strict=True)])

    def write(self, contig: int, start: Int64Array, values: Scores) -> None:
        """Add consecutive windows of one contig."""
        self._file.addEntries(
            self._contigs[contig],
            int(start[0]) + self._lead,
            values=np.ascontiguousarray(values, np.float64),
            span=self._span,
            step=self._stride,
        )

    def close(self) -> None:
        """Write the index and the summaries."""
        self._file.close()


def require_bigwig() -> None:
    """Raise :class:`ConfigError` unless pyBigWig is installed."""
    try:
        import pyBigWig  # noqa: F401
    except ImportError as exc:
        raise ConfigError(
            "bigWig needs the package pyBigWig: pip install 'crosslabel[bigwig]', or write bed, "
            "tsv, parquet or zarr"
        ) from exc
