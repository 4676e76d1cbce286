"""Genomes: contig names and sizes, and fast gathers of many windows.

A genome is a FASTA (plain, gzip or bgzip) or a 2bit file; which one is decided by its bytes, not
by its name. Coordinates are 0-based and half-open; sequences come as base codes
(:mod:`ssldata.genomes.onehot`).
"""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssldata.base.array_types import BoolArray, ByteArray, Int64Array
from ssldata.base.cache_folder import despite_deletion, remembered
from ssldata.base.errors import InputError, MissingInputError
from ssldata.base.text_file import is_packed, refuse_unreadable
from ssldata.genomes.fasta import FastaSource
from ssldata.genomes.gather_kernels import WindowArrays, codes_to_letters
from ssldata.genomes.genome_cache import cache_key, forget, unpack
from ssldata.genomes.memory_map import MappedFile
from ssldata.genomes.onehot import n_runs
from ssldata.genomes.twobit import BYTE_ORDER_OF_MAGIC, TwoBitSource

#: Version of the rule behind :attr:`Genome.digest`; part of remembered digests.
_DIGEST_VERSION = 1

#: Bases decoded at a time in a pass over a whole genome; they fit into a core's cache.
PASS_BASES = 2**20


class _Source(Protocol):
    """What a file format provides: contigs, and reads of them that check no bounds."""

    names: tuple[str, ...]
    sizes: Int64Array
    mapped: MappedFile

    def positions(self, windows: WindowArrays) -> Int64Array: ...

    def gather(self, windows: WindowArrays, rows: Int64Array, out: ByteArray) -> None: ...

    def soft_mask(self, contig: int, start: int, end: int) -> BoolArray: ...


def open_genome(
    path: Path | str, *, aliases: Mapping[str, str] | None = None, verify: bool = False
) -> Genome:
    """Open a FASTA or 2bit file, plain or packed (gzip, bgzip, bzip2, zip).

    The first time, a FASTA is indexed and a compressed one unpacked, both into the cache
    (``$CROSSLABEL_CACHE``); later, and in other processes, the file is only memory-mapped.

    Parameters
    ----------
    path
        The file; its format is recognised by its first bytes. Nothing is written beside it.
    aliases
        Other names of contigs, alias → name.
    verify
        Read the whole file, whatever the cache holds of it (``--verify-cache``).

    Returns
    -------
    Genome
        Contig ``names`` and ``sizes`` (int64, bases), and base codes (uint8, A C G T = 0 1 2 3,
        anything else 4) of intervals (0-based, half-open): ``codes(contig, start, end)``, and
        ``gather(contig, start, length, strand)`` for many at once. It pickles as its path.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        Empty, cut short, neither FASTA nor 2bit, repeated contig names, or an alias that names no
        contig or hides one.

    Notes
    -----
    The 2bit format is UCSC's: https://genome.ucsc.edu/FAQ/FAQformat.html#format7
    """
    genome = Genome(path, aliases=aliases)
    if verify and genome.path.is_file():
        forget(genome.path)
    _ = genome.names
    if verify:
        genome.sequence_digest(verify=True)
    return genome


class Genome:
    """An open genome; made by :func:`open_genome`.

    It pickles as path and aliases, and the file is mapped again on first use: cheap to send to and
    open in every worker.
    """

    def __init__(self, path: Path | str, *, aliases: Mapping[str, str] | None = None) -> None:
        self.path = Path(path).absolute()
        self.aliases = dict(aliases or {})
        self._n_runs: dict[int, tuple[Int64Array, Int64Array]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self.aliases)

    def __repr__(self) -> str:
        return f"Genome({str(self.path)!r})"

    @functools.cached_property
    def _source(self) -> _Source:
        source = despite_deletion(lambda: _open_source(self.path))
        if not source.names:
            raise InputError(f"{self.path}: no contigs in it; expected at least one sequence")
        for number, name in enumerate(source.names, start=1):
            if not name.isprintable():
                raise InputError(
                    f"{self.path}: the name of contig number {number}, {name[:40]!r}, has "
                    "characters that cannot be shown; is the file damaged?"
                )
        return source

    @functools.cached_property
    def _index_of(self) -> dict[str, int]:
        index_of = {name: i for i, name in enumerate(self._source.names)}
        if len(index_of) != len(self._source.names):
            (twice, _), *_ = Counter(self._source.names).most_common(1)
            raise InputError(
                f"{self.path}: contig {twice!r} occurs twice; names must be unique, rename or "
                "remove one"
            )
        known = dict(index_of)
        for alias, name in self.aliases.items():
            if name not in index_of:
                raise InputError(
                    f"{self.path}: alias {alias!r} stands for {name!r}, which is not a contig of "
                    f"this genome{self._suggestion(name)}"
                )
            if index_of.get(alias, index_of[name]) != index_of[name]:
                raise InputError(
                    f"{self.path}: alias {alias!r} for {name!r} is itself a contig of this genome; "
                    "remove the alias"
                )
            known[alias] = index_of[name]
        return known

    @property
    def names(self) -> tuple[str, ...]:
        """Contig names in the order of the file."""
        _ = self._index_of  # refuses repeated names first
        return self._source.names

    @property
    def sizes(self) -> Int64Array:
        """Contig sizes in bases, int64, in the order of :attr:`names`."""
        return self._source.sizes

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of names, sizes and upper-case sequences; the same for FASTA, gzip and 2bit.

        Contigs in the order of their names' UTF-8 bytes, each as name, NUL, size in decimal, NUL,
        sequence with everything but A, C, G, T as N. A full pass, remembered in the cache.
        """
        return self.sequence_digest()

    def sequence_digest(self, *, verify: bool = False) -> str:
        """Return :attr:`digest`, computed again with `verify` even if one is remembered."""
        what = f"sequence-{_DIGEST_VERSION}"
        return remembered(what, self.path, self._compute_digest, verify=verify)

    def _compute_digest(self) -> str:
        digest = hashlib.sha256()
        for i in sorted(range(len(self.names)), key=lambda i: self.names[i].encode()):
            size = int(self.sizes[i])
            digest.update(f"{self.names[i]}\0{size}\0".encode())
            for start in range(0, size, PASS_BASES):
                letters = self.codes(i, start, min(start + PASS_BASES, size))
                codes_to_letters(letters)
                digest.update(letters.data)
        return digest.hexdigest()

    def find(self, contig: str) -> int:
        """Return the index of a contig by name or alias, −1 when there is none."""
        return self._index_of.get(contig, -1)

    def index(self, contig: str) -> int:
        """Return the index of a contig by name or alias.

        Raises
        ------
        InputError
            No such contig; the message names similar ones.
        """
        found = self.find(contig)
        if found < 0:
            raise InputError(
                f"{self.path}: no contig {contig!r}{self._suggestion(contig)}; contigs that go by "
                "another name elsewhere are listed under 'aliases'"
            )
        return found

    def _suggestion(self, contig: str) -> str:
        names = self._source.names
        other = contig.removeprefix("chr") if contig.startswith("chr") else f"chr{contig}"
        close = [other] if other in names else difflib.get_close_matches(contig, names, n=3)
        if close:
            return f"; did you mean {' or '.join(close)}?"
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        return f"; its {len(names)} contigs are {shown}"

    def _interval(self, contig: str | int, start: int, end: int | None) -> tuple[int, int, int]:
        index = self.index(contig) if isinstance(contig, str) else int(contig)
        if not 0 <= index < len(self.names):
            raise InputError(
                f"{self.path}: contig index {index} is outside 0..{len(self.names) - 1}"
            )
        size = int(self.sizes[index])
        end = size if end is None else int(end)
        if not 0 <= start <= end <= size:
            raise InputError(
                f"{self.path}: {self.names[index]}:{start}-{end} is not inside the contig, which "
                f"has {size} b"
            )
        return index, int(start), end

    def codes(self, contig: str | int, start: int = 0, end: int | None = None) -> ByteArray:
        """Return the base codes of one interval, forward strand.

        Parameters
        ----------
        contig
            Name, alias or index.
        start, end
            0-based, half-open; the whole contig by default.

        Returns
        -------
        numpy.ndarray
            uint8, shape ``(end - start,)``.

        Raises
        ------
        InputError
            Unknown contig, or an interval that is not inside it.
        """
        index, start, end = self._interval(contig, start, end)
        out = np.empty(end - start, dtype=np.uint8)
        number, zero, forward = np.array([index]), np.zeros(1, np.int64), np.ones(1, np.int8)
        # Piece by piece: the mapped pages stay few on a whole chromosome.
        for a in range(start, end, PASS_BASES):
            size = min(PASS_BASES, end - a)
            piece = out[a - start : a - start + size]
            window = WindowArrays(number, np.array([a]), np.array([size]), forward, zero)
            self._source.gather(window, zero, piece)
            self._source.mapped.touched(size)
        return out

    def n_runs(self, contig: int) -> tuple[Int64Array, Int64Array]:
        """Return starts and ends of the maximal runs of N in a contig; remembered.

        int64, sorted; found a portion at a time.
        """
        if contig not in self._n_runs:
            size = int(self.sizes[contig])
            edges = [np.empty(0, np.int64)]
            for first in range(0, size, PASS_BASES):
                runs = n_runs(self.codes(contig, first, min(first + PASS_BASES, size)))
                edges.append(np.stack(runs, axis=1).ravel() + first)
            every, times = np.unique(np.concatenate(edges), return_counts=True)
            kept = every[times == 1]  # a run over the end of a portion ends and starts there
            self._n_runs[contig] = kept[::2], kept[1::2]
        return self._n_runs[contig]

    def soft_mask(self, contig: str | int, start: int = 0, end: int | None = None) -> BoolArray:
        """Return where the bases of one interval are soft-masked (lower case in the file).

        Parameters and errors are those of :meth:`codes`; the result is bool, ``(end - start,)``.
        """
        index, start, end = self._interval(contig, start, end)
        return self._source.soft_mask(index, start, end)

    def gather(
        self,
        contig: NDArray[np.integer] | Sequence[int],
        start: NDArray[np.integer] | Sequence[int],
        length: int,
        strand: NDArray[np.integer] | Sequence[int] | None = None,
    ) -> ByteArray:
        """Return the base codes of many windows of one length.

        Parameters
        ----------
        contig
            Index of each window's contig, shape ``(n,)``.
        start
            0-based start of each window on the forward strand, shape ``(n,)``.
        length
            Bases per window.
        strand
            +1 or −1 per window; −1 gives the reverse complement. All +1 by default.

        Returns
        -------
        numpy.ndarray
            uint8, shape ``(n, length)``. Fastest when sorted by contig and start.

        Raises
        ------
        InputError
            A window that is not inside its contig: callers drop and count those first.
        """
        if length < 0:
            raise ValueError(f"length must not be negative, found {length}")
        lengths = np.full(len(contig), length, dtype=np.int64)
        return self.gather_flat(contig, start, lengths, strand).reshape(len(contig), length)

    def gather_flat(
        self,
        contig: NDArray[np.integer] | Sequence[int],
        start: NDArray[np.integer] | Sequence[int],
        length: NDArray[np.integer] | Sequence[int],
        strand: NDArray[np.integer] | Sequence[int] | None = None,
    ) -> ByteArray:
        """Return the base codes of windows of any lengths, one after the other.

        Parameters
        ----------
        contig, start, strand
            As of :meth:`gather`; so are the errors.
        length
            Bases of each window.

        Returns
        -------
        uint8 (sum of lengths,)
        """
        contigs = _integers(contig, "contig")
        starts = _integers(start, "start")
        lengths = _integers(length, "length")
        strands = np.ones(contigs.size, dtype=np.int64)
        if strand is not None:
            strands = _integers(strand, "strand")
        if not contigs.shape == starts.shape == lengths.shape == strands.shape:
            raise ValueError(
                f"contig, start, length and strand differ in length: {contigs.size}, "
                f"{starts.size}, {lengths.size}, {strands.size}"
            )
        self._check_windows(contigs, starts, lengths, strands)
        out = np.empty(int(lengths.sum()), dtype=np.uint8)
        if out.size == 0:
            return out
        place = np.cumsum(lengths) - lengths
        windows = WindowArrays(contigs, starts, lengths, strands.astype(np.int8), place)
        for rows in self._source.mapped.blocks(self._source.positions(windows)):
            self._source.gather(windows, rows, out)
        return out

    def release(self) -> None:
        """Release the mapped pages of the file when it will not be used for some time."""
        if "_source" in vars(self):
            self._source.mapped.release()

    def _check_windows(
        self, contig: Int64Array, start: Int64Array, length: Int64Array, strand: Int64Array
    ) -> None:
        unknown = np.flatnonzero((contig < 0) | (contig >= len(self.names)))
        if unknown.size:
            row = int(unknown[0])
            raise InputError(
                f"{self.path}: window {row} has contig index {contig[row]}, outside "
                f"0..{len(self.names) - 1} ({unknown.size} such windows)"
            )
        outside = np.flatnonzero((start < 0) | (length < 0) | (start > self.sizes[contig] - length))
        if outside.size:
            row = int(outside[0])
            name, size = self.names[contig[row]], self.sizes[contig[row]]
            first, end = start[row], start[row] + length[row]
            raise InputError(
                f"{self.path}: window {row}, {name}:{first}-{end}, is not "
                f"inside the contig, which has {size} b ({outside.size} such windows); drop and "
                "count them first"
            )
        wrong = np.flatnonzero(np.abs(strand) != 1)
        if wrong.size:
            row = int(wrong[0])
            raise InputError(
                f"window {row} has strand {strand[row]}; expected +1 or -1 ({wrong.size} such "
                "windows)"
            )


def _integers(values: ArrayLike, what: str) -> Int64Array:
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(
            f"{what} must be a flat array of integers, found {array.dtype} of shape {array.shape}"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def _reopen(path: Path, aliases: dict[str, str]) -> Genome:
    return Genome(path, aliases=aliases)


def _open_source(path: Path) -> _Source:
    """Open a file in the format that its first bytes indicate."""
    label = str(path)
    if not path.exists():
        raise MissingInputError(f"{label}: no such file; expected a FASTA or 2bit file")
    if not path.is_file():
        raise InputError(f"{label}: is a folder or device; expected a FASTA or 2bit file")
    magic = _first_bytes(path, label)
    key = cache_key(path)
    if is_packed(magic):
        path = unpack(path, label, key)
        magic = _first_bytes(path, f"{label} (unpacked)")
        if is_packed(magic):
            raise InputError(f"{label}: is packed twice; unpack it once")
    refuse_unreadable(magic, where=label)
    if magic[:4] in BYTE_ORDER_OF_MAGIC:
        return TwoBitSource(path, label)
    return FastaSource(path, label, key)


def _first_bytes(path: Path, label: str) -> bytes:
    try:
        with path.open("rb") as handle:
            magic = handle.read(8)
    except FileNotFoundError:
        raise  # deleted a moment ago
    except OSError as exc:
        raise InputError(f"{label}: cannot be read ({exc.strerror})") from exc
    if not magic:
        raise InputError(f"{label}: is empty (0 bytes); expected a FASTA or 2bit file")
    return magic
