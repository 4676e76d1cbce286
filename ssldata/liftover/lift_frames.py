"""Liftover in bulk: pandas and pyranges frames, and large sets in chunks.

Chunks are independent, so any `mapper` may compute them: the builtin ``map``, the ``map`` of an
executor, or Dask::

    def mapper(function, parts):
        return client.gather(client.map(function, list(parts)))

The index travels to workers as the name of its cached file, which they map into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssldata.base.array_types import Int64Array
from ssldata.base.errors import ConfigError, InputError
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.lift import Kernel, check_intervals, lift
from ssldata.liftover.lift_result import Chains, LiftOptions, LiftResult, Status, empty_columns

if TYPE_CHECKING:
    import pandas as pd

#: Column names of pyranges, and of everything else in this package.
_SPELLINGS = {
    "contig": ("Chromosome", "contig", "chrom"),
    "start": ("Start", "start", "chromStart"),
    "end": ("End", "end", "chromEnd"),
    "strand": ("Strand", "strand"),
}

#: Some of the intervals: arguments of :func:`ssldata.liftover.lift.lift`.
Part = dict[str, Any]
Mapper = Callable[[Callable[[Part], LiftResult], Iterable[Part]], Iterable[LiftResult]]


def _lift_part(part: Part, **options: Any) -> LiftResult:
    return lift(**part, **options)


def concatenate(results: Sequence[LiftResult]) -> LiftResult:
    """Return one result with the rows of all, in order."""
    if not results:
        return LiftResult(
            **empty_columns(0), chains=Chains(np.zeros(0, np.int32), np.zeros(1, np.int64))
        )
    columns = {
        name: np.concatenate([result.columns()[name] for result in results])
        for name in results[0].columns()
    }
    ids = np.concatenate([result.chains.ids for result in results])
    counts = np.concatenate([np.diff(result.chains.offsets) for result in results])
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return LiftResult(**columns, chains=Chains(ids, offsets))


def lift_chunks(
    index: ChainIndex,
    contig: ArrayLike,
    start: ArrayLike,
    end: ArrayLike,
    strand: ArrayLike | None = None,
    *,
    options: LiftOptions | None = None,
    summit: ArrayLike | None = None,
    back: ChainIndex | None = None,
    kernel: Kernel = "auto",
    chunk_rows: int = 1_000_000,
    mapper: Mapper = map,
) -> LiftResult:
    """Lift intervals in chunks; the result is that of :func:`ssldata.liftover.lift.lift` on all.

    Parameters
    ----------
    index, contig, start, end, strand, options, summit, back, kernel
        As in :func:`ssldata.liftover.lift.lift`.
    chunk_rows
        Intervals per chunk.
    mapper
        Applies a function to chunks and returns the results in their order.

    Raises
    ------
    InputError, ConfigError
        As in :func:`ssldata.liftover.lift.lift`.
    """
    if chunk_rows < 1:
        raise ConfigError(f"liftover chunk_rows must be at least 1, found {chunk_rows}")
    code, begin, finish = check_intervals(index, contig, start, end)
    columns: Part = {"contig": code, "start": begin, "end": finish}
    for name, values in (("strand", strand), ("summit", summit)):
        if values is not None:
            columns[name] = np.asarray(values)

    def parts() -> Iterator[Part]:
        for low in range(0, len(code), chunk_rows):
            yield {name: values[low : low + chunk_rows] for name, values in columns.items()}

    work = partial(_lift_part, index=index, options=options, back=back, kernel=kernel)
    return concatenate(list(mapper(work, parts())))


def lift_frame(
    index: ChainIndex,
    frame: Any,
    *,
    options: LiftOptions | None = None,
    summit: str | None = None,
    back: ChainIndex | None = None,
    kernel: Kernel = "auto",
    chunk_rows: int = 1_000_000,
    mapper: Mapper = map,
) -> pd.DataFrame:
    """Lift a frame of intervals; return a frame with the same index, one row per interval.

    Parameters
    ----------
    frame
        A pandas frame with the columns of pyranges (Chromosome, Start, End, Strand) or of this
        package (contig, start, end, strand), or a PyRanges; the strand is optional.
    summit
        Name of a column of summit positions.
    index, options, back, kernel, chunk_rows, mapper
        As in :func:`lift_chunks`.

    Returns
    -------
    pandas.DataFrame
        ``status`` (lower-case name of a :class:`.Status`, categorical),
        ``contig`` (None unless mapped), ``start``, ``end``, ``strand`` (+, − or .), ``aligned``,
        ``pieces``, ``loci``, ``summit``, ``chains`` (numbers of chains in the index, one array
        per row).

    Raises
    ------
    InputError
        A column is missing, or positions are not integers.
    """
    import pandas as pd  # this module is also used where pandas is not wanted

    table = frame if isinstance(frame, pd.DataFrame) else frame.df
    names = {
        key: next((name for name in known if name in table.columns), None)
        for key, known in _SPELLINGS.items()
    }
    for key in ("contig", "start", "end"):
        if names[key] is None:
            raise InputError(
                f"liftover: the frame has no column {' or '.join(_SPELLINGS[key])}; it has "
                f"{', '.join(map(str, table.columns))}"
            )
    strand = None
    if names["strand"] is not None:
        strand = _signs(table[names["strand"]].to_numpy())
    contig = table[names["contig"]]
    if isinstance(contig.dtype, pd.CategoricalDtype):  # pyranges: look each name up once
        known = np.append(index.encode(contig.cat.categories.to_numpy()), np.int32(-1))
        codes = known[contig.cat.codes.to_numpy()]
    else:
        codes = index.encode(contig.to_numpy())
    result = lift_chunks(
        index,
        codes,
        table[names["start"]].to_numpy(),
        table[names["end"]].to_numpy(),
        strand,
        options=options,
        summit=None if summit is None else table[summit].to_numpy(),
        back=back,
        kernel=kernel,
        chunk_rows=chunk_rows,
        mapper=mapper,
    )
    columns = result.columns()
    contigs = np.array([*index.query_names, None], dtype=object)  # code −1 is the last one
    return pd.DataFrame(
        {
            **columns,
            "status": pd.Categorical.from_codes(
                columns["status"], pd.Index([status.name.lower() for status in Status])
            ),
            "contig": contigs[columns["contig"]],
            "strand": np.array([".", "+", "-"])[columns["strand"]],
            "chains": pd.Series(
                [result.chains.of(row) for row in range(len(result))],
                dtype=object,
                index=table.index,
            ),
        },
        index=table.index,
    )


def _signs(strand: NDArray[Any]) -> Int64Array:
    """Return ±1 for strands given as + and − or as numbers, 0 for anything else."""
    if strand.dtype.kind in "iu":
        return np.sign(strand).astype(np.int64)
    text = strand.astype(str)
    return np.where(text == "+", 1, np.where(text == "-", -1, 0)).astype(np.int64)
