"""The drop-in command: options, formats, errors, what it imports, and its two ways to read BED."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chain_tools import CHAINS, index_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher
from numba.core.types import NamedTuple, NamedUniTuple
from ucsc_tools import failure, lift

from ssldata.base.errors import ConfigError, InputError
from ssldata.genomes import gather_kernels
from ssldata.genomes.genome import open_genome
from ssldata.liftover import blocks_kernels, ucsc_kernels
from ssldata.ucsc_tool import bulk_bed, bulk_bed_kernels, ucsc_command
from ssldata.ucsc_tool.bed3_to_bed10 import lift_small
from ssldata.ucsc_tool.bed_rows import BedOptions, BedReader, bin_number
from ssldata.ucsc_tool.ucsc_command import main, parse_arguments

INDEX = index_of(CHAINS)


# Formats


def test_has_bin(tmp_path) -> None:
    bed = "585\ttA\t110\t120\tn\t0\t+\n9\ttZ\t1\t2\tm\t0\t-\n"
    mapped, unmapped = lift(tmp_path, bed, "-bedPlus=6", "-hasBin")
    assert mapped == "585\tqA\t1010\t1020\tn\t0\t+\n"
    assert unmapped == "#Deleted in new\ntZ\t1\t2\tm\t0\t-\n"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 1, 585), (131071, 131073, 73), (2**26, 2**26 + 10, 585 + 512), (0, 2**29, 0),
     (2**26 - 1, 2**26 + 1, 0), (2**29 - 1, 2**29 + 1, 4681), (2**29, 2**29 + 1, 4681 + 8777)],
)  # fmt: skip
def test_bin_number(start, end, expected) -> None:
    assert bin_number(start, end) == expected


@pytest.mark.parametrize("compiled", [False, True])
def test_multiple_columns(tmp_path, compiled, monkeypatch) -> None:
    monkeypatch.setattr(ucsc_command, "compiled_pays", lambda _: compiled)

    def both(columns: str, *options: str) -> list[str]:
        bed = f"tA\t2050\t2150{columns}\n"
        mapped, _ = lift(tmp_path, bed, "-multiple", "-minMatch=0.1", *options)
        lines = mapped.splitlines()
        assert [line.split("\t")[:3] for line in lines] == [
            ["qA", "3050", "3100"], ["qB", "100", "150"],
        ]  # fmt: skip
        return ["|".join(line.split("\t")[3:]) for line in lines]

    assert both("") == ["tA:2051-2150|1", "tA:2051-2150|2"]
    assert both("", "-noSerial") == ["tA:2051-2150", "tA:2051-2150"]
    assert both("\tn") == ["n|1", "n|2"]
    assert both("\tn", "-noSerial") == ["n", "n"]
    assert both("\tn\t7\t-\tx") == ["n|1|-|x", "n|2|-|x"]
    assert both("\tn\t7\t-\tx", "-noSerial") == ["n|7|-|x", "n|7|-|x"]
    assert both("\tn\t7\t-\tx", "-bedPlus=3") == ["n|1|7|-|x", "n|2|7|-|x"]
    assert both("\tn\t7\t-\tx", "-bedPlus=4") == ["n|1|7|-|x", "n|2|7|-|x"]
    assert both("\tn\t7\t-\tx", "-bedPlus=6") == ["n|1|-|x", "n|2|-|x"]


def test_strand_is_that_of_each_region(tmp_path) -> None:
    chain = (
        "chain 1 t 100 + 0 10 q 100 - 0 10 1\n10\n"
        "chain 1 t 100 + 10 20 q 100 + 0 10 2\n10\n"
        "chain 1 t 100 + 20 30 q 100 - 0 10 3\n10\n"
    )
    mapped, _ = lift(tmp_path, "t\t0\t30\tn\t0\t+\n", "-multiple", "-minMatch=.1", chain=chain)
    assert [line.split("\t")[5] for line in mapped.splitlines()] == ["-", "+", "-"]


def test_thick_part_of_several_regions(tmp_path) -> None:
    """A quirk of the tool: the next chain gets the thick part that the one before gave."""
    chain = (
        "chain 1 t 1000 + 0 100 q 1000 + 500 600 1\n100\n"
        "chain 1 t 1000 + 0 100 q 1000 + 10 110 2\n100\n"
    )
    bed = "t\t0\t100\tn\t0\t+\t20\t40\n"
    mapped, _ = lift(tmp_path, bed, "-multiple", "-noSerial", chain=chain)
    assert mapped == "q\t10\t110\tn\t0\t+\t30\t50\nq\t500\t600\tn\t0\t+\t530\t550\n"


def test_broad_peak_and_gz(tmp_path) -> None:
    row = "tA\t1010\t1060\tp\t9\t+\t3.2\t-1\t0.5\n"
    mapped, _ = lift(tmp_path, gzip.compress(row.encode()), "-bedPlus=6")
    assert mapped == "qB\t2940\t2990\tp\t9\t-\t3.2\t-1\t0.5\n"
    new = tmp_path / "new.bed.gz"
    files = [str(tmp_path / name) for name in ("old.bed", "c.chain")]
    assert main(["-bedPlus=6", *files, str(new), os.devnull]) == 0
    assert gzip.decompress(new.read_bytes()).decode() == mapped
    before = new.read_bytes()
    assert main(["-bedPlus=6", *files, str(new), os.devnull]) == 0
    assert new.read_bytes() == before  # no time in it


def test_standard_streams(tmp_path, capsysbinary, monkeypatch) -> None:
    chain = tmp_path / "c.chain"
    chain.write_text(CHAINS)
    for old, new in (("stdin", "stdout"), ("-", "-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"tA\t110\t120\n")))
        assert main([old, str(chain), new, str(tmp_path / "lost"), "--quiet"]) == 0
        assert capsysbinary.readouterr() == (b"qA\t1010\t1020\n", b"")


@pytest.mark.parametrize(
    ("new", "unmapped", "message"),
    [
        ("./u", "u", "the same file"),
        ("d/../u", "u", "the same file"),
        ("not-there", "./not-there", "the same file"),
        ("soft", "u", "the same file"),
        ("hard", "u", "the same file"),
        ("dangling", "nowhere", "the same file"),
        ("old.bed", "u", "OLD would be overwritten"),
        ("u", "./old.bed", "OLD would be overwritten"),
        ("soft-old", "u", "OLD would be overwritten"),
        ("u", "hard-chain", "CHAIN would be overwritten"),
        ("loop", "u", "a link that leads to itself"),
    ],
)
def test_no_output_is_another_output_or_an_input(
    new, unmapped, message, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name, text in (("old.bed", "tA\t110\t120\n"), ("c.chain", CHAINS), ("u", "kept")):
        (tmp_path / name).write_text(text)
    for name, target in (
        ("soft", "u"), ("dangling", "nowhere"), ("soft-old", "old.bed"), ("loop", "loop"),
    ):  # fmt: skip
        (tmp_path / name).symlink_to(target)
    (tmp_path / "hard").hardlink_to(tmp_path / "u")
    (tmp_path / "hard-chain").hardlink_to(tmp_path / "c.chain")
    before = {path.name: path.lstat().st_ino for path in tmp_path.iterdir()}
    assert main(["old.bed", "c.chain", new, unmapped]) == 2
    found = capsys.readouterr().err
    assert message in found
    assert found.count("\n") == 1
    assert (tmp_path / "u").read_text() == "kept"
    assert {path.name: path.lstat().st_ino for path in tmp_path.iterdir()} == before


def test_an_output_that_is_a_link_is_followed(tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "result.bed"
    target.write_text("before")
    (tmp_path / "new.bed").symlink_to(target)
    (tmp_path / "lost.bed").symlink_to("elsewhere/lost.bed")  # leads nowhere yet
    mapped, _ = lift(tmp_path, "tA\t110\t120\n")
    assert (tmp_path / "new.bed").is_symlink()
    assert target.read_text() == mapped == "qA\t1010\t1020\n"
    assert (tmp_path / "elsewhere" / "lost.bed").read_text() == ""


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which $LIFT is the command."""
    lift_command = f"{sys.executable} -m ssldata.ucsc_tool.ucsc_command"
    return subprocess.run(
        ["bash", "-c", command.replace("$LIFT", lift_command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        "$LIFT <(cat in.bed) <(cat c.chain) o u; cat o",
        "cat c.chain | $LIFT in.bed /dev/stdin o u; cat o",
        "$LIFT in.bed c.chain /dev/stdout /dev/null",
        "$LIFT in.bed c.chain /dev/stdout /dev/stdout",
        "$LIFT in.bed c.chain >(cat) u 2>e; cat e >&2",
        "mkfifo p; cat c.chain > p & $LIFT in.bed p stdout u",
        "gzip c.chain; $LIFT in.bed <(cat c.chain.gz) - u",
    ],
)
def test_pipes_and_devices(command, tmp_path) -> None:
    (tmp_path / "in.bed").write_text("tA\t110\t120\n")
    (tmp_path / "c.chain").write_text(CHAINS)
    done = shell(tmp_path, command)
    assert done.stdout == "qA\t1010\t1020\n"
    assert done.stderr == "1 of 1 intervals mapped\n"


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("$LIFT in.bed c.chain stdout u > u", 2, "the same file"),
        ("$LIFT stdin c.chain u /dev/null < u", 2, "OLD would be overwritten"),
        ("$LIFT - stdin o u < in.bed", 2, "both be standard input"),
        ("$LIFT in.bed c.chain stdout u >&-", 2, "standard output is closed"),
        ("set -o pipefail; $LIFT in.bed c.chain stdout u | true", 141, ""),
    ],
)
def test_standard_streams_that_do_not_fit(command, code, words, tmp_path) -> None:
    (tmp_path / "in.bed").write_text("tA\t110\t120\n" * 50_000)
    (tmp_path / "c.chain").write_text(CHAINS)
    (tmp_path / "u").write_text("tA\t110\t120\n")
    done = shell(tmp_path, command)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == (code == 2)


def test_a_closed_stderr_adds_nothing_to_the_result(tmp_path) -> None:
    (tmp_path / "in.bed").write_text("tA\t110\t120\n")
    (tmp_path / "c.chain").write_text(CHAINS)
    assert shell(tmp_path, "$LIFT in.bed c.chain stdout u 2>&-").stdout == "qA\t1010\t1020\n"


def test_numbers_as_the_tool_reads_them(tmp_path) -> None:
    mapped, unmapped = lift(tmp_path, "tA\t0110\t120-7\tx\ntA\t--5\t0\ty\n")
    assert mapped == "qA\t1010\t1020\tx\n"
    assert unmapped == "#Deleted in new\ntA\t0\t0\ty\n"


def test_an_interval_of_no_width_gives_a_region_of_no_width(tmp_path) -> None:
    bed = "tA\t1010\t1010\nz\t5\t5\n"
    mapped, _ = lift(tmp_path, bed, "-multiple", "-noSerial")
    assert mapped == "qB\t2989\t2989\ttA:1011-1010\n"
    mapped, unmapped = lift(tmp_path, bed, "-multiple", "-minSizeQ=1")
    assert (mapped, unmapped.count("#Deleted in new\n")) == ("", 2)


def test_minus_zero_match(tmp_path, capsys) -> None:
    # Two chains span the interval, one of them with a gap: the tool counts both.
    bed = "tA\t3160\t3170\tx\ntA\t110\t120\ty\n"
    mapped, unmapped = lift(tmp_path, bed, "-minMatch=0")
    assert mapped == "qA\t1010\t1020\ty\n"
    assert unmapped == "#Duplicated in new\ntA\t3160\t3170\tx\n"
    # With -multiple such a gap stops the run, unless its chain does not take part.
    bed = "tA\t3160\t3170\tx\n"
    mapped, _ = lift(tmp_path, bed, "-minMatch=0", "-multiple", "-minChainT=90", "-minSizeQ=11",
                     chain=CHAINS.split("chain 2000")[0])  # fmt: skip
    assert mapped == ""
    for name in ("new.bed", "lost.bed"):
        (tmp_path / name).unlink()
    capsys.readouterr()
    message = failure(tmp_path, capsys, "#\ntA\t1\t2\ntA\t205\t245\n", "-minMatch=0")
    assert "line 3: with -minMatch=0" in message
    message = failure(tmp_path, capsys, bed, "-minMatch=0", "-multiple")
    assert "line 1: with -minMatch=0" in message


# -ends


def test_ends(tmp_path) -> None:
    bed = (
        "tA\t1000\t1200\tminus\t0\t+\n"
        "tA\t3000\t3400\tgap_inside\t0\t-\n"
        "tA\t150\t240\tend_in_gap\t0\t+\n"
        "tA\t2010\t2190\ttwo_contigs\t0\t+\n"
    )
    mapped, unmapped = lift(tmp_path, bed, "-ends=20", "-minMatch=0.1")
    assert mapped == "qB\t2795\t3000\tminus\t0\t-\nqA\t4000\t4250\tgap_inside\t0\t-\n"
    assert unmapped == (
        "#Deleted in new on one or both ends\ntA\t150\t240\tend_in_gap\t0\t+\n"
        "#ends mapped differently or incompletely\ntA\t2010\t2190\ttwo_contigs\t0\t+\n"
    )


# Errors


@pytest.mark.parametrize(
    ("bed", "message"),
    [
        ("tA\t1\t2\n#\n\ntA\t1\n", "line 4: 2 columns, but the first row has 3"),
        ("tA\t1\t2\ntA\tx\t2\n", "line 2: column 2 must be a whole number, found 'x'"),
        ("tA\t1\t+2\n", "line 1: column 3 must be a whole number, found '+2'"),
        ("#\ntA\t5\t4\n", "line 2: the start 5 is after the end 4"),
        ("tA\t1\t9999999999\n", "line 1: position 9999999999 is out of range"),
        ("track name=a description=b c\ntA\t1\t2\n", "line 1: track and browser lines"),
        ("tA 1\n", "line 1: a BED file has at least 3 columns, found 2"),
        ("tA\t1\t2\tn\t0\t+\t1.5\t2\n", "narrowPeak and broadPeak need -bedPlus=6"),
        ("tA\t1\t2\n  #x\n", "line 2: 1 columns"),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_errors_name_the_line(bed, message, compiled, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(ucsc_command, "compiled_pays", lambda _: compiled)
    found = failure(tmp_path, capsys, bed)
    assert message in found
    assert str(tmp_path / "old.bed") in found


def test_a_failed_run_keeps_what_was_there(tmp_path) -> None:
    lift(tmp_path, "tA\t110\t120\n")
    before = (tmp_path / "new.bed").read_text()
    (tmp_path / "old.bed").write_text("tA\t110\t120\nx\n")
    names = [str(tmp_path / name) for name in ("old.bed", "c.chain", "new.bed", "lost.bed")]
    assert main(names) == 2
    assert (tmp_path / "new.bed").read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "c.chain", "lost.bed", "new.bed", "old.bed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b", "c"], "expected 4 file names"),
        (["a", "b", "c", "d", "-gff"], "only BED is read"),
        (["a", "b", "c", "d", "-minmatch=1"], "unknown option"),
        (["a", "b", "c", "d", "-minMatch=x"], "needs a number, found 'x'"),
        (["a", "b", "c", "d", "-minMatch=nan"], "must not be negative"),
        (["a", "b", "c", "d", "-minMatch", "0.1"], "give the value as -minMatch=VALUE"),
        (["a", "b", "c", "d", "-bedPlus=1.5"], "whole number"),
        (["a", "b", "c", "d", "-bedPlus=-1"], "must not be negative"),
        (["a", "b", "c", "d", "-multiple=1"], "has no value"),
        (["a", "b", "c", "d", "-minSizeQ=5"], "-minSizeQ has a meaning only with -multiple"),
        (["a", "b", "c", "d", "-noSerial"], "only with -multiple"),
        (["a", "b", "c", "d", "-tab"], "only with -bedPlus"),
        (["a", "b", "c", "d", "-hasBin"], "only with -bedPlus"),
        (["a", "b", "c", "d", "-ends=5", "-multiple"], "-ends cannot be used"),
        (["a", "b", "c", "d", "--compat", "v490"], "must be v491 or v492"),
        (["a", "b", "c", "c"], "the same file"),
    ],
)
def test_wrong_arguments(arguments, message, capsys) -> None:
    assert main(arguments) == 2
    found = capsys.readouterr().err
    assert message in found
    assert found.count("\n") == 1


def test_arguments() -> None:
    files, options, quiet = parse_arguments(
        [
            "-minMatch=.1",
            "a",
            "-multiple",
            "b",
            "--compat",
            "v491",
            "c",
            "d",
            "--quiet",
            "-minSizeT=3",
            "--minSizeQ=7",
        ]
    )
    assert files == ["a", "b", "c", "d"]
    assert quiet
    assert options == BedOptions(
        min_match=0.1, multiple=True, compat="v491", min_size_t=3, min_size_q=7
    )
    with pytest.raises(ConfigError):
        parse_arguments(["a"])


def test_usage_and_missing_files(tmp_path, capsys) -> None:
    assert main(["-help"]) == 0
    assert "-fudgeThick" in capsys.readouterr().out
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
    chain = tmp_path / "c.chain"
    chain.write_text(CHAINS)
    bed = tmp_path / "a.bed"
    bed.write_text("tA\t1\t2\n")
    lost = str(tmp_path / "lost")
    for files in (
        [str(tmp_path / "no"), str(chain), lost + "2", lost],
        [str(bed), str(tmp_path / "no"), lost + "2", lost],
        [str(bed), str(chain), str(tmp_path / "no" / "x"), lost],
        [str(tmp_path), str(chain), lost + "2", lost],
    ):
        assert main(files) == 2
        message = capsys.readouterr().err
        assert str(tmp_path) in message
        assert message.count("\n") == 1


def test_the_summary_counts_every_interval(tmp_path, capsys) -> None:
    lift(tmp_path, "tA\t110\t120\ntA\t205\t245\ntZ\t1\t2\ntA\t5000\t5010\n")
    assert (
        capsys.readouterr().err
        == ("2 of 4 intervals mapped" if False else "1 of 4 intervals mapped")
        + " (2 deleted, 1 duplicated)\n"
    )


# What it imports


def test_a_small_run_imports_no_framework(tmp_path) -> None:
    bed, chain = tmp_path / "a.bed", tmp_path / "c.chain"
    bed.write_text("tA\t110\t120\n")
    chain.write_text(CHAINS)
    script = (
        "import sys; from ssldata.ucsc_tool.ucsc_command import main;"
        f"assert main([{str(bed)!r}, {str(chain)!r}, 'stdout', '/dev/null', '--quiet']) == 0;"
        "print(' '.join(sorted(name for name in sys.modules if '.' not in name)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert out[0] == "qA\t1010\t1020"
    heavy = {"pandas", "tensorflow", "keras", "prefect", "typer", "dask", "distributed", "zarr",
             "pyranges", "pydantic", "rich", "scipy", "numba", "pooch"}  # fmt: skip
    assert not heavy & set(out[1].split())


def test_a_large_run_imports_only_numba(tmp_path) -> None:
    bed, chain = tmp_path / "a.bed", tmp_path / "c.chain"
    bed.write_text("tA\t110\t120\tx\n" * (ucsc_command.COMPILED_FROM_BYTES // 13 + 1))
    chain.write_text(CHAINS)
    script = (
        "import sys; from ssldata.ucsc_tool.ucsc_command import main;"
        f"code = main([{str(bed)!r}, {str(chain)!r}, {str(tmp_path / 'new')!r}, '/dev/null'],"
        "own_process=True); assert code == 0;"
        "print(' '.join(sorted(name for name in sys.modules if '.' not in name)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout
    modules = set(out.split())
    assert "numba" in modules
    assert not {"pandas", "tensorflow", "prefect", "typer", "dask", "scipy"} & modules
    assert (tmp_path / "new").read_text() == "qA\t1010\t1020\tx\n" * bed.read_text().count("\n")


# Two ways to read BED


def both_ways(text: bytes, options: BedOptions) -> list[object]:
    """Return what the strict and the compiled path answer: both texts, or the error."""
    answers: list[object] = []
    for compiled in (False, True):
        try:
            reader = BedReader(text, options=options, where="x")
            parts = [b"", b""]
            if reader.columns == 0:
                answers.append(parts)
                continue
            if compiled and bulk_bed.can_read(reader, options):
                for part in bulk_bed.lift_regular(reader, INDEX, options):
                    parts = [parts[0] + bytes(part.mapped), parts[1] + bytes(part.unmapped)]
            for part in lift_small(reader, INDEX, options):
                parts = [parts[0] + bytes(part.mapped), parts[1] + bytes(part.unmapped)]
            answers.append(parts)
        except InputError as error:
            answers.append(str(error))
    return answers


word = st.text(st.sampled_from("ab+-.0#é 1"), max_size=6).map(
    lambda text: text.encode().replace(b" ", b"")
)


@st.composite
def bed_text(draw) -> bytes:
    columns = draw(st.sampled_from([3, 3, 4, 5, 6, 6, 7, 9]))
    tab = draw(st.booleans())
    lines = []
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.integers(0, 30))
        if kind == 0:
            lines.append(draw(st.sampled_from([b"", b"# x\ty", b"  ", b" #", b"\t"])))
            continue
        start = draw(st.integers(0, 5200))
        fields = [
            draw(st.sampled_from([b"tA", b"tA", b"tA", b"ta", b"tB"])),
            str(start).encode(),
            str(start + draw(st.integers(0, 300))).encode(),
            *(draw(word) for _ in range(columns - 3)),
        ]
        if columns >= 6:
            fields[5] = draw(st.sampled_from([b"+", b"-", b".", b"+x", b""]))
        if kind == 1:
            fields[draw(st.integers(0, columns - 1))] = draw(
                st.sampled_from([b"-5", b"007", b"", b"1e3", b"+4", b"99999999999", b"12-3"])
            )
        elif kind == 2:
            fields = fields[:-1]
        if tab:
            lines.append(b"\t".join(fields))
        else:
            space = draw(st.sampled_from([b"\t", b" ", b"  ", b"\t "]))
            lines.append(space.join(field or b"." for field in fields))
            lines[-1] = draw(st.sampled_from([b"", b"", b" "])) + lines[-1]
            lines[-1] += draw(st.sampled_from([b"", b"", b" \t"]))
    newline = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    text = newline.join(lines)
    return text + draw(st.sampled_from([newline, newline, b""]))


bed_options = st.builds(
    BedOptions,
    min_match=st.sampled_from([0.01, 0.1, 0.95]),
    multiple=st.booleans(),
    no_serial=st.booleans(),
    bed_plus=st.sampled_from([0, 3, 4, 5, 6, 7]),
    tab=st.booleans(),
    min_size_q=st.sampled_from([0, 30]),
)


@settings(max_examples=400, deadline=None)
@given(bed_text(), bed_options)
@example(b"tA\t110\t120\t\n", BedOptions(bed_plus=3, tab=True))
@example(b"tA\t110\t120\t\t\t\n", BedOptions(bed_plus=3, tab=True))
@example(b"tA\t110\t120\tx\t\n", BedOptions(bed_plus=3, tab=True, multiple=True))
@example(b"tA\t110\t120\nb\t1\t2\r\n", BedOptions(bed_plus=3, tab=True))
def test_compiled_reading_is_strict_reading(text, options) -> None:
    strict, compiled = both_ways(text, options)
    assert compiled == strict


def test_compiled_writing_in_small_rounds(monkeypatch) -> None:
    monkeypatch.setattr(bulk_bed, "_BUFFER", 8)
    monkeypatch.setattr(bulk_bed, "_CHUNK", 3)
    rows = [f"tA\t{at}\t{at + 90}\t{'n' * (at % 50)}\t0\t-\n" for at in range(0, 5200, 50)]
    text = "".join(rows).encode()
    for multiple in (False, True):
        strict, compiled = both_ways(text, BedOptions(min_match=0.1, multiple=multiple))
        assert compiled == strict
        assert len(strict[0]) > 400
        assert len(strict[1]) > 400


def test_compiled_code_takes_no_named_tuples(tmp_path, monkeypatch) -> None:
    """Numba's cache would fail, not recompile, once the class of one is renamed."""
    monkeypatch.setattr(ucsc_command, "compiled_pays", lambda _: True)
    lift(tmp_path, "tA\t110\t120\nz\t5\t6\n")
    genome = tmp_path / "a.fa"
    genome.write_text(">a\nACGT\n")
    open_genome(genome).codes("a")
    compiled = {
        name: value.signatures
        for module in (bulk_bed_kernels, blocks_kernels, ucsc_kernels, gather_kernels)
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }
    assert compiled["read_rows"]
    assert compiled["gather_fasta"]
    for name, signatures in compiled.items():
        for signature in signatures:
            for kind in signature:
                assert not isinstance(kind, (NamedTuple, NamedUniTuple)), name
