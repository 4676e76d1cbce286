"""BED12 through the drop-in command: blocks, thick parts, reasons."""

from __future__ import annotations

import pytest
from ucsc_tools import failure, lift


def bed12(start: int, end: int, thick: tuple[int, int], *blocks: tuple[int, int]) -> str:
    sizes = "".join(f"{size}," for _, size in blocks)
    starts = "".join(f"{at - start}," for at, _ in blocks)
    return (
        f"tA\t{start}\t{end}\tn\t5\t+\t{thick[0]}\t{thick[1]}\t255,0,1\t{len(blocks)}\t{sizes}"
        f"\t{starts}\n"
    )


def test_bed12_on_the_minus_strand(tmp_path) -> None:
    row = bed12(1010, 1190, (1020, 1180), (1010, 20), (1110, 20), (1170, 20))
    mapped, unmapped = lift(tmp_path, row)
    assert unmapped == ""
    # qB, 5000 long: 2010-2030, 2125-2145, 2175-2195 of the other strand.
    assert mapped == ("qB\t2805\t2990\tn\t5\t-\t2815\t2980\t16711681\t3\t20,20,20,\t0,50,165,\n")


def test_bed12_thick(tmp_path) -> None:
    row = bed12(110, 390, (150, 220), (110, 80), (340, 40))
    for options, reason in (
        ((), "Can't find thickStart/thickEnd"),
        (("-fudgeThick",), None),
    ):
        mapped, unmapped = lift(tmp_path, row, "-minMatch=0.1", *options)
        if reason:
            assert unmapped == f"#{reason}\n" + row.replace("255,0,1", "16711681")
        else:
            assert mapped.split("\t")[6:8] == ["1050", "1100"]
    # An empty thick part goes to the start of the first block.
    mapped, _ = lift(tmp_path, bed12(110, 390, (0, 0), (110, 80), (340, 40)))
    assert mapped.split("\t")[6:8] == ["1010", "1010"]


def test_bed12_blocks_that_are_lost(tmp_path) -> None:
    row = bed12(110, 390, (110, 390), (110, 80), (210, 20), (340, 50))
    _, unmapped = lift(tmp_path, row, "-minMatch=0.5")
    assert unmapped.splitlines()[0] == "#Boundary problem: need 3, got 2, diff 1, mapped 0.7"
    mapped, _ = lift(tmp_path, row, "-minMatch=0.5", "-minBlocks=0.6")
    assert mapped.split("\t")[9:] == ["2", "80,50,", "0,190,\n"]
    _, unmapped = lift(tmp_path, row)
    assert unmapped.startswith("#Partially deleted in new\n")
    _, unmapped = lift(tmp_path, bed12(500, 600, (500, 600), (500, 100)))
    assert unmapped.startswith("#Deleted in new\n")
    # The best chain counts, not the only one.
    mapped, _ = lift(tmp_path, bed12(2000, 2110, (2000, 2098), (2000, 50), (2060, 38)))
    assert mapped.startswith("qA\t3000\t3098\t")
    # A quirk of the tool: a block that ends where the chain block ends, and is not the first in
    # it, is not seen.
    _, unmapped = lift(tmp_path, bed12(2000, 2110, (2000, 2100), (2000, 50), (2060, 40)))
    assert unmapped.startswith("#Boundary problem: need 2, got 1, diff 1, mapped 0.5\n")


@pytest.mark.parametrize("compat", ["v491", "v492"])
def test_bed12_that_two_chains_cover_equally(tmp_path, compat) -> None:
    options = ("-minMatch=0.5", f"--compat={compat}")
    # Aligned twice: the chain that the tool meets first, the later one in the file.
    mapped, unmapped = lift(tmp_path, bed12(5000, 5100, (5000, 5100), (5000, 100)), *options)
    assert unmapped == ""
    assert mapped.split("\t")[:3] == ["qA", "500", "600"]
    # Half of the bases on each: the blocks of the other chain are missing.
    for blocks, problem in (
        ([(2000, 100), (2100, 100)], "need 2, got 1, diff 1, mapped 0.5"),
        ([(2000, 200)], "need 1, got 0, diff 1, mapped 0.0"),
    ):
        mapped, unmapped = lift(tmp_path, bed12(2000, 2200, (2000, 2000), *blocks), *options)
        assert mapped == ""
        assert unmapped.splitlines()[0] == f"#Boundary problem: {problem}"
    row = bed12(2000, 2200, (2000, 2000), (2000, 100), (2100, 100))
    mapped, _ = lift(tmp_path, row, *options, "-minBlocks=0.5")
    assert mapped.split("\t")[9] == "1"


def test_bed12_with_further_columns_and_multiple(tmp_path) -> None:
    row = bed12(5000, 5100, (5000, 5100), (5000, 100)).replace("\n", "\textra\t1.5\n")
    mapped, _ = lift(tmp_path, row, "-bedPlus=12", "-multiple")
    assert [line.split("\t")[:5] for line in mapped.splitlines()] == [
        ["qA", "500", "600", "n", "1"], ["qA", "10", "110", "n", "2"],
    ]  # fmt: skip
    assert all(line.endswith("\textra\t1.5") for line in mapped.splitlines())
    mapped, _ = lift(tmp_path, row.replace("\t", "  "), "-bedPlus=12", "-multiple", "-noSerial",
                     "-preserveInput")  # fmt: skip
    assert [line.split("\t")[3:5] for line in mapped.splitlines()] == [["tA:5001-5100:n", "5"]] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("\t5\t+", "\t5.5\t+"), "column 5 must be a whole number, found '5.5'"),
        (("255,0,1", "255,x,1"), "column 9"),
        (("\t1\t100,", "\t2\t100,"), "column 11 must be 2 numbers"),
        (("\t100,", "\t100,a"), "column 11"),
        (("5000\t5100\tn", "-5\t5100\tn"), "column 2 must be a whole number from 0"),
        (("5000\t5100\tn", "6000\t5100\tn"), "start 6000 is after the end 5100"),
        (("\t0,\n", "\n"), "11 columns of which 11 are BED"),
    ],
)
def test_bed12_errors(change, message, tmp_path, capsys) -> None:
    row = bed12(5000, 5100, (5000, 5100), (5000, 100))
    assert change[0] in row
    assert message in failure(tmp_path, capsys, row.replace(*change, 1))
