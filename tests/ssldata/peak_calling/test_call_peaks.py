"""Reads checked, MACS3 called, peaks kept with what made them and entered in the project."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pysam
import pytest
import yaml

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.peak_calling.call_peaks import call_peaks
from ssldata.peak_calling.macs_command import PRESETS, MacsSettings, chosen_settings, macs_arguments
from ssldata.peak_calling.read_files import read_contigs
from ssldata.project.project_file import load_project

SIZE = 120_000
SITES = (20_000, 47_000, 81_000, 104_000)

#: A program with MACS3's command line: it writes a peak for each 1 kb with more than ten reads, and
#: its arguments.
FAKE = """#!{python}
import collections, os, sys
arguments = sys.argv[1:]
if arguments == ["--version"]:
    print(os.environ.get("FAKE_VERSION", "macs3 9.9"))
    sys.exit()
if os.environ.get("FAKE_FAILS"):
    print("INFO @ reading\\nERROR @ not enough paired peaks to build the model", file=sys.stderr)
    sys.exit(1)
with open(os.environ["FAKE_LOG"], "a") as log:
    log.write(" ".join(arguments) + "\\n")
value = lambda flag: arguments[arguments.index(flag) + 1]
counts = collections.Counter()
for path in arguments[arguments.index("-t") + 1 : ]:
    if path.startswith("-"):
        break
    for line in open(path):
        fields = line.split()
        counts[fields[0], int(fields[1]) // 1000] += 1
broad = "--broad" in arguments
suffix = "broadPeak" if broad else "narrowPeak"
with open(f"{{value('--outdir')}}/{{value('-n')}}_peaks.{{suffix}}", "w") as out:
    for number, ((contig, at), count) in enumerate(sorted(counts.items()), 1):
        if count > 10:
            row = [contig, at * 1000 + 400, at * 1000 + 600, f"{{value('-n')}}_peak_{{number}}"]
            row += [count, ".", 5.5, 9.1, 7.2] + ([] if broad else [100])
            out.write("\\t".join(map(str, row)) + "\\n")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a labelled genome of two contigs, and a program in place of MACS3."""
    folder = tmp_path / "p"
    folder.mkdir()
    bases = np.random.default_rng(0).choice(list("ACGT"), SIZE)
    (folder / "ref.fa").write_text(f">chr1\n{'N' * 500}{''.join(bases)}\n>chr2\nACGTNN\n")
    (folder / "old.bed").write_text("chr1\t1000\t1200\n")
    (folder / "project.yaml").write_text(
        "# mine\nname: p\nreference: {name: r, sequence: ref.fa, aliases: {one: chr1}}\n"
        "experiments: # measured\n  - name: Old   # first\n    peaks: old.bed\n"
        "training: {regimes: [sl]}\nsplit: {test: [chr2]}\n"
    )
    program = tmp_path / "bin/macs3"
    program.parent.mkdir()
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return folder


def macs(project: Path) -> Path:
    return project.parent / "bin/macs3"


def reads_at(sites: tuple[int, ...], *, each: int = 60, seed: int = 1) -> list[tuple[int, str]]:
    """Return starts and strands of 36 b reads of 200 b fragments around sites, and a background."""
    rng = np.random.default_rng(seed)
    rows = []
    middles = [m for site in sites for m in rng.normal(site, 40, each).astype(int)]
    middles += list(rng.integers(1_000, SIZE - 1_000, 1_500))
    for middle in middles:
        forward = rng.random() < 0.5
        rows.append((int(middle - 100 if forward else middle + 100 - 36), "+-"[not forward]))
    return sorted(rows)


def bed_of(path: Path, rows: list[tuple[int, str]], contig: str = "chr1") -> Path:
    text = "".join(f"{contig}\t{s}\t{s + 36}\tr{i}\t0\t{d}\n" for i, (s, d) in enumerate(rows))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text)
    return path


def bam_of(path: Path, rows: list[tuple[int, str]], *, paired: bool = False) -> Path:
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": SIZE + 500}]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for number, (start, strand) in enumerate(rows):
            read = pysam.AlignedSegment()
            read.query_name, read.query_sequence = f"r{number}", "A" * 36
            read.reference_id, read.reference_start, read.cigarstring = 0, start, "36M"
            read.mapping_quality = 60
            read.flag = 16 * (strand == "-") + (99 - 16 * (strand == "-") if paired else 0)
            if paired:
                read.next_reference_id, read.next_reference_start = 0, start + 164
                read.template_length = 200
            out.write(read)
    return path


def test_peaks_are_called_kept_with_a_record_and_entered(project: Path) -> None:
    reads = bed_of(project / "t.bed", reads_at(SITES))
    control = bed_of(project / "c.bed", reads_at((), seed=2))
    value = call_peaks(
        project, name="New", treatment=[reads], control=[control], macs=macs(project)
    )
    peaks = project / "peaks/New.narrowPeak"
    starts = [int(line.split("\t")[1]) for line in peaks.read_text().splitlines()]
    assert {site // 1000 * 1000 + 400 for site in SITES} <= set(starts)
    assert value["counts"]["peaks"] == len(starts)
    assert value["counts"]["reads"] == value["counts"]["on_genome"] == 1_740
    assert (value["called"], value["entered"]) == (True, True)
    text = (project / "project.yaml").read_text()
    assert "# mine" in text
    assert "  - name: Old   # first\n" in text
    assert [e.name for e in load_project(project).experiments] == ["Old", "New"]
    assert yaml.safe_load(text)["experiments"][1]["peaks"] == "peaks/New.narrowPeak"
    # All bases but N: 500 + 2 are N.
    assert f"-g {SIZE + 4} " in (project.parent / "log").read_text()
    record = json.loads((project / "peaks/New.json").read_text())
    assert record["made_by"]["macs3"] == "macs3 9.9"
    assert str(project) not in json.dumps(record)
    assert sorted(p.name for p in (project / "peaks").iterdir() if p.suffix != ".lock") == [
        "New.json",
        "New.narrowPeak",
    ]


def test_the_same_call_is_made_once_and_another_only_with_replace(project: Path) -> None:
    reads = bed_of(project / "t.bed", reads_at(SITES))
    options = {"name": "New", "treatment": [reads], "macs": macs(project)}
    call_peaks(project, **options)
    again = call_peaks(project, **options)
    assert (again["called"], again["entered"]) == (False, False)
    assert again["counts"]["peaks"] >= len(SITES)
    log = project.parent / "log"
    assert len(log.read_text().splitlines()) == 1
    stricter = MacsSettings(qvalue=0.01)
    with pytest.raises(ConfigError, match="--replace"):
        call_peaks(project, **options, settings=stricter)
    assert call_peaks(project, **options, settings=stricter, replace=True)["called"]
    assert "-q 0.01" in log.read_text().splitlines()[-1]
    # Peaks that somebody edited are no longer those of the record.
    with (project / "peaks/New.narrowPeak").open("a") as handle:
        handle.write("chr1\t5\t9\tx\t1\t.\t1\t1\t1\t2\n")
    with pytest.raises(ConfigError, match="changed since"):
        call_peaks(project, **options, settings=stricter)


def test_an_experiment_of_this_name_is_not_overwritten_unasked(project: Path) -> None:
    reads = bed_of(project / "t.bed", reads_at(SITES))
    with pytest.raises(ConfigError, match="another experiment 'Old'"):
        call_peaks(project, name="Old", treatment=[reads], macs=macs(project))
    call_peaks(project, name="Old", treatment=[reads], macs=macs(project), replace=True)
    assert load_project(project).experiments[0].peaks == project / "peaks/Old.narrowPeak"


def test_what_else_an_entry_says_stays(project: Path) -> None:
    """A width or motif that was added by hand, when peaks are called again or replaced."""
    reads = bed_of(project / "t.bed", reads_at(SITES))
    options = {"name": "New", "treatment": [reads], "macs": macs(project)}
    call_peaks(project, **options)
    file = project / "project.yaml"
    entered = "    peaks: peaks/New.narrowPeak\n"
    file.write_text(file.read_text().replace(entered, f"{entered}    width: 200\n"))
    assert not call_peaks(project, **options)["entered"]
    call_peaks(project, **options, settings=PRESETS["chip-histone"], replace=True)
    new = load_project(project).experiments[1]
    assert (new.width, new.peaks) == (200, project / "peaks/New.broadPeak")


def test_wrong_options_are_found_before_macs3_runs(project: Path) -> None:
    reads = bed_of(project / "t.bed", reads_at(SITES))
    options = {"treatment": [reads], "macs": macs(project)}
    for size in ("inf", "nan", "1e300", "0", -5, "many"):
        with pytest.raises(ConfigError, match="genome_size: expected a number of bases"):
            call_peaks(project, name="New", genome_size=size, **options)
    with pytest.raises(MissingInputError, match=r"black\.bed"):
        call_peaks(project, name="New", blacklist=project / "black.bed", **options)
    (project / "black.bed").write_text("chr1\tx\t5\n")
    with pytest.raises(InputError, match="line 1: expected contig, start and end"):
        call_peaks(project, name="New", blacklist=project / "black.bed", **options)
    with pytest.raises(ConfigError, match=r"another experiment 'Old', with the peaks .*old\.bed"):
        call_peaks(project, name="Old", **options)
    assert not (project.parent / "log").exists()
    assert not (project / "peaks").exists()


def test_a_dry_run_names_the_command_and_writes_nothing(project: Path) -> None:
    reads = bed_of(project / "t.bed.gz", reads_at(SITES))
    before = sorted(p.name for p in project.iterdir())
    value = call_peaks(project, name="New", treatment=[reads], macs=macs(project), dry_run=True)
    assert value["command"][:3] == ["macs3", "callpeak", "-t"]
    assert sorted(p.name for p in project.iterdir()) == before


def test_peaks_in_the_blacklist_are_left_out_and_counted(project: Path) -> None:
    reads = bed_of(project / "t.bed", reads_at(SITES))
    (project / "black.bed").write_text("one\t20500\t20700\n")  # overlaps [20400, 20600)
    options = {"treatment": [reads], "macs": macs(project)}
    every = call_peaks(project, name="All", **options)["counts"]["peaks"]
    some = call_peaks(project, name="Some", blacklist=project / "black.bed", **options)["counts"]
    assert (some["peaks"], some["blacklisted"]) == (every - 1, 1)
    (project / "black.bed").write_text("chr9\t1\t5\n")
    with pytest.raises(InputError, match="another assembly"):
        call_peaks(project, name="None", blacklist=project / "black.bed", **options)


@pytest.mark.parametrize(
    ("fails", "version", "message"),
    [("1", "macs3 9.9", "pass --nomodel --extsize 200"), ("", "macs3 9.9", "found no peak")],
)
def test_when_macs3_fails_or_finds_nothing_nothing_is_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, fails: str, version: str, message: str
) -> None:
    monkeypatch.setenv("FAKE_FAILS", fails)
    reads = bed_of(project / "t.bed", [(5_000, "+"), (9_000, "-")])
    text = (project / "project.yaml").read_text()
    with pytest.raises(InputError, match=message):
        call_peaks(project, name="New", treatment=[reads], macs=macs(project))
    assert (project / "project.yaml").read_text() == text
    assert not [p for p in (project / "peaks").iterdir() if p.suffix != ".lock"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def test_reads_of_every_format_are_recognised(tmp_path: Path) -> None:
    rows = reads_at(SITES)[:300]
    assert read_contigs(bed_of(tmp_path / "a.bed", rows)).format == "BED"
    assert read_contigs(bed_of(tmp_path / "a.bed.gz", rows)).contigs == {"chr1": 300}
    assert read_contigs(bam_of(tmp_path / "a.bam", rows)).format == "BAM"
    paired = read_contigs(bam_of(tmp_path / "p.bam", rows, paired=True))
    assert (paired.format, paired.reads) == ("BAMPE", 300)
    (tmp_path / "a.bedpe").write_text("chr1\t5\t205\nchr1\t9\t200\n")
    assert read_contigs(tmp_path / "a.bedpe").format == "BEDPE"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no mapped read"),
        ("# nothing\n", "no mapped read"),
        ("chr1\t5\t9\tr\t0\t.\n", r"line 1: expected \+ or -"),
        ("chr1\t5\t9\tr\t0\t+\nchr1\t7\n", "line 2: expected 6 columns"),
        ("chr1\t9\t9\tr\t0\t+\n", "has no bases"),
        ("chr1\tx\t9\tr\t0\t+\n", "line 1"),
    ],
)
def test_bed_that_holds_no_reads_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.bed").write_text(text)
    with pytest.raises(InputError, match=message):
        read_contigs(tmp_path / "a.bed")


def test_damaged_and_foreign_reads_are_one_line(project: Path) -> None:
    rows = reads_at(SITES)
    bam = bam_of(project / "t.bam", rows)
    _cut(bam)
    with pytest.raises(InputError, match=r"t\.bam"):
        read_contigs(bam)
    packed = bed_of(project / "t.bed.gz", rows)
    _cut(packed)
    with pytest.raises(InputError, match=r"t\.bed\.gz"):
        read_contigs(packed)
    (project / "x.cram").write_bytes(b"CRAM\3\0")
    with pytest.raises(InputError, match="samtools view -b"):
        read_contigs(project / "x.cram")
    with pytest.raises(MissingInputError, match="no such file of reads"):
        read_contigs(project / "none.bam")
    other = bed_of(project / "o.bed", rows, contig="I")
    options = {"name": "New", "macs": macs(project)}
    with pytest.raises(InputError, match="none of its 1,740 reads is on a contig"):
        call_peaks(project, treatment=[other], **options)
    good = bed_of(project / "g.bed", rows, contig="one")  # an alias of chr1
    with pytest.raises(InputError, match=r"o\.bed: none"):
        call_peaks(project, treatment=[good], control=[other], **options)
    with pytest.raises(ConfigError, match="named twice"):
        call_peaks(project, treatment=[good], control=[good], **options)
    whole = bam_of(project / "w.bam", rows)
    with pytest.raises(ConfigError, match="one format at a time"):
        call_peaks(project, treatment=[good, whole], **options)
    with pytest.raises(InputError, match="is a BAM file, but --format says BED"):
        read_contigs(whole, format="BED")
    with pytest.raises(InputError, match="are not paired"):
        read_contigs(whole, format="BAMPE")


def test_without_macs3_the_error_says_how_to_install_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = bed_of(project / "t.bed", reads_at(SITES))
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(MissingInputError, match=r"pip install 'crosslabel\[peaks\]'"):
        call_peaks(project, name="New", treatment=[reads])


def test_command_lines_of_the_presets() -> None:
    shared = {"name": "x", "genome_size": 100, "treatment": ["t"], "folder": "f"}
    plain = "callpeak -t t -f BAM -g 100 -n x --outdir f"
    one = macs_arguments(PRESETS["chip-tf"], format="BAM", **shared)
    assert " ".join(one) == f"{plain} --seed 0"
    atac = macs_arguments(PRESETS["atac"], format="BAM", **shared)
    assert " ".join(atac) == (
        f"{plain} --nomodel --shift -75 --extsize 150 --keep-dup all --seed 0"
    )
    pairs = macs_arguments(PRESETS["atac"], format="BAMPE", **shared)
    assert "--shift" not in pairs
    broad = chosen_settings("chip-histone", pvalue=1e-5)
    assert macs_arguments(broad, format="BED", **shared)[-5:] == [
        *("--broad", "-p", "1e-05", "--seed", "0")
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"qvalue": 0.1, "pvalue": 0.1}, "one of them"),
        ({"qvalue": 0.0}, "above 0"),
        ({"extsize": 100}, "unless nomodel"),
        ({"nomodel": True, "extsize": 0}, "above 0"),
        ({"keep_dup": "some"}, "auto, all or a number"),
    ],
)
def test_settings_that_contradict_each_other(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_settings("chip-tf", **given)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["BED", "BAM"])
def test_the_real_macs3_finds_planted_sites_and_writes_what_it_writes_alone(
    project: Path, tmp_path: Path, kind: str
) -> None:
    """Golden: the peaks are MACS3's own, byte for byte, and lie at the planted sites."""
    program = shutil.which("macs3", path=str(Path(sys.executable).parent)) or shutil.which("macs3")
    assert program, "pip install 'crosslabel[peaks]'"
    write, ending = (bed_of, "bed") if kind == "BED" else (bam_of, "bam")
    reads = write(project / f"t.{ending}", reads_at(SITES, each=200))
    control = write(project / f"c.{ending}", reads_at((), seed=2))
    settings = MacsSettings(nomodel=True, extsize=200)
    options = {"name": "New", "treatment": [reads], "control": [control], "settings": settings}
    call_peaks(project, **options, macs=program)
    found = (project / "peaks/New.narrowPeak").read_text()
    places = [(int(f[1]), int(f[2])) for f in map(str.split, found.splitlines())]
    assert [any(a <= site < b for a, b in places) for site in SITES] == [True] * len(SITES)
    assert len(places) <= len(SITES) + 1
    alone = tmp_path / "alone"
    command = [program, "callpeak", "-t", str(reads), "-c", str(control), "-f", kind]
    command += ["-g", str(SIZE + 4), "-n", "New", "--nomodel", "--extsize", "200"]
    subprocess.run([*command, "--outdir", str(alone)], check=True, capture_output=True)
    assert (alone / "New_peaks.narrowPeak").read_text() == found
