"""Peaks in, checked; unions of intervals against a base-by-base oracle."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssldata.base.errors import InputError, MissingInputError
from ssldata.rows.intervals import Intervals, containing, merge, read_peaks

NAMES = ("chrI", "chrII", "chrIII")
SIZES = np.array([1000, 500, 300], np.int64)


def read(path: Path, **options: object):
    return read_peaks(path, names=NAMES, sizes=SIZES, **options)  # type: ignore[arg-type]


def put(folder: Path, text: str) -> Path:
    path = folder / "peaks.bed"
    path.write_bytes(text.encode())
    return path


def test_sorted_by_contig_of_the_genome_then_start(tmp_path: Path) -> None:
    path = put(tmp_path, "chrII\t10\t20\ta\t3\nchrI\t50\t60\tc\t.\nchrI\t5\t60\tb\t7.5\n")
    peaks = read(path)
    assert peaks.intervals.contig.tolist() == [0, 0, 1]
    assert peaks.intervals.start.tolist() == [5, 50, 10]
    assert peaks.intervals.end.tolist() == [60, 60, 20]
    assert peaks.score.tolist() == [7.5, 0, 3]


def test_every_ugly_line_that_is_still_bed(tmp_path: Path) -> None:
    text = "# comment\r\ntrack name=x\r\nbrowser position\r\n\r\nchrI 1 2\r\nchrI\t3\t4\t.\t.\r\n"
    peaks = read(put(tmp_path, text))
    assert peaks.intervals.start.tolist() == [1, 3]
    assert peaks.counts["lines"] == 2


def test_gzip_is_recognised_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "peaks.bed"
    path.write_bytes(gzip.compress(b"chrI\t1\t2\n"))
    assert len(read(path).intervals) == 1


def test_truncated_gzip_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "peaks.bed.gz"
    path.write_bytes(gzip.compress(b"chrI\t1\t2\n" * 1000)[:-12])
    with pytest.raises(InputError, match="cut short"):
        read(path)


def test_width_around_a_summit_of_one_base(tmp_path: Path) -> None:
    peaks = read(put(tmp_path, "chrI\t500\t501\n"), width=200)
    assert (peaks.intervals.start[0], peaks.intervals.end[0]) == (400, 600)


def test_width_uses_the_narrowpeak_summit_else_the_middle(tmp_path: Path) -> None:
    lines = [
        "chrI\t100\t200\tp\t0\t.\t1\t1\t1\t30",  # summit at 130
        "chrI\t300\t400\tp\t0\t.\t1\t1\t1\t-1",  # none called: the middle, 350
    ]
    peaks = read(put(tmp_path, "\n".join(lines)), width=10)
    assert peaks.intervals.start.tolist() == [125, 345]


NARROW = "chrI\t100\t200\tp\t0\t.\t1.5\t-1\t0.05\t30"
BED12 = "chrI\t100\t200\tp\t0\t+\t110\t190\t0"


@pytest.mark.parametrize(
    ("line", "start"),
    [
        (NARROW, 125),
        (NARROW + "\t0.7\t1.2", 125),  # IDR of old
        (NARROW + "\t0.7\t1.2\t100\t200\t30\t9\t100\t200\t31\t8", 125),  # IDR
        (NARROW + "\t\t ", 125),
        (BED12 + "\t2\t30,40,\t0,60,", 145),  # two blocks, not a summit at 102
        (BED12 + "\t1\t100\t0", 145),
        (BED12 + "\t1\t100,\t0,\tgene\tmore", 145),
        (NARROW.replace("1.5", "name") + "\tmore", 145),
        (NARROW.rsplit("\t", 1)[0], 145),  # broadPeak
        ("chrI\t100\t200", 145),
    ],
)
def test_summits_are_column_10_wherever_ten_columns_fit_narrowpeak(
    tmp_path: Path, line: str, start: int
) -> None:
    peaks = read(put(tmp_path, f"{line}\n{line}\n"), width=10)
    assert peaks.intervals.start.tolist() == [start, start]
    assert peaks.middles == (2 if start == 145 else 0)
    assert read(put(tmp_path, line)).middles == 0


def test_width_is_clipped_and_counted(tmp_path: Path) -> None:
    peaks = read(put(tmp_path, "chrI\t5\t6\nchrI\t998\t999\nchrI\t500\t501\n"), width=100)
    assert peaks.intervals.start.tolist() == [0, 450, 948]
    assert peaks.intervals.end.tolist() == [55, 550, 1000]
    assert peaks.counts["clipped"] == 2


def test_aliases_and_unknown_contigs(tmp_path: Path) -> None:
    path = put(tmp_path, "chr1\t1\t2\nchrX\t1\t2\nchrX\t5\t6\n")
    peaks = read(path, aliases={"chr1": "chrI"})
    assert len(peaks.intervals) == 1
    assert peaks.unknown == {"chrX": 2}
    assert peaks.counts["unknown_contig"] == 2


def test_all_contigs_unknown_is_an_error_with_both_spellings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'chr1'.*chrI.*reference.aliases"):
        read(put(tmp_path, "chr1\t1\t2\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chrI\t9\t5", "line 1: end 5 lies before start 9"),
        (
            "chrI\t-9\t5",
            "1 of 1 peaks lie outside their contigs, the first in line 1: -9-5",
        ),
        (
            "chrI\t900\t9999",
            "line 1: 900-9999 of chrI, which has 1000 b; are they of another",
        ),
        ("chrI\t5\t5", "empty interval at 5"),
        ("chrI\t5", "2 columns"),
        ("chrI\tfive\t9", "start is 'five'"),
        ("chrI\t1\t9\ta\thigh", "score is 'high'"),
        ("chrI\t1\t9\ta\tnan", "score is 'nan'"),
        ("chrI\t1\t9\ta\t1_0", "score is '1_0'"),
        ("chrI\t1\t9\ta\t1\tx", "strand is 'x', expected '+', '-' or '.'"),
        ("chrI\t1\t9\ta\nchrI\t5\t7", "line 2: 3 columns, but the first row has 4"),
        (NARROW.replace("\t30", "\t3x"), "summit (column 10) is '3x'"),
        (NARROW + "\n" + NARROW.replace("\t30", "\t"), "summit (column 10) is ''"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(put(tmp_path, line + "\n"), width=None if "empty" in message else 10)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


NARROW = "chrI\t{}\t{}\tp\t0\t.\t1\t1\t1\t{}"


@pytest.mark.parametrize(
    ("line", "width", "expected"),
    [
        ("chrI\t-3\t90", None, (0, 90)),  # as MACS writes
        ("chrI\t900\t1004", None, (900, 1000)),
        ("chrI\t-3\t90", 20, (33, 53)),  # the middle decides, 43
        (NARROW.format(-3, 90, 13), 40, (0, 30)),  # the summit decides, 10
        (NARROW.format(900, 1039, 50), 200, (850, 1000)),
        (NARROW.format(900, 1039, 50), 20, (940, 960)),
        (NARROW.format(900, 1039, -1), 20, (959, 979)),
    ],
)
def test_a_stray_peak_past_an_end_is_clipped_and_counted(
    tmp_path: Path, line: str, width: int | None, expected: tuple[int, int]
) -> None:
    other = "\t".join(["chrII", "100", "200", *line.split("\t")[3:]])
    peaks = read(put(tmp_path, f"{line}\n{other}\n"), width=width)
    assert (peaks.intervals.start[0], peaks.intervals.end[0]) == expected
    assert peaks.counts["beyond_contig"] == 1
    assert peaks.counts["clipped"] == (expected[1] - expected[0] < (width or 1000))


@pytest.mark.parametrize(
    ("strays", "others", "refused"), [(10, 0, False), (11, 50, True), (11, 2000, False)]
)
def test_more_than_a_stray_few_past_the_ends_are_refused(
    tmp_path: Path, strays: int, others: int, refused: bool
) -> None:
    path = put(tmp_path, "chrII\t400\t505\n" * strays + "chrI\t10\t90\n" * others)
    if not refused:
        assert read(path).counts["beyond_contig"] == strays
        return
    with pytest.raises(InputError, match=r"11 of 61 peaks reach past the ends .* line 1: 400-505 "):
        read(path)


@pytest.mark.parametrize("line", [NARROW.format(900, 1039, 120), NARROW.format(-3, 90, 1)])
def test_one_summit_outside_its_contig_is_refused(tmp_path: Path, line: str) -> None:
    lines = [line, *[NARROW.format(10, 90, -1)] * 5000]
    with pytest.raises(InputError, match="1 of 5001 peaks lie outside"):
        read(put(tmp_path, "\n".join(lines)), width=200)


def test_summit_outside_its_peak(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="summit offset 50 lies outside the peak of 10 b"):
        read(put(tmp_path, "chrI\t1\t11\tp\t0\t.\t1\t1\t1\t50"), width=10)


def test_empty_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no peaks in the file"):
        read(put(tmp_path, "# nothing\n\n"))
    with pytest.raises(MissingInputError, match="no such file"):
        read(tmp_path / "none.bed")


spans = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(1, 15)), min_size=1, max_size=25
)


def intervals_of(rows: list[tuple[int, int, int]]) -> Intervals:
    contig, start, length = (np.array(column) for column in zip(*rows, strict=True))
    return Intervals(
        contig.astype(np.int32), start.astype(np.int64), (start + length).astype(np.int64)
    )


@given(spans)
def test_merge_is_the_union_of_bases(rows: list[tuple[int, int, int]]) -> None:
    intervals = intervals_of(rows)
    merged = merge(intervals)
    covered = {(c, p) for c, s, n in rows for p in range(s, s + n)}
    found = [
        (int(c), p)
        for c, s, e in zip(merged.contig, merged.start, merged.end, strict=True)
        for p in range(s, e)
    ]
    assert sorted(covered) == found  # sorted, disjoint, complete
    for i in range(1, len(merged)):
        # Abutting intervals are one.
        assert merged.contig[i] != merged.contig[i - 1] or merged.start[i] > merged.end[i - 1]
    where = containing(merged, intervals)
    assert (merged.start[where] <= intervals.start).all()
    assert (merged.end[where] >= intervals.end).all()
    assert (merged.contig[where] == intervals.contig).all()


def test_merge_keeps_the_order_of_the_genome_with_many_contigs() -> None:
    # Names of contigs sort as 0, 1, 10, 11, 2, …; the result must sort by number.
    n = 12
    merged = merge(
        Intervals(
            np.arange(n, dtype=np.int32)[::-1], np.zeros(n, np.int64), np.full(n, 5, np.int64)
        )
    )
    assert merged.contig.tolist() == list(range(n))
