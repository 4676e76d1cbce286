"""What must hold for any chain and any interval, and a slow oracle written from the rules."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ssldata.chains.chain_index import ChainIndex, build_index
from ssldata.chains.chain_text import parse_chain
from ssldata.liftover.lift import lift, pieces
from ssldata.liftover.lift_result import LiftOptions, Status
from ssldata.liftover.ucsc_mode import find_regions

SIZE = 600  # of every contig


@dataclass(frozen=True)
class Chain:
    """A chain: where it starts, and its blocks as (size, target gap, query gap)."""

    target: str
    query: str
    strand: str
    tstart: int
    qstart: int
    blocks: tuple[tuple[int, int, int], ...]

    @property
    def spans(self) -> tuple[int, int]:
        sizes = sum(size for size, _, _ in self.blocks)
        gaps = [sum(block[side] for block in self.blocks[:-1]) for side in (1, 2)]
        return sizes + gaps[0], sizes + gaps[1]

    def text(self, number: int) -> str:
        tspan, qspan = self.spans
        lines = [
            (
                f"chain 1 {self.target} {SIZE} + {self.tstart} {self.tstart + tspan} {self.query} "
                f"{SIZE} {self.strand} {self.qstart} {self.qstart + qspan} {number}"
            )
        ]
        lines += [f"{size} {t} {q}" for size, t, q in self.blocks[:-1]]
        return "\n".join([*lines, str(self.blocks[-1][0])]) + "\n"

    def aligned(self) -> list[tuple[int, int, int]]:
        """Blocks as (target start, target end, query start on the strand of the chain)."""
        t, q = self.tstart, self.qstart
        out = []
        for size, tgap, qgap in self.blocks:
            out.append((t, t + size, q))
            t, q = t + size + tgap, q + size + qgap
        return out


def make(chains: list[Chain]) -> ChainIndex:
    text = "\n".join(chain.text(number) for number, chain in enumerate(chains))
    return build_index(parse_chain(text.encode(), where="c"), digest=text)


gaps = st.integers(0, 30)
blocks = st.lists(st.tuples(st.integers(1, 40), gaps, gaps), min_size=1, max_size=5)


@st.composite
def chain(draw, *, empty_blocks: bool = False) -> Chain:
    parts = tuple(draw(blocks))
    if empty_blocks and len(parts) > 1 and draw(st.booleans()):
        at = draw(st.integers(1, len(parts) - 1))
        parts = (*parts[:at], (0, *parts[at][1:]), *parts[at + 1 :])
    new = Chain(
        target=draw(st.sampled_from(["tA", "tB"])),
        query=draw(st.sampled_from(["qA", "qB"])),
        strand=draw(st.sampled_from("+-")),
        tstart=0, qstart=0, blocks=parts,
    )  # fmt: skip
    tspan, qspan = new.spans
    return replace(
        new,
        tstart=draw(st.integers(0, SIZE - tspan)),
        qstart=draw(st.integers(0, SIZE - qspan)),
    )


@st.composite
def world(draw) -> tuple[list[Chain], list[tuple[str, int, int]]]:
    """Draw chains and intervals (contig, start, length), many of which end where blocks end."""
    chains = draw(st.lists(chain(empty_blocks=True), min_size=0, max_size=8))
    edges = sorted({at for c in chains for block in c.aligned() for at in block[:2]})
    free = st.integers(-20, SIZE)
    place = free
    if edges:
        near = st.builds(int.__add__, st.sampled_from(edges), st.sampled_from([0, 0, -1, 1]))
        place = st.one_of(near, near, free)
    rows = []
    for _ in range(draw(st.integers(1, 10))):
        start, end = draw(place), draw(place)
        if start > end and draw(st.integers(0, 9)):
            start, end = end, start
        rows.append((draw(st.sampled_from(["tA", "tA", "tB", "tB", "tC"])), start, end - start))
    return chains, rows


option = st.builds(
    LiftOptions,
    mode=st.sampled_from(["blocks", "ucsc", "ucsc-multiple"]),
    gap=st.sampled_from([0, 1, 20, 1000]),
    min_aligned=st.sampled_from([0.0, 0.5]),
    min_match=st.sampled_from([0.01, 0.1, 0.5, 0.95, 1.0, 1.5]),
    compat=st.sampled_from(["v491", "v492"]),
    min_chain_t=st.sampled_from([0, 60]),
    min_chain_q=st.sampled_from([0, 60]),
    min_size_q=st.sampled_from([0, 20]),
)


def split(rows: list[tuple[str, int, int]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    start = np.array([row[1] for row in rows], dtype=np.int64)
    return [row[0] for row in rows], start, start + np.array([row[2] for row in rows])


def oracle_regions(
    chains: list[Chain], name: str, s: int, e: int, o: LiftOptions
) -> tuple[str, list[tuple[int, str, int, int]]]:
    """Follow the rules of the tool for one interval: status, (chain, contig, start, end)."""
    mm = float(np.float32(o.min_match))
    expanded = s == e
    e += expanded
    hits, partial = [], 0
    for number, c in enumerate(chains):
        tspan, qspan = c.spans
        tend = c.tstart + tspan
        if c.target != name or c.tstart >= e or tend <= s:
            continue
        length = e - s
        if o.mode == "ucsc-multiple":
            if qspan < o.min_chain_q or tspan < o.min_chain_t:
                continue
            if o.compat == "v491":
                length = min(e, tend) - max(s, c.tstart)
        cover = sum(max(0, min(f, e) - max(b, s)) for b, f, _ in c.aligned())
        if cover > 0 and cover >= mm * length:
            hits.append(number)
        elif cover > 0:
            partial += 1
    if not hits:
        return ("DELETED", "PARTIAL", "SPLIT")[min(partial, 2)], []
    if len(hits) > 1 and o.mode == "ucsc":
        return "DUPLICATED", []
    found = []
    for number in hits:
        c = chains[number]
        tspan, qspan = c.spans
        # Clip each block; one of size 0 strictly inside counts too.
        clipped = [
            (q + max(b, s) - b, q + min(f, e) - b)
            for b, f, q in c.aligned()
            if min(f, e) > max(b, s) or (b == f and s < b < e)
        ]
        low, high = min(a for a, _ in clipped), max(z for _, z in clipped)
        if s <= c.tstart and e >= c.tstart + tspan:
            low, high = c.qstart, c.qstart + qspan
        if c.strand == "-":
            low, high = SIZE - high, SIZE - low
        high = low if expanded else high
        if o.mode == "ucsc-multiple" and high - low < o.min_size_q:
            continue
        # Everything here lies in the finest bin: later in the file first.
        found.append((c.tstart, -number, c.query, low, high))
    return (
        "MAPPED" if found else "DELETED",
        [(-n, query, low, high) for _, n, query, low, high in sorted(found)],
    )


@settings(max_examples=120, deadline=None)
@given(world(), option)
def test_regions_are_those_of_the_oracle(case, options) -> None:
    chains, rows = case
    options = replace(options, mode="ucsc" if options.mode == "blocks" else options.mode)
    index = make(chains)
    names, start, end = split([(n, s, max(0, size)) for n, s, size in rows])
    for compiled in (False, True):
        found = find_regions(
            index, index.encode(names), start, end, options=options, compiled=compiled
        )
        for row, name in enumerate(names):
            status, regions = oracle_regions(chains, name, int(start[row]), int(end[row]), options)
            assert Status(found.status[row]).name == status
            if status == "MAPPED":
                at = slice(found.offsets[row], found.offsets[row + 1])
                chain_numbers = index.chain_position[found.chain[at]].tolist()
                contigs = [index.query_names[index.chain_query[c]] for c in found.chain[at]]
                assert (
                    list(zip(chain_numbers, contigs, found.start[at].tolist(),
                             found.end[at].tolist(), strict=True))
                    == regions
                )  # fmt: skip


def oracle_blocks(
    chains: list[Chain], name: str, s: int, e: int, o: LiftOptions
) -> tuple[str, tuple[str, int, int, int] | None, int]:
    """Follow the rules of ``blocks`` mode base by base: status, locus, aligned bases."""
    if e <= s:
        return "INVALID", None, 0
    bases = set()
    new = defaultdict(set)
    balance = 0
    for c in chains:
        for b, f, q in c.aligned() if c.target == name else []:
            for at in range(max(b, s), min(f, e)):
                bases.add(at)
                place = q + at - b
                new[c.query].add(SIZE - 1 - place if c.strand == "-" else place)
                balance += 1 if c.strand == "+" else -1
    loci = []
    for query, places in new.items():
        for place in sorted(places):
            # Bases side by side touch: a gap of 0 between them.
            if loci and loci[-1][0] == query and place - loci[-1][2] < max(o.gap, 1):
                loci[-1][2] = place + 1
            else:
                loci.append([query, place, place + 1])
    if not loci:
        return "DELETED", None, 0
    if len(loci) > 1:
        return ("MULTI_CONTIG" if len(new) > 1 else "DISTANT"), None, len(bases)
    if len(bases) < o.min_aligned * (e - s):
        return "PARTIAL", None, len(bases)
    return "MAPPED", (*loci[0], 1 if balance >= 0 else -1), len(bases)


@settings(max_examples=80, deadline=None)
@given(world(), option)
def test_blocks_are_those_of_the_oracle(case, options) -> None:
    chains, rows = case
    # At gap 0, pieces that touch stay apart, which single bases cannot tell.
    options = replace(options, mode="blocks", gap=max(options.gap, 1))
    index = make(chains)
    names, start, end = split(rows)
    for kernel in ("numpy", "numba"):
        found = lift(index, names, start, end, options=options, kernel=kernel)
        for row, name in enumerate(names):
            status, locus, aligned = oracle_blocks(
                chains, name, int(start[row]), int(end[row]), options
            )
            assert Status(found.status[row]).name == status
            assert found.aligned[row] == aligned
            if locus is not None:
                assert locus == (
                    index.query_names[found.contig[row]],
                    found.start[row], found.end[row], found.strand[row],
                )  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(world(), option, st.booleans(), st.booleans())
def test_compiled_is_numpy(case, options, back, peaks) -> None:
    chains, rows = case
    index = make(chains)
    names, start, end = split(rows)
    options = replace(options, reciprocal=0.3 if back else None)
    summit = start + 3 if peaks else None
    one, other = (
        lift(index, names, start, end, options=options, summit=summit, kernel=kernel)
        for kernel in ("numpy", "numba")
    )
    for name, column in one.columns().items():
        assert column.dtype == other.columns()[name].dtype
        assert column.tolist() == other.columns()[name].tolist(), name
    assert one.chains.ids.tolist() == other.chains.ids.tolist()
    assert one.chains.offsets.tolist() == other.chains.offsets.tolist()
    found = [pieces(index, names, start, end, kernel=kernel) for kernel in ("numpy", "numba")]
    for name, column in vars(found[0]).items():
        assert column.tolist() == vars(found[1])[name].tolist()


@settings(max_examples=50, deadline=None)
@given(world(), option)
def test_the_identity_chain_changes_nothing(case, options) -> None:
    _, rows = case
    index = make([Chain(t, t, "+", 0, 0, ((SIZE, 0, 0),)) for t in ("tA", "tB")])
    options = replace(options, min_match=0.001, min_aligned=0.0, gap=1)
    names, start, end = split(rows)
    found = lift(index, names, start, end, options=options)
    low, high = np.maximum(start, 0), np.minimum(end, SIZE)
    for row, name in enumerate(names):
        if end[row] <= start[row]:
            expected = "INVALID"
        elif name == "tC" or low[row] >= high[row]:  # noqa: SIM114 (two reasons)
            expected = "DELETED"
        elif options.mode == "ucsc-multiple" and high[row] - low[row] < options.min_size_q:
            expected = "DELETED"
        else:
            expected = "MAPPED"
            assert index.query_names[found.contig[row]] == name
            assert (found.start[row], found.end[row]) == (low[row], high[row])
            assert (found.strand[row], found.loci[row]) == (1, 1)
        assert Status(found.status[row]).name == expected


def bases(index: ChainIndex, name: str, start: int, end: int) -> set[tuple[int, int, str, int]]:
    """Return every aligned base as (chain, target position, query contig, query position)."""
    found = pieces(index, [name], [start], [end])
    out = set()
    for at in range(len(found)):
        for step in range(found.length[at]):
            forward = found.strand[at] > 0
            place = found.query_start[at] + (step if forward else found.length[at] - 1 - step)
            out.add((
                int(found.chain[at]), int(found.target_start[at]) + step,
                index.query_names[found.query_contig[at]], int(place),
            ))  # fmt: skip
    return out


@settings(max_examples=80, deadline=None)
@given(world(), st.integers(0, 250))
def test_splitting_an_interval_splits_its_pieces(case, cut) -> None:
    chains, ((name, start, size), *_) = case
    index = make(chains)
    end = start + abs(size)
    middle = min(start + cut, end)
    assert bases(index, name, start, end) == (
        bases(index, name, start, middle) | bases(index, name, middle, end)
    )


def mirrored(chains: list[Chain]) -> list[Chain]:
    """Reverse-complement the new genome: chains change strand, nothing else."""
    return [replace(c, strand="-" if c.strand == "+" else "+") for c in chains]


@settings(max_examples=80, deadline=None)
@given(world(), option)
def test_flipping_the_query_mirrors_the_answers(case, options) -> None:
    chains, rows = case
    names, start, end = split(rows)
    one, other = make(chains), make(mirrored(chains))
    a = lift(one, names, start, end, options=options)
    b = lift(other, names, start, end, options=options)
    assert a.status.tolist() == b.status.tolist()
    assert a.contig.tolist() == b.contig.tolist()
    assert a.aligned.tolist() == b.aligned.tolist()
    assert a.loci.tolist() == b.loci.tolist()
    mapped = a.mapped
    assert (a.start[mapped] == SIZE - b.end[mapped]).all()
    assert (a.end[mapped] == SIZE - b.start[mapped]).all()
    # As many bases on either strand: + both times.
    ties = a.strand[mapped] == b.strand[mapped]
    assert (a.strand[mapped][ties] == 1).all()
    if options.mode == "ucsc":
        assert not ties.any()


@settings(max_examples=80, deadline=None)
@given(world(), option, st.randoms())
def test_the_order_of_chains_changes_nothing_but_ties(case, options, random) -> None:
    chains, rows = case
    names, start, end = split(rows)
    shuffled = random.sample(chains, len(chains))
    a, b = (lift(make(c), names, start, end, options=options) for c in (chains, shuffled))
    contigs = [(*make(c).query_names, None) for c in (chains, shuffled)]
    for name in ("status", "start", "end", "strand", "aligned", "pieces", "loci"):
        assert getattr(a, name).tolist() == getattr(b, name).tolist(), name
    assert [contigs[0][c] for c in a.contig] == [contigs[1][c] for c in b.contig]
    # The regions are the same; those of chains with one target start may swap places.
    if options.mode != "blocks":
        sets = []
        for c in (chains, shuffled):
            index = make(c)
            codes = np.where(end < start, -1, index.encode(names)).astype(np.int32)
            found = find_regions(
                index, codes, start, np.maximum(start, end), options=options, compiled=False
            )
            row = np.repeat(np.arange(len(start)), np.diff(found.offsets))
            starts = index.chain_start[found.chain]
            assert all(np.diff(row * 10_000 + starts) >= 0)
            sets.append(
                sorted(zip(row.tolist(), starts.tolist(), found.start.tolist(),
                           found.end.tolist(), strict=True))
            )  # fmt: skip
        assert sets[0] == sets[1]


@settings(max_examples=80, deadline=None)
@given(world(), st.sampled_from([0.1, 0.5, 0.95]))
def test_hits_since_v492_are_among_those_before(case, min_match) -> None:
    chains, rows = case
    index = make(chains)
    names, start, end = split([(n, s, abs(size) + 1) for n, s, size in rows])
    found = {
        compat: find_regions(
            index, index.encode(names), start, end, compiled=False,
            options=LiftOptions(mode="ucsc-multiple", min_match=min_match, compat=compat),
        )
        for compat in ("v491", "v492")
    }  # fmt: skip
    for row in range(len(names)):
        hits = {
            compat: set(r.chain[r.offsets[row] : r.offsets[row + 1]].tolist())
            if r.status[row] == Status.MAPPED else set()
            for compat, r in found.items()
        }  # fmt: skip
        assert hits["v492"] <= hits["v491"]


@settings(max_examples=80, deadline=None)
@given(world())
def test_the_way_back_holds_the_aligned_bases(case) -> None:
    chains, rows = case
    index = make(chains)
    back = index.inverted()
    names, start, end = split(rows)
    found = lift(index, names, start, end)
    for row in np.flatnonzero(found.mapped).tolist():
        there = {
            (target, query, place)
            for _, target, query, place in bases(index, names[row], start[row], end[row])
        }
        assert len({target for target, _, _ in there}) == found.aligned[row]
        name = index.query_names[found.contig[row]]
        again = {
            (place, name, target)
            for _, target, contig, place in bases(back, name, found.start[row], found.end[row])
            if contig == names[row]
        }
        assert there <= again
