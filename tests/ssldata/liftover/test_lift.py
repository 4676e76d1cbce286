"""Liftover as a library: rules on small chains, filters, frames, chunks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from chain_tools import CHAINS, index_of

from ssldata.base.errors import ConfigError, InputError
from ssldata.chains.chain_index import ChainIndex
from ssldata.liftover.lift import lift, pieces
from ssldata.liftover.lift_frames import lift_chunks, lift_frame
from ssldata.liftover.lift_result import LiftOptions, Status


@pytest.fixture(scope="module")
def index() -> ChainIndex:
    return index_of(CHAINS)


KERNELS = ["numpy", "numba"]


def one(index: ChainIndex, start: int, end: int, kernel: str = "numpy", **options: object) -> tuple:
    """Lift one interval of tA; return status, contig, start, end, strand, aligned, pieces, loci."""
    result = lift(index, ["tA"], [start], [end], options=LiftOptions(**options), kernel=kernel)
    contig = int(result.contig[0])
    return (
        Status(result.status[0]).name,
        index.query_names[contig] if contig >= 0 else None,
        *(int(getattr(result, name)[0]) for name in
          ("start", "end", "strand", "aligned", "pieces", "loci")),
    )  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("interval", "options", "expected"),
    [
        ((110, 190), {}, ("MAPPED", "qA", 1010, 1090, 1, 80, 1, 1)),
        # A gap of the old genome collapses: the two pieces touch.
        ((190, 260), {}, ("MAPPED", "qA", 1090, 1110, 1, 20, 2, 1)),
        # 40 bases inserted in the new genome: two loci at gap 20, one at gap 41.
        ((280, 350), {}, ("DISTANT", None, -1, -1, 0, 40, 2, 2)),
        ((280, 350), {"gap": 40}, ("DISTANT", None, -1, -1, 0, 40, 2, 2)),
        ((280, 350), {"gap": 41}, ("MAPPED", "qA", 1130, 1210, 1, 40, 2, 1)),
        # Only the gap.
        ((205, 245), {}, ("DELETED", None, -1, -1, 0, 0, 0, 0)),
        # The minus strand, with 15 bases inserted there: less than 20 apart.
        ((1095, 1165), {}, ("MAPPED", "qB", 2830, 2905, -1, 60, 3, 1)),
        ((1090, 1110), {"gap": 15}, ("DISTANT", None, -1, -1, 0, 20, 2, 2)),
        # Two contigs, however unequal.
        ((2099, 2200), {}, ("MULTI_CONTIG", None, -1, -1, 0, 101, 2, 2)),
        ((2100, 2200), {}, ("MAPPED", "qB", 100, 200, 1, 100, 1, 1)),
        # Aligned by two chains: each base counts once.
        ((5000, 5100), {}, ("DISTANT", None, -1, -1, 0, 100, 2, 2)),
        ((5000, 5100), {"gap": 1000}, ("MAPPED", "qA", 10, 600, 1, 100, 2, 1)),
        # min_aligned: 20 of 70 bases.
        ((190, 260), {"min_aligned": 0.3}, ("PARTIAL", None, -1, -1, 0, 20, 2, 1)),
        ((190, 260), {"min_aligned": 20 / 70}, ("MAPPED", "qA", 1090, 1110, 1, 20, 2, 1)),
        ((100, 100), {}, ("INVALID", None, -1, -1, 0, 0, 0, 0)),
        ((200, 100), {}, ("INVALID", None, -1, -1, 0, 0, 0, 0)),
        ((-50, 110), {}, ("MAPPED", "qA", 1000, 1010, 1, 10, 1, 1)),
        ((390, 2**40), {"gap": 2**30}, ("MULTI_CONTIG", None, -1, -1, 0, 800, 11, 2)),
        # ucsc: one region per chain, insertions inside.
        ((280, 350), {"mode": "ucsc", "min_match": 0.1},
         ("MAPPED", "qA", 1130, 1210, 1, 40, 1, 1)),
        ((280, 350), {"mode": "ucsc"}, ("PARTIAL", None, -1, -1, 0, 40, 0, 0)),
        ((2050, 2150), {"mode": "ucsc", "min_match": 0.1},
         ("DUPLICATED", None, -1, -1, 0, 100, 2, 2)),
        ((2050, 2150), {"mode": "ucsc"}, ("SPLIT", None, -1, -1, 0, 100, 0, 0)),
        ((2050, 2150), {"mode": "ucsc-multiple", "min_match": 0.1},
         ("MULTI_CONTIG", None, -1, -1, 0, 100, 2, 2)),
        ((2096, 2196), {"mode": "ucsc-multiple", "min_match": 0.1},
         ("MAPPED", "qB", 100, 196, 1, 96, 1, 1)),
        ((2096, 2196), {"mode": "ucsc-multiple", "min_match": 0.1, "compat": "v491"},
         ("MULTI_CONTIG", None, -1, -1, 0, 100, 2, 2)),
        ((5010, 5020), {"mode": "ucsc-multiple", "gap": 1000},
         ("MAPPED", "qA", 20, 520, 1, 10, 2, 1)),
        ((150, 150), {"mode": "ucsc"}, ("INVALID", None, -1, -1, 0, 0, 0, 0)),
    ],
)  # fmt: skip
def test_rules(index, interval, options, expected, kernel) -> None:
    assert one(index, *interval, kernel, **options) == expected


@pytest.mark.parametrize("kernel", KERNELS)
def test_majority_strand(kernel) -> None:
    text = (
        "chain 1 t 1000 + 0 10 q 1000 + 100 110 1\n10\n"
        "chain 1 t 1000 + 10 30 q 1000 - 880 900 2\n20\n"
        "chain 1 t 1000 + 100 110 q 1000 + 300 310 3\n10\n"
        "chain 1 t 1000 + 110 120 q 1000 - 680 690 4\n10\n"
    )
    index = index_of(text)
    for mode in ("blocks", "ucsc-multiple"):
        options = LiftOptions(mode=mode, min_match=0.1)
        found = lift(
            index, ["t"] * 4, [0, 100, 0, 0], [30, 120, 30, 10], [1, 1, -1, 0],
            options=options, kernel=kernel,
        )  # fmt: skip
        assert found.start.tolist() == [100, 300, 100, 100]
        assert found.end.tolist() == [120, 320, 120, 110]
        # 20 of 30 bases on minus; a tie; the input on minus; the input without strand.
        assert found.strand.tolist() == [-1, 1, 1, 0]


def test_one_row_per_interval_in_order(index) -> None:
    names = np.array(["tA", "nowhere", "tA", "TA", "tA"])
    starts, ends = [5000, 1, 110, 110, 10], [5001, 2, 120, 120, 5]
    for contig in (names, names.astype(object), pd.Series(names), index.encode(names)):
        result = lift(index, contig, starts, ends)
        assert [Status(s).name for s in result.status] == [
            "DISTANT", "DELETED", "MAPPED", "DELETED", "INVALID",
        ]  # fmt: skip
    assert result.counts() == {"mapped": 1, "deleted": 2, "distant": 1, "invalid": 1}
    assert result.mapped.tolist() == [False, False, True, False, False]
    assert [index.chain_id[result.chains.of(row)].tolist() for row in range(5)] == [
        [7, 8], [], [1], [], [],
    ]  # fmt: skip
    assert len(lift(index, [], [], [])) == 0


def test_pieces(index) -> None:
    found = pieces(index, ["tA", "tA", "nowhere"], [1090, 90, 0], [1165, 110, 10])
    rows = np.stack(
        [found.interval, found.target_start, found.length, found.query_start, found.strand]
    ).T
    assert rows.tolist() == [
        [0, 1090, 10, 2900, -1],
        [0, 1100, 50, 2835, -1],
        [0, 1160, 5, 2830, -1],
        [1, 100, 10, 1000, 1],
    ]
    assert [index.query_names[c] for c in found.query_contig] == ["qB", "qB", "qB", "qA"]
    assert len(found) == 4


def test_an_interval_may_hit_thousands_of_chains() -> None:
    text = "".join(
        f"chain 1 t 1000000 + {10 * n} {10 * n + 5} q{n % 700} 5000 {'+-'[n % 2]} 7 12 {n}\n5\n"
        for n in range(5000)
    )
    index = index_of(text)
    for mode in ("blocks", "ucsc", "ucsc-multiple"):
        options = LiftOptions(mode=mode, min_match=1e-9)
        # Rows before and after: the search goes on where it ran out of room.
        result = [
            lift(index, ["t"] * 4, [3, 0, 0, 49_990], [5, 10**6, 3000, 10**6],
                 options=options, kernel=kernel)
            for kernel in KERNELS
        ]  # fmt: skip
        for name, column in result[0].columns().items():
            assert (column == result[1].columns()[name]).all(), name
        assert np.diff(result[1].chains.offsets).tolist() == [1, 5000, 300, 1]
        assert (result[0].chains.ids == result[1].chains.ids).all()
        assert result[1].aligned.tolist() == [2, 25_000, 1500, 5]
        assert result[1].pieces.tolist() == [1, 5000, 300, 1]


def test_a_count_of_chains_beyond_every_buffer_for_one_row() -> None:
    text = "".join(f"chain 1 t 1000 + 0 5 q 1000 + {n} {n + 5} {n}\n5\n" for n in range(300))
    result = lift(index_of(text), ["t"], [0], [5], kernel="numba")
    assert result.pieces.tolist() == [300]
    assert (result.start[0], result.end[0], result.loci[0]) == (0, 304, 1)


def test_options_are_checked() -> None:
    for wrong in (
        {"mode": "best"}, {"compat": "v490"}, {"min_match": 0}, {"min_match": float("nan")},
        {"gap": -1}, {"min_aligned": -0.1}, {"reciprocal": 2},
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            LiftOptions(**wrong)


def test_columns_are_checked(index) -> None:
    with pytest.raises(InputError, match="the same number"):
        lift(index, ["tA"], [1, 2], [3, 4])
    with pytest.raises(InputError, match="start must be one column of integers"):
        lift(index, ["tA"], [1.5], [3])
    with pytest.raises(InputError, match="strand must be 1 integers"):
        lift(index, ["tA"], [1], [3], [1, 1])
    with pytest.raises(ConfigError, match="kernel"):
        lift(index, ["tA"], [1], [3], kernel="cuda")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mode", ["blocks", "ucsc"])
def test_summit(index, kernel, mode) -> None:
    result = lift(
        index, ["tA"] * 6, [190, 190, 190, 190, 1010, 2050], [260, 260, 260, 260, 1020, 2060],
        options=LiftOptions(mode=mode, min_match=0.1),
        summit=[195, 220, -1, 300, 1012, 2055], kernel=kernel,
    )  # fmt: skip
    # Aligned; in a gap; none; outside of the interval; reversed; plain.
    assert [Status(s).name for s in result.status] == [
        "MAPPED", "SUMMIT_LOST", "MAPPED", "SUMMIT_LOST", "MAPPED", "MAPPED",
    ]  # fmt: skip
    assert result.summit.tolist() == [1095, -1, -1, -1, 2987, 3055]
    assert result.start.tolist() == [1090, -1, 1090, -1, 2980, 3050]


def test_summit_needs_a_chain_that_gave_the_locus() -> None:
    # The second chain covers 5 of 105 bases: too little at 0.5, so its base does not count.
    text = (
        "chain 1 t 1000 + 0 100 q 1000 + 0 100 1\n100\n"
        "chain 1 t 1000 + 100 105 q 1000 + 90 95 2\n5\n"
    )
    options = LiftOptions(mode="ucsc", min_match=0.5)
    result = lift(index_of(text), ["t"] * 2, [0, 0], [105, 105], options=options, summit=[99, 102])
    assert [Status(s).name for s in result.status] == ["MAPPED", "SUMMIT_LOST"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_reciprocal(kernel) -> None:
    # Two old loci claim one new locus; a third has its own.
    text = (
        "chain 1 t 1000 + 0 100 q 1000 + 500 600 1\n100\n"
        "chain 1 t 1000 + 300 400 q 1000 - 400 500 2\n100\n"
        "chain 1 t 1000 + 600 700 q 1000 - 0 100 3\n100\n"
    )
    index = index_of(text)
    starts, ends = [10, 310, 610, 590], [90, 390, 690, 710]
    plain = lift(index, ["t"] * 4, starts, ends, kernel=kernel)
    assert plain.mapped.all()
    checked = lift(index, ["t"] * 4, starts, ends, options={"reciprocal": 0.9}, kernel=kernel)
    # The last covers only 100 of its 120 bases.
    assert [Status(s).name for s in checked.status] == [
        "NOT_RECIPROCAL", "NOT_RECIPROCAL", "MAPPED", "NOT_RECIPROCAL",
    ]  # fmt: skip
    assert checked.contig.tolist() == [-1, -1, 0, -1]
    # A chain file of its own for the way back, which names contigs in another order.
    back = index_of(
        "chain 1 other 9 + 0 9 x 9 + 0 9 9\n9\n"
        "chain 1 q 1000 + 500 600 t 1000 + 0 100 1\n100\n"
        "chain 1 q 1000 + 900 1000 t 1000 - 300 400 1\n100\n"
    )
    checked = lift(
        index, ["t"] * 4, starts, ends, options={"reciprocal": 0.9}, back=back, kernel=kernel
    )
    assert [Status(s).name for s in checked.status] == [
        "MAPPED", "NOT_RECIPROCAL", "MAPPED", "NOT_RECIPROCAL",
    ]  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
def test_reciprocal_fraction_may_be_met_exactly(kernel) -> None:
    index = index_of("chain 1 t 1000 + 600 700 q 1000 + 0 100 1\n100\n")
    for fraction, status in ((0.5, Status.MAPPED), (0.51, Status.NOT_RECIPROCAL)):
        options = LiftOptions(reciprocal=fraction)
        assert lift(index, ["t"], [600], [800], options=options, kernel=kernel).status == [status]


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_empty_block_counts_only_inside(kernel) -> None:
    # Of size 0 at 260 on the target, 1150 on the query.
    index = index_of(
        "chain 1 t 10000 + 100 350 q 5000 + 1000 1300 1\n100\t60\t50\n0\t40\t100\n50\n"
    )
    options = LiftOptions(mode="ucsc", min_match=0.1)
    found = lift(
        index, ["t"] * 4, [259, 260, 150, 150], [345, 345, 261, 260],
        options=options, kernel=kernel,
    )  # fmt: skip
    assert found.start.tolist() == [1150, 1250, 1050, 1050]
    assert found.end.tolist() == [1295, 1295, 1150, 1100]


def frame_of(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    start = rng.integers(0, 5200, rows)
    return pd.DataFrame(
        {
            "Chromosome": pd.Categorical(rng.choice(["tA", "tB"], rows, p=[0.9, 0.1])),
            "Start": start,
            "End": start + rng.integers(1, 200, rows),
            "Strand": rng.choice(["+", "-", "."], rows),
            "Summit": start,
        },
        index=np.arange(rows)[::-1],
    )


def test_frame(index) -> None:
    frame = frame_of(50)
    found = lift_frame(index, frame, summit="Summit")
    whole = lift(
        index, frame.Chromosome.to_numpy(), frame.Start.to_numpy(), frame.End.to_numpy(),
        frame.Strand.map({"+": 1, "-": -1, ".": 0}).to_numpy().astype(int),
        summit=frame.Summit.to_numpy(),
    )  # fmt: skip
    assert found.index.equals(frame.index)
    assert found.status.tolist() == [Status(s).name.lower() for s in whole.status]
    mapped = found[found.status == "mapped"]
    assert len(mapped) > 3
    assert set(mapped.contig) <= {"qA", "qB"}
    assert found[found.status != "mapped"].contig.isna().all()
    assert (found.start.to_numpy() == whole.start).all()
    assert set(mapped.strand) == {"+", "-", "."}
    assert (np.concatenate(found.chains.tolist()) == whole.chains.ids).all()
    small = frame.rename(columns=str.lower).rename(columns={"chromosome": "contig"})
    assert lift_frame(index, small, summit="summit").start.equals(found.start)
    with pytest.raises(InputError, match="no column Chromosome or contig"):
        lift_frame(index, frame.drop(columns="Chromosome"))


@pytest.mark.parametrize("chunk_rows", [1, 7, 300, 1000])
def test_chunks_are_the_whole(index, chunk_rows) -> None:
    import dask

    def mapper(function, parts):
        return dask.compute(*map(dask.delayed(function), parts), scheduler="synchronous")

    frame = frame_of(300)
    given = (frame.Chromosome.to_numpy(), frame.Start.to_numpy(), frame.End.to_numpy())
    for mode in ("blocks", "ucsc-multiple"):
        options = LiftOptions(mode=mode, min_match=0.1, reciprocal=0.1)
        whole = lift(index, *given, options=options, summit=frame.Summit.to_numpy())
        parts = lift_chunks(
            index, *given, options=options, summit=frame.Summit.to_numpy(),
            chunk_rows=chunk_rows, mapper=mapper,
        )  # fmt: skip
        for name, column in whole.columns().items():
            assert (column == parts.columns()[name]).all()
        assert (whole.chains.ids == parts.chains.ids).all()
        assert (whole.chains.offsets == parts.chains.offsets).all()


def test_no_chunks_of_nothing(index) -> None:
    assert len(lift_chunks(index, [], [], [])) == 0
    with pytest.raises(ConfigError, match="chunk_rows"):
        lift_chunks(index, [], [], [], chunk_rows=0)
