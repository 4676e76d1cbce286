"""Chain files as sorted block arrays: the index that every liftover searches.

"Target" is the old genome, whose intervals are lifted; "query" is the new one (UCSC's words).
Coordinates are 0-based half-open. The parsed index is cached by the content of the chain file and
memory-mapped, so many workers share one copy.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import BoolArray, ByteArray, Int32Array, Int64Array
from ssldata.base.cache_folder import cache_dir, cached, file_digest
from ssldata.base.errors import InputError, MissingInputError
from ssldata.chains import chain_index_file, chain_text
from ssldata.chains.chain_text import ChainTable

#: Unpacked chain text beyond which loading the compiled parser pays.
_COMPILED_FROM_BYTES = 2_000_000
_PLUS = ord("+")
_MINUS = ord("-")


@dataclass(frozen=True, eq=False)
class ChainIndex:
    """Aligned blocks of every chain of a file, sorted by target position.

    Attributes
    ----------
    target_names, query_names
        Contig names; the integer codes used everywhere are positions in these.
    target_sizes, query_sizes
        int64, as the first chain that names the contig gives them.
    digest
        sha256 of the chain file's bytes (of the arrays, for an index made in memory).
    offsets
        int64 (targets + 1): the blocks of target contig i are offsets[i]:offsets[i + 1].
    block_start, block_end
        int32, target span of each block, ascending starts within a contig.
    block_reach
        int32, running maximum of `block_end` within a contig: one binary search finds the first
        block that can overlap an interval even where chains overlap.
    block_query
        int32, query start on the strand of the chain.
    block_chain
        int32, number of the chain. Chains are numbered along the target: by contig, then in the
        order in which the UCSC tool lists them (target start, the finer bin of its index first,
        later in the file first). Neighbours in the genome are so neighbours in memory.
    chain_target, chain_target_size, chain_start, chain_end, chain_query, chain_query_size,
    chain_query_start, chain_query_end
        int32 per chain: contig codes, sizes and spans as the chain gives them. Query positions are
        on the strand of the chain.
    chain_strand
        uint8 per chain: the character of the query strand.
    chain_position
        int32 per chain: its position in the file, 0-based.
    chain_line
        int32 per chain: the line of its header in the file, from 1.
    chain_id
        int64 per chain: the id in the file, −1 without one. Ids need not be unique.
    source
        The cached index file this one is mapped from, if any.
    """

    target_names: tuple[str, ...]
    query_names: tuple[str, ...]
    target_sizes: Int64Array
    query_sizes: Int64Array
    digest: str
    offsets: Int64Array
    block_start: Int32Array
    block_end: Int32Array
    block_reach: Int32Array
    block_query: Int32Array
    block_chain: Int32Array
    chain_target: Int32Array
    chain_target_size: Int32Array
    chain_start: Int32Array
    chain_end: Int32Array
    chain_query: Int32Array
    chain_query_size: Int32Array
    chain_query_start: Int32Array
    chain_query_end: Int32Array
    chain_strand: ByteArray
    chain_position: Int32Array
    chain_line: Int32Array
    chain_id: Int64Array
    source: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Make the arrays read-only: workers share them, and compiled code exists once."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def chains(self) -> int:
        """Number of chains."""
        return len(self.chain_id)

    @property
    def blocks(self) -> int:
        """Number of aligned blocks."""
        return len(self.block_start)

    @cached_property
    def target_codes(self) -> dict[str, int]:
        """Code of each target contig name."""
        return {name: code for code, name in enumerate(self.target_names)}

    @cached_property
    def mirrored(self) -> BoolArray:
        """Chains whose query positions count from the end of the contig (not on '+')."""
        return read_only(self.chain_strand != _PLUS)

    @cached_property
    def flipped(self) -> BoolArray:
        """Chains whose query strand is exactly '-': the ones that flip a BED strand."""
        return read_only(self.chain_strand == _MINUS)

    def encode(self, contig: Any) -> Int32Array:
        """Return target contig codes: integers as they are, names looked up, −1 where unknown.

        Names match exactly, as in UCSC: ``1`` is not ``chr1``.

        Parameters
        ----------
        contig
            Array of names (any string type, objects, a pandas column) or of integer codes.
        """
        if isinstance(contig, list) and contig and isinstance(contig[0], str):
            return self._look_up(contig)  # no detour by an array of text
        values = np.asarray(contig)
        if values.dtype.kind in "iu":
            codes = values.astype(np.int64, copy=False)
            known = (codes >= 0) & (codes < len(self.target_names))
            return np.where(known, codes, -1).astype(np.int32)
        return self._look_up(values.tolist())

    def _look_up(self, names: list[Any]) -> Int32Array:
        look_up = _Codes(self.target_codes)
        return np.fromiter(map(look_up.__getitem__, names), dtype=np.int32, count=len(names))

    def forward(
        self, chain: Int32Array, start: NDArray[Any], end: NDArray[Any]
    ) -> tuple[Int64Array, Int64Array]:
        """Return query ranges, given on the strands of their chains, on the forward strand."""
        size = self.chain_query_size[chain].astype(np.int64)
        turned = self.mirrored[chain]
        return np.where(turned, size - end, start), np.where(turned, size - start, end)

    def only(self, chosen: BoolArray) -> ChainIndex:
        """Return the index of some of the chains, as of a file without the others.

        Names, codes, file positions and the digest stay as they are.

        Parameters
        ----------
        chosen
            bool per chain.
        """
        block = chosen[self.block_chain]
        offsets = np.concatenate(([0], np.cumsum(block)))[self.offsets]
        number = np.cumsum(chosen, dtype=np.int32) - np.int32(1)
        parts: dict[str, Any] = {
            item.name: getattr(self, item.name)[block if item.name.startswith("block") else chosen]
            for item in fields(self)
            if item.name.startswith(("block", "chain"))
        }
        parts["block_chain"] = number[parts["block_chain"]]
        parts["block_reach"] = _running_maximum(parts["block_end"], offsets)
        return replace(self, offsets=offsets, source=None, **parts)

    def inverted(self) -> ChainIndex:
        """Return the index of the same alignments in the other direction (query to target)."""
        return self._inverse

    @cached_property
    def _inverse(self) -> ChainIndex:
        return build_index(invert_table(self), digest=f"inverted:{self.digest}")

    def __reduce__(self) -> tuple[Callable[..., ChainIndex], tuple[Any, ...]]:
        """Pickle a cached index as its file name: a worker on this machine maps the same pages."""
        arrays, meta = _split(self)
        if self.source is None:
            return _join, (arrays, meta, None)
        return _reopen, (str(self.source), self.digest)


class _Codes(dict[Any, int]):
    """Codes by name; each spelling is decoded only once."""

    def __missing__(self, name: Any) -> int:
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
        code = self[name] = self.get(text, -1)
        return code


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written.

    Numba compiles a function once for writable and once for read-only arrays; arrays that are
    only read are always passed like this.
    """
    view = array.view()
    view.setflags(write=False)
    return view


def _split(index: ChainIndex) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays of an index and the rest of it."""
    arrays: dict[str, NDArray[Any]] = {}
    meta: dict[str, Any] = {}
    for item in fields(index):
        value = getattr(index, item.name)
        if isinstance(value, np.ndarray):
            arrays[item.name] = value
        elif item.name != "source":
            meta[item.name] = value
    return arrays, meta


def _join(arrays: dict[str, NDArray[Any]], meta: dict[str, Any], source: Path | None) -> ChainIndex:
    """Undo :func:`_split`; missing or unknown parts raise TypeError."""
    names = {key: tuple(meta[key]) for key in ("target_names", "query_names")}
    parts: dict[str, Any] = {**arrays, **meta, **names, "source": source}
    return ChainIndex(**parts)


def _reopen(path: str, digest: str) -> ChainIndex:
    """Map a cached index in another process."""
    index = _from_cache(Path(path), digest)
    if index is None:
        raise MissingInputError(
            f"{path}: this cached chain index is gone or damaged; call load_chain in the worker, "
            "or share the cache folder (CROSSLABEL_CACHE) between machines"
        )
    return index


def _from_cache(path: Path, digest: str) -> ChainIndex | None:
    """Return a cached index, or None if it is missing or cannot be trusted."""
    try:
        arrays, meta = chain_index_file.open_index(path)
        index = _join(arrays, meta, path)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return index if index.digest == digest else None


def load_chain(
    path: str | Path, *, cache: bool = True, verify: bool = False, mixed: bool = False
) -> ChainIndex:
    """Return the index of a chain file (plain, gzip, bgzip, bzip2 or zip), cached.

    Parameters
    ----------
    path
        The chain file, from the genome of the intervals (the target, in UCSC's words) to the
        other one (the query); recognised by content, not by name. Pipes, and ``stdin`` or ``-``
        for standard input, are read once, uncached.
    cache
        Use and fill the cache folder (``$CROSSLABEL_CACHE``). The entry is keyed by the content
        of the file and by the format of the index; a damaged entry is rebuilt.
    verify
        Read the whole file even if its digest is remembered.
    mixed
        Accept a chain that ends beyond the size that an earlier one gave its target contig; for
        callers that compare every size with that of a genome.

    Returns
    -------
    ChainIndex
        Aligned blocks, 0-based half-open, sorted by target position; read-only arrays mapped
        from the cache, so that all processes of a machine share them. Pass it to
        :func:`ssldata.liftover.lift.lift`.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        Not a chain file, or damaged; the message names the line.

    Notes
    -----
    The format is UCSC's (https://genome.ucsc.edu/goldenPath/help/chain.html), read as their
    liftOver tool reads it.
    """
    index = _load(Path(path), cache=cache, verify=verify)
    beyond = index.chain_end > index.target_sizes[index.chain_target]
    if beyond.any() and not mixed:
        first = np.flatnonzero(beyond)[np.argmin(index.chain_position[beyond])]
        target = index.chain_target[first]
        raise InputError(
            f"{path}, line {index.chain_line[first]}: the target end {index.chain_end[first]} is "
            f"beyond the size of {index.target_names[target]!r}, which an earlier chain gave as "
            f"{index.target_sizes[target]}: the file mixes assemblies"
        )
    return index


def _load(path: Path, *, cache: bool, verify: bool) -> ChainIndex:
    if not path.is_file():
        return build_index(parse(chain_text.read_chain(path), where=str(path)), digest="")
    digest = file_digest(path, verify=verify)
    if not cache:
        return build_index(parse(chain_text.read_chain(path), where=str(path)), digest=digest)
    name = f"{digest}-{chain_index_file.FORMAT_VERSION}.index"
    found = cached("chains", name)
    index = None if found is None else _from_cache(found, digest)
    if index is None:
        made = build_index(parse(chain_text.read_chain(path), where=str(path)), digest=digest)
        entry = cache_dir("chains") / name
        with contextlib.suppress(OSError):  # it need not be kept
            chain_index_file.write_index(entry, *_split(made))
        index = _from_cache(entry, digest) or made
    return index


def parse(data: bytes, *, where: str) -> ChainTable:
    """Parse the text of a chain file; the compiled parser where it pays, else the strict one."""
    if len(data) >= _COMPILED_FROM_BYTES or "numba" in sys.modules:
        from ssldata.chains import chain_text_kernels  # costs a third of a second

        table = chain_text_kernels.parse_chain(data, where=where)
        if table is not None:
            return table
    return chain_text.parse_chain(data, where=where)


def build_index(table: ChainTable, *, digest: str) -> ChainIndex:
    """Sort the blocks of a parsed chain file by target position.

    Blocks with the same target start keep the order of the file, so that equal files give equal
    arrays.
    """
    head = table.header
    chains = len(head)
    targets = len(table.target_names)
    bounds = np.append(head[:, chain_text.FIRST_BLOCK], len(table.blocks))
    place = _tool_order(head)
    number = np.empty(chains, np.int32)
    number[place] = np.arange(chains, dtype=np.int32)
    chain = np.repeat(number, np.diff(bounds))
    head = head[place]
    target = head[chain, chain_text.TARGET]
    start = table.blocks[:, 0]
    # One 64-bit key sorts by contig, then start; stable, so ties keep the order of the file.
    order = np.argsort((target << 32) | start, kind="stable")
    offsets = np.zeros(targets + 1, np.int64)
    np.cumsum(np.bincount(target, minlength=targets), out=offsets[1:])
    block_start = np.ascontiguousarray(start[order])
    block_end = block_start + table.blocks[order, 2]
    block_chain = chain[order]
    column: dict[str, Any] = {
        name: np.ascontiguousarray(head[:, which].astype(np.int32))
        for name, which in (
            ("chain_target", chain_text.TARGET),
            ("chain_target_size", chain_text.TARGET_SIZE),
            ("chain_start", chain_text.TARGET_START),
            ("chain_end", chain_text.TARGET_END),
            ("chain_query", chain_text.QUERY),
            ("chain_query_size", chain_text.QUERY_SIZE),
            ("chain_query_start", chain_text.QUERY_START),
            ("chain_query_end", chain_text.QUERY_END),
            ("chain_line", chain_text.LINE),
        )
    }
    return ChainIndex(
        target_names=table.target_names,
        query_names=table.query_names,
        target_sizes=_first(table.header, chain_text.TARGET, chain_text.TARGET_SIZE, targets),
        query_sizes=_first(
            table.header, chain_text.QUERY, chain_text.QUERY_SIZE, len(table.query_names)
        ),
        digest=digest,
        offsets=offsets,
        block_start=block_start,
        block_end=block_end,
        block_reach=_running_maximum(block_end, offsets),
        block_query=np.ascontiguousarray(table.blocks[order, 1]),
        block_chain=block_chain,
        chain_strand=head[:, chain_text.QUERY_STRAND].astype(np.uint8),
        chain_position=place.astype(np.int32),
        chain_id=np.ascontiguousarray(head[:, chain_text.IDENTIFIER]),
        **column,
    )


def _first(head: Int64Array, name: int, value: int, count: int) -> Int64Array:
    """Return, per name, the value that its first chain in the file gives."""
    out = np.zeros(count, np.int64)
    out[head[::-1, name]] = head[::-1, value]  # the last assignment wins
    return out


def _running_maximum(ends: Int32Array, offsets: Int64Array) -> Int32Array:
    """Return the running maximum of block ends within each contig."""
    out = np.empty_like(ends)
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        np.maximum.accumulate(ends[begin:end], out=out[begin:end])
    return out


def _tool_order(head: Int64Array) -> Int64Array:
    """Return the positions of the chains in the order of the UCSC tool, contig by contig.

    The tool walks its bins from the finest (128 kb) to the coarsest and prepends, then sorts
    stably by target start: so ties go finest bin first, then later in the file first.
    """
    start = head[:, chain_text.TARGET_START]
    last = head[:, chain_text.TARGET_END] - 1
    level = np.full(len(head), 5, np.int64)
    for depth, bits in reversed(list(enumerate((17, 20, 23, 26, 29)))):
        level[(start >> bits) == (last >> bits)] = depth
    place = np.arange(len(head), dtype=np.int64)
    return np.lexsort((-place, level, start, head[:, chain_text.TARGET]))


def invert_table(index: ChainIndex) -> ChainTable:
    """Return the chains of `index` with target and query exchanged, as a parsed file.

    A chain on the minus strand is reversed, because a target is always given forwards: its blocks
    come in reverse order and count from the other end.
    """
    turned = index.mirrored
    tsize = index.target_sizes[index.chain_target]
    qsize = index.chain_query_size.astype(np.int64)
    head = np.empty((index.chains, chain_text.HEADER_COLUMNS), np.int64)
    every = np.arange(index.chains, dtype=np.int32)
    new_start, new_end = index.forward(every, index.chain_query_start, index.chain_query_end)
    # On the strand of the chain, which is now that of the old target.
    old_start = np.where(turned, tsize - index.chain_end, index.chain_start)
    old_end = np.where(turned, tsize - index.chain_start, index.chain_end)
    for number, values in (
        (chain_text.TARGET, index.chain_query),
        (chain_text.TARGET_SIZE, qsize),
        (chain_text.TARGET_START, new_start),
        (chain_text.TARGET_END, new_end),
        (chain_text.QUERY, index.chain_target),
        (chain_text.QUERY_SIZE, tsize),
        (chain_text.QUERY_STRAND, index.chain_strand),
        (chain_text.QUERY_START, old_start),
        (chain_text.QUERY_END, old_end),
        (chain_text.IDENTIFIER, index.chain_id),
        (chain_text.LINE, index.chain_line),
    ):
        head[:, number] = values
    head = head[np.argsort(index.chain_position)]
    chain = index.chain_position[index.block_chain]
    size = index.block_end.astype(np.int64) - index.block_start
    query = index.block_query.astype(np.int64)
    which = index.block_chain
    new_target, _ = index.forward(which, query, query + size)
    new_query = np.where(turned[which], tsize[which] - index.block_end, index.block_start)
    order = np.lexsort((new_target, chain))
    counts = np.bincount(chain, minlength=index.chains)
    head[:, chain_text.FIRST_BLOCK] = np.concatenate(([0], np.cumsum(counts)[:-1]))[: index.chains]
    blocks = np.stack([new_target, new_query, size], axis=1)[order].astype(np.int32)
    return ChainTable(index.query_names, index.target_names, head, blocks)
