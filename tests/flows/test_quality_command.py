"""`crosslabel store quality` and `audit-labels` as a user meets them: JSON, tables, exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flows.cli import main
from ssldata.genomes.genome import open_genome
from ssldata.project.project_file import load_project
from ssldata.simulation.clade_files import fasta_text, write_bytes


def test_quality_says_all_and_exits_for_scripts(
    built_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(built_world / "store" / "alpha.zarr")
    assert main(["store", "quality", store]) == 0
    shown = capsys.readouterr().out
    assert "What became of the sources in each genome" in shown
    assert "relative2" in shown
    # A project whose first relative lost the end of a contig: its chain is of another assembly.
    folder = tmp_path / "world"
    shutil.copytree(built_world, folder, ignore=shutil.ignore_patterns("store"))
    path = load_project(folder).genomes[0].sequence
    genome = open_genome(path)
    codes = {name: genome.codes(name) for name in genome.names}
    largest = max(codes, key=lambda name: len(codes[name]))
    codes[largest] = codes[largest][:-10]
    records = [(n, c.clip(0, 3), (c > 3).astype("u1") * 2) for n, c in codes.items()]
    write_bytes(path, fasta_text(records, width=60))
    assert main(["store", "quality", store, "--project", str(folder), "--json"]) == 4
    value = json.loads(capsys.readouterr().out)
    marks = {f["check"]: f["mark"] for f in value["findings"]}
    assert (value["mark"], marks["quality.chain"]) == ("fail", "fail")
    assert main(["store", "quality", store, "--tree", str(tmp_path / "none")]) == 2


def test_audit_labels_exits_for_scripts(
    built_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(built_world / "store" / "alpha.zarr")
    genome = open_genome(load_project(built_world).genomes[0].sequence)
    bed = tmp_path / "far.bed"
    bed.write_text("".join(f"old_{n}\t{s // 2}\t{s // 2 + 1}\r\n" for n, s in
                           zip(genome.names, genome.sizes.tolist(), strict=True)))  # fmt: skip
    words = ["store", "audit-labels", store, "--peaks", str(bed), "--genome", "relative1"]
    assert main(words) == 2
    assert "none of" in capsys.readouterr().err
    aliases = [word for n in genome.names for word in ("--alias", f"old_{n}={n}")]
    assert main([*words, "--width", "200", *aliases, "--json"]) == 4
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["numbers"]["measured_peaks"] == len(genome.names)
    assert main([*words, "--experiment", "beta"]) == 2
    assert main([*words, "--alias", "x"]) == 2
