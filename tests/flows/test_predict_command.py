"""`crosslabel predict` as a user meets it: files, JSON, one line for every mistake."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prediction_tools import network, run_folder

from flows.cli import main
from ssldata.project.project_file import load_project
from sslmodels.prediction import predict_windows, window_sources
from sslmodels.prediction.trained_model import load_model

# Keras copies TensorFlow variables with np.array, which NumPy 2 comments on.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, built_world: Path) -> Path:
    """Return a folder of two runs."""
    folder = tmp_path_factory.mktemp("predict") / "runs"
    project = load_project(built_world)
    for seed in range(2):
        run_folder(folder / f"seed-{seed}", network(seed, outputs=1), project=project)
    return folder


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "two.fa"
    path.write_text(f">one\n{'ACGT' * 10}\n>two\n{'TTGCA' * 8}\n>short\nACGT\n")
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = main(["predict", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_records_of_the_length_of_the_model(runs, fasta, tmp_path, capsys):
    out = tmp_path / "scores.tsv"
    code, said, _ = run(capsys, runs, "--fasta", fasta, "--out", out, "--json")
    assert code == 0
    value = json.loads(said)
    assert value["models"] == [str(runs / f"seed-{seed}") for seed in range(2)]
    assert (value["windows"], value["windows_with_n"]) == (2, 0)
    assert value["skipped"] == {"contigs_shorter_than_a_window": 1, "bases_at_contig_ends": 0}
    table = pd.read_csv(out, sep="\t")
    assert list(table["contig"]) == ["one", "two"]
    scores = [load_model(runs / f"seed-{seed}").predict("ACGT" * 10)[0, 0] for seed in range(2)]
    assert table["alpha"][0] == pytest.approx(sum(scores) / 2, rel=1e-5)
    assert table["alpha_sd"][0] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5, rel=1e-4)


def test_a_keras_file_and_a_table_for_people(runs, fasta, tmp_path, capsys):
    words = (runs / "seed-0" / "model.keras", "--fasta", fasta, "-o", tmp_path / "s.bed")
    code, said, _ = run(capsys, *words, "--dry-run")
    assert code == 0
    assert "to do: " in said
    assert not (tmp_path / "s.bed").exists()
    code, said, _ = run(capsys, *words)
    assert code == 0
    assert "contigs shorter than a window" in said
    assert f"written: {tmp_path / 's.bed'}" in said
    assert f"unchanged: {tmp_path / 's.bed'}" in run(capsys, *words)[1]


def test_one_strand_and_a_chosen_contig(runs, fasta, tmp_path, capsys):
    out = tmp_path / "s.tsv"
    words = (runs / "seed-0", "--fasta", fasta, "-o", out, "--one-strand", "--contig", "two")
    assert run(capsys, *words)[0] == 0
    (score,) = pd.read_csv(out, sep="\t")["alpha"]
    expected = load_model(runs / "seed-0").predict("TTGCA" * 8, both_strands=False)[0, 0]
    assert score == pytest.approx(expected, rel=1e-5)


#: A command that kills itself once three blocks are scored.
_KILLED = """
import os, signal, sys
from flows.cli import main
from sslmodels.prediction import predict_windows, window_sources
window_sources.BLOCK = 100
write, left = predict_windows._write_part, [3]
def write_and_die(*part):
    write(*part)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
predict_windows._write_part = write_and_die
main(sys.argv[1:])
"""


def test_a_killed_process_is_continued(runs, tmp_path, capsys, monkeypatch):
    fasta = tmp_path / "long.fa"
    letters = np.random.default_rng(0).choice(list("ACGT"), 900)
    fasta.write_text(f">one\n{''.join(letters)}\n")
    words = [str(runs), "--fasta", str(fasta), "--stride", "1"]
    out = tmp_path / "s.tsv"
    killed = [sys.executable, "-c", _KILLED, "predict", *words, "-o", str(out)]
    done = subprocess.run(killed, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "s.tsv.parts").glob("*.npz"))) == 3
    monkeypatch.setattr(window_sources, "BLOCK", 100)
    scored = []
    genuine = predict_windows._write_part
    monkeypatch.setattr(
        predict_windows, "_write_part", lambda *part: (scored.append(part[1]), genuine(*part))
    )
    assert run(capsys, *words, "-o", out)[0] == 0
    assert scored == list(range(3, 9))
    assert run(capsys, *words, "-o", tmp_path / "whole.tsv")[0] == 0
    assert out.read_bytes() == (tmp_path / "whole.tsv").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give one of --fasta, --bed, --store, --all"),
        (["--fasta", "FASTA", "--all"], "found --fasta and --all"),
        (["--fasta", "gone.fa"], "gone.fa: no such file"),
        (["--bed", "gone.bed"], "gone.bed: no such file"),
        (["--bed", "BED"], "line 1: 'chr1'; expected contig, start, end"),
        (["--store", "gone.zarr"], "gone.zarr"),
        (["--all", "--genome", "gone.2bit"], "gone.2bit: no such file"),
        (["--fasta", "FASTA", "--stride", "0"], "for '--stride'"),
        (["--fasta", "FASTA", "--format", "wig"], "'wig' is not one of"),
        (["--fasta", "FASTA", "--calibrated"], "run `crosslabel evaluate"),
        (["--fasta", "FASTA", "--calibrated", "--one-strand"], "leave out --one-strand"),
        (["--fasta", "FASTA", "--contig", "three"], "no contig 'three'"),
        (["--fasta", "FASTA", "--project", "x"], "--project has no meaning"),
    ],
)
def test_mistakes_take_one_line_and_exit_code_2(
    runs, fasta, tmp_path, capsys, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.bed").write_text("chr1\n")
    places = {"FASTA": str(fasta), "BED": "bad.bed"}
    code, said, error = run(
        capsys, runs / "seed-0", "--out", "s.tsv", *(places.get(word, word) for word in words)
    )
    assert (code, said) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "s.tsv").exists()


@pytest.mark.parametrize("name", ["gone", "empty", "notes.keras"])
def test_runs_that_are_none(fasta, tmp_path, capsys, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.keras").write_text("notes")
    code, _, error = run(capsys, tmp_path / name, "--fasta", fasta, "-o", tmp_path / "s.tsv")
    assert code == 2
    assert name in error
    assert error.count("\n") == 1
