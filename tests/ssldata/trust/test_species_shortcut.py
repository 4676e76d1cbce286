"""A planted shortcut is found, a clean store passes, and lifted negatives remove the shortcut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_store import edit_root

from flows.cli import main
from ssldata.building.build_store import build_project
from ssldata.project.project_file import load_project
from ssldata.simulation.clade import small_clade
from ssldata.simulation.composition_shift import shift_composition
from ssldata.store.store import REFERENCE, Store, open_store
from ssldata.trust.findings import Finding
from ssldata.trust.matched_rows import RowDrawer
from ssldata.trust.species_shortcut import shortcut_findings

PLANTED = 0.25


def made(folder: Path, source: str, share: float) -> Store:
    """Build a world with a share of A and T of the relatives turned into G and C."""
    world = small_clade(folder, genomes=2, contig_size=60_000, peaks=(300, 20), farthest=0.1)
    if share:
        shift_composition(world, share)
    settings = yaml.safe_load(world.project_file.read_text())
    settings["negatives"] = {"source": source}
    world.project_file.write_text(yaml.safe_dump(settings))
    build_project(load_project(folder), experiments=["alpha"])
    return open_store(folder / "store" / "alpha.zarr")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made(tmp_path_factory.mktemp("clean") / "w", "reference", 0.0)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made(tmp_path_factory.mktemp("planted") / "w", "both", PLANTED)


def found_in(store: Store, *, source: str | None = None, **options: int) -> dict[str, Finding]:
    if source is not None:  # what is checked is what the store says that it is for
        store.attributes["negatives"] = {**store.attributes["negatives"], "source": source}
    return {finding.check: finding for finding in shortcut_findings(store, **options)}


def test_a_clean_store_passes(clean: Store) -> None:
    found = found_in(clean)
    marks = {check: finding.mark for check, finding in found.items()}
    assert marks == {
        "shortcut.composition": "note",
        "shortcut.genome": "pass",
        "shortcut.label": "pass",
        "shortcut.pretraining": "pass",
    }
    assert abs(float(found["shortcut.pretraining"].numbers["excess_auroc"] or 0)) < 0.1
    json.dumps([finding.as_json() for finding in found.values()])


def test_a_planted_shortcut_is_found_and_lifted_negatives_remove_it(planted: Store) -> None:
    reference = found_in(planted, source="reference")
    assert reference["shortcut.genome"].mark == "warn"
    assert reference["shortcut.pretraining"].mark == "fail"
    assert "lifted" in reference["shortcut.pretraining"].advice
    gaps = reference["shortcut.composition"].numbers
    # A quarter of the A and T, outside the sites.
    assert all(0.08 < float(gap or 0) < 0.2 for gap in gaps.values())
    lifted = found_in(planted, source="lifted")
    assert lifted["shortcut.pretraining"].mark == "pass"
    # The genomes are as different as before; they are no longer the classes.
    assert lifted["shortcut.genome"].mark == "note"


def test_too_few_loci_are_no_verdict(clean: Store) -> None:
    found = found_in(clean, rows=40)
    assert {finding.mark for finding in found.values()} == {"note"}
    assert "at least 50" in found["shortcut.pretraining"].summary


def test_drawn_rows_are_training_rows_of_the_same_loci(clean: Store) -> None:
    drawer = RowDrawer(clean, rows=60, seed=1)
    genome = clean.genomes[0]
    loci = drawer.shared_loci(genome)
    ours, theirs = drawer.labelled_positives(loci), drawer.homologues(loci, genome)
    assert len(loci) == len(ours) == len(theirs) == 60
    # The peak with most bases in the bin may be another one of the locus: a block beside it.
    assert (ours.block == theirs.block).mean() > 0.95
    again = RowDrawer(clean, rows=60, seed=1)
    np.testing.assert_array_equal(again.shared_loci(genome), loci)
    assert set(RowDrawer(clean, rows=60, seed=2).shared_loci(genome)) != set(loci)
    spread = drawer.spread(drawer.shared_loci())
    assert sorted(np.concatenate(list(spread.values()))) == sorted(drawer.shared_loci())
    assert len(spread) == len(clean.genomes)
    assert len(drawer.negatives(REFERENCE, 25)) == 25


def test_the_command(clean: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "shortcut", clean.location, "--json", "--seed", "3"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["mark"], value["seed"], len(value["findings"])) == ("note", 3, 4)
    assert main(["store", "shortcut", clean.location, "-v"]) == 0
    assert "shortcut.pretraining" in (said := capsys.readouterr().out)
    assert "Composition" in said


def test_the_command_fails_where_a_check_fails(
    planted: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_root(
        Path(planted.location),
        lambda root: root["attributes"]["crosslabel"]["negatives"].update(source="reference"),
    )
    assert main(["store", "shortcut", planted.location]) == 4
    assert "negatives.source" in " ".join(capsys.readouterr().out.split())
