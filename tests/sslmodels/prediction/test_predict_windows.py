"""Files of scores: their formats, continuing after a kill, homologues, and what is refused."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pyBigWig
import pytest
import zarr
from prediction_tools import network, run_folder

from ssldata.base.errors import ConfigError, InputError, MissingInputError
from ssldata.building.build_store import build_project
from ssldata.conservation.homologue_windows import HomologueWindows
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import decode
from ssldata.project.project_file import load_project
from ssldata.store.store import open_store
from sslmodels.prediction import window_sources
from sslmodels.prediction.prediction_request import PredictionRequest, run_prediction
from sslmodels.prediction.trained_model import Ensemble, load_model
from sslmodels.prediction.window_scorer import WindowScorer
from sslmodels.prediction.window_sources import StoreWindows

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LENGTH = 40


@pytest.fixture(scope="module")
def runs(tmp_path_factory, built_world) -> list[Path]:
    """Two runs of one output."""
    folder = tmp_path_factory.mktemp("runs")
    project = load_project(built_world)
    return [
        run_folder(folder / f"seed-{seed}", network(seed, outputs=1), project=project)
        for seed in range(2)
    ]


@pytest.fixture(scope="module")
def fasta(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("fasta") / "sequences.fa"
    rng = np.random.default_rng(0)
    sizes = {"a": 5000, "tiny": 12, "exact": LENGTH, "b": 777}
    with path.open("w") as handle:
        for name, size in sizes.items():
            codes = rng.integers(0, 4, size).astype(np.uint8)
            codes[size // 2 : size // 2 + size // 200] = 4
            handle.write(f">{name}\n{decode(codes)}\n")
    return path


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(window_sources, "BLOCK", 150)


def request(runs, out, **options) -> PredictionRequest:
    return PredictionRequest(models=runs, out=out, **options)


def expected_scores(runs, fasta, stride) -> pd.DataFrame:
    """The scores of all windows, one by one."""
    genome = open_genome(fasta)
    rows = [
        (name, start, start + LENGTH)
        for name, size in zip(genome.names, genome.sizes, strict=True)
        for start in range(0, int(size) - LENGTH + 1, stride)
    ]
    codes = np.stack([genome.codes(*row) for row in rows])
    mean, sd = Ensemble(runs).predict(codes)
    table = pd.DataFrame(rows, columns=["contig", "start", "end"])
    return table.assign(alpha=mean[:, 0], alpha_sd=sd[:, 0], n=(codes == 4).any(axis=1))


@pytest.mark.parametrize("name", ["s.tsv", "s.tsv.gz", "s.parquet", "s.bed", "s.zarr"])
def test_every_format_holds_all_windows(runs, fasta, tmp_path, name):
    out = tmp_path / name
    value = run_prediction(request(runs, out, fasta=fasta, stride=7))
    expected = expected_scores(runs, fasta, 7)
    columns = ["contig", "start", "end", "alpha", "alpha_sd"]
    if name.endswith("zarr"):
        group = zarr.open_group(out, mode="r")
        contigs = np.array(group.attrs["contigs"])[group["contig"][:]]
        found = pd.DataFrame(
            {"contig": contigs, "start": group["start"][:], "end": group["end"][:]}
        )
        for i, column in enumerate(group.attrs["columns"]):
            found[column] = group["score"][:, i]
    elif name.endswith("parquet"):
        found = pyarrow.parquet.read_table(out).to_pandas()
    elif name.endswith("bed"):
        names = [*columns[:3], "name", "score", "strand", *columns[3:]]
        found = pd.read_csv(out, sep="\t", names=names)
        assert set(found.pop("name")) == set(found.pop("strand")) == {"."}
        np.testing.assert_array_equal(found.pop("score"), np.rint(1000 * found["alpha"]))
    else:
        found = pd.read_csv(out, sep="\t")
    assert list(found.columns) == columns == [*columns[:3], *value["columns"]]
    for column in columns[:3]:
        assert list(found[column]) == list(expected[column])
    for column in columns[3:]:
        np.testing.assert_allclose(found[column], expected[column], atol=1e-5)
    assert value["status"] == "written"
    assert value["windows"] == len(expected)
    assert value["windows_with_n"] == expected["n"].sum() > 0
    assert value["skipped"]["contigs_shorter_than_a_window"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.json"}


@pytest.mark.parametrize("stride", [7, 60])
def test_a_bigwig_has_each_window_at_its_central_bases(runs, fasta, tmp_path, stride):
    value = run_prediction(request(runs, tmp_path / "s.bw", fasta=fasta, stride=stride))
    assert value["files"] == [str(tmp_path / f"s.{name}.bw") for name in ("alpha", "alpha_sd")]
    expected = expected_scores(runs, fasta, stride)
    for path, column in zip(value["files"], ("alpha", "alpha_sd"), strict=True):
        with contextlib.closing(pyBigWig.open(path)) as file:
            assert file.chroms() == {"a": 5000, "tiny": 12, "exact": LENGTH, "b": 777}
            width = min(stride, LENGTH)
            for contig, rows in expected.groupby("contig"):
                found = file.intervals(contig)
                first = rows["start"].to_numpy() + (LENGTH - width) // 2
                assert [i[0] for i in found] == list(first)
                assert [i[1] for i in found] == list(first + width)
                np.testing.assert_allclose([i[2] for i in found], rows[column], atol=1e-5)
    one = run_prediction(request(runs[:1], tmp_path / "one.bw", fasta=fasta))
    assert one["files"] == [str(tmp_path / "one.bw")]


def test_intervals_keep_their_names_and_strands(runs, built_world, tmp_path):
    (tmp_path / "in.bed").write_text("chr1\t1000\t1200\tx\t0\t-\nchr1\t2000\t2001\n")
    out = tmp_path / "out.tsv"
    value = run_prediction(request(runs[:1], out, bed=tmp_path / "in.bed", both_strands=False))
    found = pd.read_csv(out, sep="\t")
    assert found.iloc[:, :5].to_numpy().tolist() == [
        ["chr1", 1000, 1200, "x", "-"],
        ["chr1", 2000, 2001, ".", "+"],
    ]
    genome = open_genome(load_project(built_world).reference.sequence)
    index = genome.index("chr1")
    codes = genome.gather([index, index], [1080, 1980], LENGTH, [-1, 1])
    expected = load_model(runs[0]).predict(codes, both_strands=False)
    np.testing.assert_allclose(found["alpha"], expected[:, 0], rtol=1e-6)
    assert value["columns"] == ["alpha"]
    assert value["windows_on_minus_strand"] == 1


def test_a_whole_genome_is_that_of_the_project_by_default(runs, built_world, tmp_path):
    sequence = load_project(built_world).reference.sequence
    named = run_prediction(
        request(runs[:1], tmp_path / "a.tsv", everything=True, genome=sequence, stride=50)
    )
    run_prediction(request(runs[:1], tmp_path / "b.tsv", everything=True, stride=50))
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()
    assert named["windows"] > 1000


class StopAt:
    """A progress that interrupts once so many windows are done; counts the tasks' windows."""

    def __init__(self, windows: float) -> None:
        self.left = windows

    @contextlib.contextmanager
    def task(self, description, total=None):
        def advance(amount: float = 1) -> None:
            self.left -= amount
            if self.left <= 0:
                raise KeyboardInterrupt

        yield advance


@pytest.mark.parametrize("name", ["s.tsv", "s.bed.gz", "s.bw", "s.parquet", "s.zarr"])
def test_a_killed_command_continues_to_the_same_bytes(runs, fasta, tmp_path, monkeypatch, name):
    def files(folder: Path) -> dict[str, bytes]:
        found = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".json")
        return {str(p.relative_to(folder)): p.read_bytes() for p in found}

    whole, cut = tmp_path / "whole" / name, tmp_path / "cut" / name
    total = run_prediction(request(runs[:1], whole, fasta=fasta, stride=7))["windows"]
    scored = []
    genuine = WindowScorer.block

    def counted(self, source, block):
        scored.append(len(block))
        return genuine(self, source, block)

    monkeypatch.setattr(WindowScorer, "block", counted)
    # Twice while scoring, once while the file is written.
    for windows in (200, 500, total + 200):
        with pytest.raises(KeyboardInterrupt):
            run_prediction(request(runs[:1], cut, fasta=fasta, stride=7), progress=StopAt(windows))
        assert not cut.exists()
    (tmp_path / "cut" / f"{name}.parts" / "x.npz.123.partial").touch()  # of a killed writer
    value = run_prediction(request(runs[:1], cut, fasta=fasta, stride=7))
    assert sum(scored) == total == value["windows"]
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert {p.name for p in cut.parent.iterdir()} == {p.name for p in whole.parent.iterdir()}


def test_parts_of_other_options_are_not_used(runs, fasta, tmp_path):
    out = tmp_path / "s.tsv"
    with pytest.raises(KeyboardInterrupt):
        run_prediction(request(runs[:1], out, fasta=fasta, stride=7), progress=StopAt(200))
    run_prediction(request(runs[1:], out, fasta=fasta, stride=7))
    run_prediction(request(runs[1:], tmp_path / "again.tsv", fasta=fasta, stride=7))
    assert out.read_bytes() == (tmp_path / "again.tsv").read_bytes()


def test_what_is_done_is_left_alone_and_what_differs_is_kept(runs, fasta, tmp_path):
    out = tmp_path / "s.tsv"
    asked = request(runs[:1], out, fasta=fasta)
    dry = run_prediction(asked, dry_run=True)
    assert dry["status"] == "to do"
    assert list(tmp_path.iterdir()) == []
    first = run_prediction(asked)
    assert {**first, "windows_with_n": 0} == {**dry, "status": "written", "windows_with_n": 0}
    stamp = out.stat().st_mtime_ns
    assert run_prediction(asked) == {**first, "status": "unchanged"}
    assert out.stat().st_mtime_ns == stamp
    other = request(runs, out, fasta=fasta)
    with pytest.raises(ConfigError, match="exists, made of other windows, models or options"):
        run_prediction(other)
    assert run_prediction(other, replace=True)["status"] == "written"
    assert len(pd.read_csv(out, sep="\t").columns) == 5


# -- homologues ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lifted_bins(small_world, tmp_path_factory) -> Path:
    """The small project built with `windows.mode: lift-bins`."""
    folder = tmp_path_factory.mktemp("lifted") / "small"
    shutil.copytree(small_world, folder)
    project = load_project(folder)
    windows = project.windows.model_copy(update={"mode": "lift-bins"})
    build_project(project.model_copy(update={"windows": windows}), experiments=["alpha"])
    return folder


def test_homologues_are_the_rows_of_a_store(lifted_bins):
    """Every lift-bins row of a target genome is the homologue of its source bin."""
    project = load_project(lifted_bins)
    store = open_store(project.store_path("alpha"))
    length = store.group("reference").length
    source = StoreWindows(store, length=length)
    contigs = [int(i) for i in range(len(source.contigs))]
    assert contigs
    homologues = HomologueWindows(project, length=length, contigs=source.contigs)
    sources = store.sources()
    where = {}
    for block in source.blocks():
        where_are = block.contig, block.start, block.end, block.strand
        for number, rows, codes in homologues.of(*where_are):
            genome = homologues.names[number]
            for row, code in zip(rows, codes, strict=True):
                key = (genome, int(block.contig[row]), int(block.start[row]))
                where[key] = code
    checked = 0
    for genome in store.genomes:
        group = store.homologues(genome)
        for row, number in enumerate(group.column("source")):
            key = (genome, int(sources["contig"][number]), int(sources["start"][number]))
            np.testing.assert_array_equal(where[key], group.codes(row, row + 1)[0])
            checked += 1
    assert checked > 50


def test_the_mean_over_homologues_and_their_number(lifted_bins, tmp_path):
    project = load_project(lifted_bins)
    run = run_folder(tmp_path / "run", network(outputs=1), project=project)
    location = str(project.store_path("alpha"))
    asked = {"store": location, "split": "test"}
    run_prediction(request([run], tmp_path / "with.tsv", homologues=True, **asked))
    run_prediction(request([run], tmp_path / "without.tsv", **asked))
    found = pd.read_csv(tmp_path / "with.tsv", sep="\t")
    plain = pd.read_csv(tmp_path / "without.tsv", sep="\t")
    assert list(found.columns) == ["contig", "start", "end", "strand", "alpha", "genomes"]
    assert set(found["genomes"]) <= set(range(1, 2 + len(project.genomes)))
    assert found["genomes"].max() == 1 + len(project.genomes)
    model = load_model(run)
    source = StoreWindows(open_store(location), length=LENGTH, split="test")
    homologues = HomologueWindows(project, length=LENGTH, contigs=source.contigs)
    total = plain["alpha"].to_numpy().copy()
    count = np.ones(len(total))
    at = 0
    for block in source.blocks():
        for _, rows, codes in homologues.of(block.contig, block.start, block.end, block.strand):
            total[at + rows] += model.predict(codes)[:, 0]
            count[at + rows] += 1
        at += len(block)
    np.testing.assert_array_equal(found["genomes"], count)
    np.testing.assert_allclose(found["alpha"], total / count, rtol=1e-5)


def test_homologues_need_the_labelled_genome(runs, fasta, tmp_path, built_world):
    with pytest.raises(ConfigError, match="not the labelled genome of the project"):
        run_prediction(
            request(runs, tmp_path / "s.tsv", everything=True, genome=fasta, homologues=True)
        )
    project = load_project(built_world)
    training = project.training.model_copy(update={"regimes": ["sl"]})
    project = project.model_copy(update={"genomes": [], "training": training})
    run = run_folder(tmp_path / "run", network(), project=project, outputs=["a", "b"])
    with pytest.raises(ConfigError, match="lists no target genome"):
        run_prediction(request([run], tmp_path / "s.tsv", everything=True, homologues=True))


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "found none; give one of --fasta, --bed, --store, --all"),
        ({"fasta": Path("x"), "everything": True}, "found --fasta and --all"),
        ({"bed": Path("x"), "stride": 5}, "--stride has no meaning with --bed"),
        ({"fasta": Path("x"), "genome": Path("y")}, "--genome has no meaning with --fasta"),
        ({"store": "x", "contigs": ("chr1",)}, "--contig has no meaning with --store"),
        ({"fasta": Path("x"), "split": "test"}, "--split has no meaning with --fasta"),
        ({"everything": True, "group": "homologs/x"}, "--group has no meaning with --all"),
        ({"fasta": Path("x"), "homologues": True}, "--homologues has no meaning with --fasta"),
        (
            {"store": "x", "group": "homologs/y", "homologues": True},
            "holds homologues already",
        ),
        (
            {"fasta": Path("x"), "calibration": "isotonic", "both_strands": False},
            "leave out --one-strand",
        ),
    ],
)
def test_options_that_contradict_each_other(runs, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        run_prediction(request(runs, tmp_path / "s.tsv", **options))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("scores", {}, "no format of this name; name one with --format: bed, tsv"),
        ("s.parquet.gz", {}, "parquet is compressed already"),
        ("s.tsv", {"contigs": ("chr9",)}, "no contig 'chr9'"),
        ("s.tsv", {"contigs": ("tiny",)}, "no window to score .1 contigs shorter than a window"),
        ("s.tsv", {"calibration": "isotonic"}, "run `crosslabel evaluate"),
    ],
)
def test_requests_that_cannot_be_met(runs, fasta, tmp_path, name, options, message):
    with pytest.raises((ConfigError, InputError, MissingInputError), match=message):
        run_prediction(request(runs, tmp_path / name, fasta=fasta, **options))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "package"), [("s.bw", "pyBigWig"), ("s.parquet", "pyarrow")])
def test_a_format_whose_package_is_missing(runs, fasta, tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"needs the package {package}: pip install 'crossl"):
        run_prediction(request(runs, tmp_path / name, fasta=fasta))


def test_a_folder_of_something_else_is_never_removed(runs, fasta, tmp_path):
    (tmp_path / "store.zarr").mkdir()
    (tmp_path / "store.zarr" / "zarr.json").write_text("{}")
    asked = request(runs, tmp_path / "store.zarr", fasta=fasta)
    for replace in (False, True):
        with pytest.raises(ConfigError, match=r"exists, made of other|did not write"):
            run_prediction(asked, replace=replace)
    assert (tmp_path / "store.zarr" / "zarr.json").read_text() == "{}"
    run_prediction(request(runs, tmp_path / "s.zarr", fasta=fasta))
    again = request(runs[:1], tmp_path / "s.zarr", fasta=fasta)
    assert run_prediction(again, replace=True)["status"] == "written"


def test_a_bigwig_of_intervals_is_refused(runs, tmp_path):
    (tmp_path / "in.bed").write_text("chr1\t1000\t1200\n")
    with pytest.raises(ConfigError, match="bigWig holds scores along contigs"):
        run_prediction(request(runs, tmp_path / "s.bw", bed=tmp_path / "in.bed"))


def test_a_model_without_its_project_needs_a_genome(tmp_path):
    network().save(tmp_path / "alone.keras")
    with pytest.raises(MissingInputError, match="name the genome with --genome"):
        run_prediction(request([tmp_path / "alone.keras"], tmp_path / "s.tsv", everything=True))


def test_the_scores_of_the_first_release(tmp_path):
    """A saved model, sequences with an N and one too short, and the file they gave."""
    golden = Path(__file__).resolve().parents[2] / "golden"
    model = golden / "saved-models" / "sequence.keras"
    fasta = golden / "predictions" / "sequences.fa"
    value = run_prediction(request([model], tmp_path / "s.tsv", fasta=fasta, stride=13))
    assert value["skipped"] == {"contigs_shorter_than_a_window": 1, "bases_at_contig_ends": 5}
    assert value["windows_with_n"] == 3
    found, expected = (
        pd.read_csv(path, sep="\t")
        for path in (tmp_path / "s.tsv", golden / "predictions" / "scores.tsv")
    )
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-5)


def test_the_record_says_what_the_file_was_made_of(runs, fasta, tmp_path):
    run_prediction(request(runs, tmp_path / "s.tsv", fasta=fasta))
    record = json.loads((tmp_path / "s.tsv.json").read_text())
    assert len(record["identity"]["models"]) == 2
    assert record["summary"]["windows"] == len(pd.read_csv(tmp_path / "s.tsv", sep="\t"))
