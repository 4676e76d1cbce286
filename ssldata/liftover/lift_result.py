"""Options and results of a liftover: one status and at most one locus per interval."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, Int8Array, Int32Array, Int64Array
from ssldata.base.errors import ConfigError


class Status(IntEnum):
    """Outcome for an interval."""

    MAPPED = 0  #: exactly one locus
    DELETED = 1  #: nothing aligned, or its contig is not in the chain file
    PARTIAL = 2  #: too little of it is aligned
    SPLIT = 3  #: ucsc: two or more chains, each with too little
    DUPLICATED = 4  #: ucsc: two or more chains, each with enough
    DISTANT = 5  #: two or more loci on one contig
    MULTI_CONTIG = 6  #: loci on two or more contigs
    INVALID = 7  #: the interval is empty or ends before it starts
    NOT_RECIPROCAL = 8  #: lifting back does not lead to the interval
    SUMMIT_LOST = 9  #: the base of the summit is not aligned inside the locus


class ChainRules(NamedTuple):
    """When a chain covers an interval enough in the ucsc modes: see :class:`LiftOptions`."""

    min_match: float  #: already rounded as the tool rounds it
    multiple: bool
    clipped: bool  #: `min_match` is measured inside the span of the chain (before v492)
    min_chain_t: int  #: this and the following for `multiple` only
    min_chain_q: int
    min_size_q: int


@dataclass(frozen=True, kw_only=True)
class LiftOptions:
    """How intervals are lifted.

    Attributes
    ----------
    mode
        ``blocks``, ``ucsc`` or ``ucsc-multiple``.
    gap
        Pieces less than this many bases apart on a query contig merge (not in ``ucsc``).
    min_aligned
        ``blocks``: smallest fraction of the interval that must be aligned.
    min_match
        ucsc modes: smallest fraction a chain must cover (``-minMatch``).
    compat
        ``ucsc-multiple``: which release of the tool to agree with. v492 (December 2025) measures
        ``min_match`` against the whole interval, v491 and before against the part of the
        interval inside the span of the chain.
    float32_min_match
        Compare with ``min_match`` rounded to 32 bits, as the command line tool does.
    min_chain_t, min_chain_q, min_size_q
        ``ucsc-multiple``: smallest target and query span of a chain, smallest region.
    reciprocal
        Lift every mapped locus back, and refuse it (NOT_RECIPROCAL) unless that maps and covers
        at least this fraction of the interval. None: do not check.
    """

    mode: Literal["blocks", "ucsc", "ucsc-multiple"] = "blocks"
    gap: int = 20
    min_aligned: float = 0.0
    min_match: float = 0.95
    compat: Literal["v491", "v492"] = "v492"
    float32_min_match: bool = True
    min_chain_t: int = 0
    min_chain_q: int = 0
    min_size_q: int = 0
    reciprocal: float | None = None

    def __post_init__(self) -> None:
        """Refuse options that have no meaning."""
        for name, known in (
            ("mode", ("blocks", "ucsc", "ucsc-multiple")),
            ("compat", ("v491", "v492")),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"liftover {name} must be one of {', '.join(known)}, "
                    f"found {getattr(self, name)!r}"
                )
        if not self.min_match > 0:
            raise ConfigError(
                f"liftover min_match must be above 0, found {self.min_match}: at 0 the UCSC tool "
                "counts a gap as mapped and then stops"
            )
        if self.reciprocal is not None and not 0 <= self.reciprocal <= 1:
            raise ConfigError(
                f"liftover reciprocal must be a fraction from 0 to 1, found {self.reciprocal}"
            )
        for name in ("gap", "min_aligned", "min_chain_t", "min_chain_q", "min_size_q"):
            if getattr(self, name) < 0:
                raise ConfigError(f"liftover {name} must not be negative")

    @property
    def chain_rules(self) -> ChainRules:
        """The rules of the ucsc modes; `min_match` rounded as the tool rounds it."""
        match = np.float32(self.min_match) if self.float32_min_match else self.min_match
        multiple = self.mode == "ucsc-multiple"
        return ChainRules(
            float(match), multiple, multiple and self.compat == "v491",
            self.min_chain_t, self.min_chain_q, self.min_size_q,
        )  # fmt: skip


def count_statuses(status: Int8Array) -> dict[str, int]:
    """Return the number of rows of each status that occurs, by lower-case name."""
    numbers = np.bincount(status, minlength=len(Status)).tolist()
    return {s.name.lower(): numbers[s] for s in Status if numbers[s]}


class Chains(NamedTuple):
    """The chains of each row, as one flat array.

    Those of row i are ``ids[offsets[i]:offsets[i + 1]]``: numbers of chains in the index.
    """

    ids: Int32Array
    offsets: Int64Array

    def of(self, row: int) -> Int32Array:
        """Return the chains of one row."""
        return self.ids[self.offsets[row] : self.offsets[row + 1]]


@dataclass(frozen=True, eq=False)
class LiftResult:
    """One row per input interval, in the order of the input.

    Attributes
    ----------
    status
        int8, a :class:`Status`.
    contig
        int32 code into the query names of the index; −1 unless mapped.
    start, end
        int64, the locus, on the forward strand; −1 unless mapped.
    strand
        int8, strand of the interval (+1 where none was given) turned by the strand of the
        majority of its aligned bases; a tie counts as +. 0 unless mapped.
    aligned
        int64, bases of the interval under `chains`, each counted once.
    pieces
        int32, ``blocks``: aligned blocks under the interval; ucsc modes: chains that cover enough.
    loci
        int32, what is left of the pieces after merging.
    summit
        int64, where the summit lies; −1 without one.
    chains
        Chains that gave the pieces (those that cover too little, when none covers enough).
    """

    status: Int8Array
    contig: Int32Array
    start: Int64Array
    end: Int64Array
    strand: Int8Array
    aligned: Int64Array
    pieces: Int32Array
    loci: Int32Array
    summit: Int64Array
    chains: Chains

    def __len__(self) -> int:
        return len(self.status)

    @property
    def mapped(self) -> BoolArray:
        """Rows with exactly one locus that passed every filter."""
        return np.asarray(self.status == Status.MAPPED)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each status that occurs, by lower-case name."""
        return count_statuses(self.status)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns with one value per row, by name (all but `chains`)."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "chains"}


@dataclass(frozen=True, eq=False)
class Pieces:
    """Every aligned block under every interval, clipped to it; sorted by interval, target start.

    ``interval`` int64 (row of the input), ``chain`` int32, ``target_start`` int64, ``length``
    int32, ``query_contig`` int32, ``query_start`` int64 (forward strand), ``strand`` int8 (±1).
    """

    interval: Int64Array
    chain: Int32Array
    target_start: Int64Array
    length: Int32Array
    query_contig: Int32Array
    query_start: Int64Array
    strand: Int8Array

    def __len__(self) -> int:
        return len(self.interval)


def empty_columns(rows: int) -> dict[str, NDArray[Any]]:
    """Return the columns of a result in which nothing is mapped yet."""
    return {
        "status": np.zeros(rows, np.int8),
        "contig": np.full(rows, -1, np.int32),
        "start": np.full(rows, -1, np.int64),
        "end": np.full(rows, -1, np.int64),
        "strand": np.zeros(rows, np.int8),
        "aligned": np.zeros(rows, np.int64),
        "pieces": np.zeros(rows, np.int32),
        "loci": np.zeros(rows, np.int32),
        "summit": np.full(rows, -1, np.int64),
    }
