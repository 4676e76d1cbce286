"""Findings on the liftover of genomes: which are flagged, and which are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ssldata.lift_checks.lift_findings import lift_findings, outliers
from ssldata.lift_checks.lift_quality import LiftQuality, jukes_cantor, lift_quality
from ssldata.lift_checks.proportions import interval_text, share_of
from ssldata.trust.findings import Finding


def genome(name: str, identity: float, mapped: float, **other: Any) -> LiftQuality:
    count = round(1_000 * mapped)
    return replace(
        LiftQuality(
            name, 1_000, count, 0, 0, 0, 0, 1_000 - count, 0, identity, identity, identity, 0.97,
            1.0, 0.01, 0.1, 0.01, 0.01, 12, 9, 0.0, rows=count,
        ),
        **other,
    )  # fmt: skip


CLADE = [
    genome("a", 0.98, 0.98), genome("b", 0.90, 0.95), genome("c", 0.89, 0.96),
    genome("d", 0.75, 0.80), genome("e", 0.70, 0.70),
]  # fmt: skip


def by_check(measured: list[LiftQuality]) -> dict[str, Finding]:
    return {f.check: f for f in lift_findings(measured)}


def test_a_clade_whose_losses_grow_with_distance_is_clean() -> None:
    found, alone = outliers(CLADE)
    assert (found, alone) == ([], ["e"])
    assert {f.mark for f in lift_findings(CLADE)} <= {"pass", "note"}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("not mapped", {"mapped": 500, "unmapped": 500}),
        ("several places", {"several": 220}),
        ("not aligned", {"aligned": 0.7}),
        ("strand turned", {"turned": 0.3}),
        ("contig broken", {"broken": 0.4}),
        ("place shared", {"shared": 0.2}),
        ("rows with N", {"has_n": 400}),
    ],
)
def test_a_near_genome_of_low_quality_is_flagged(what: str, change: dict[str, Any]) -> None:
    for number in range(4):
        measured = [*CLADE]
        measured[number] = replace(measured[number], **change)
        found, _ = outliers(measured)
        assert (measured[number].genome, what) in {(o.genome, o.what) for o in found}
        assert {o.genome for o in found} == {measured[number].genome}
        assert by_check(measured)["quality.outliers"].mark == "warn"


def test_two_genomes_suffice_and_one_does_not() -> None:
    pair = [genome("near", 0.95, 0.6), genome("far", 0.8, 0.8)]
    assert {o.genome for o in outliers(pair)[0]} == {"near"}
    assert by_check(pair[:1])["quality.outliers"].mark == "note"


def test_a_genome_of_few_sources_is_not_flagged_for_its_luck() -> None:
    few = [replace(genome("a", 0.9, 0.8), sources=10, mapped=8), genome("b", 0.8, 0.9)]
    assert outliers(few)[0] == []


def test_almost_nothing_mapped_is_a_failure() -> None:
    measured = [*CLADE, genome("none", 0.26, 0.005)]
    assert by_check(measured)["quality.mapped"].mark == "fail"
    assert by_check([*CLADE, genome("few", 0.26, 0.05)])["quality.mapped"].mark == "warn"


def test_absolute_limits_need_no_other_genome() -> None:
    for change in ({"n": 0.2}, {"other_length": 0.3}):
        found = by_check([genome("far", 0.7, 0.7, **change)])["quality.homologues"]
        assert found.mark == "warn"


def test_the_stated_distance_is_a_limit() -> None:
    stated = [replace(q, stated=q.distance) for q in CLADE]
    assert by_check(stated)["quality.distance"].mark == "pass"
    stated[0] = replace(stated[0], mean_identity=0.85)
    assert by_check(stated)["quality.distance"].mark == "warn"
    assert by_check(CLADE)["quality.distance"].mark == "note"


def test_what_coordinates_tell() -> None:
    """Four peaks and a negative: the third is turned, the last two lie on one place."""
    sources = {
        "contig": np.zeros(6, np.int32),
        "start": np.array([0, 1_000, 2_000, 3_000, 4_000, 5_000]),
        "end": np.array([200, 1_200, 2_200, 3_200, 4_200, 5_200]),
        "label": np.array([[1], [1], [1], [1], [1], [0]], np.uint8),
    }
    lifted = {
        "status": np.array([0, 0, 0, 0, 5, 0], np.int8),
        "contig": np.array([0, 0, 0, 1, -1, 0], np.int32),
        "start": np.array([100, 1_100, 1_150, 50, -1, 0]),
        "end": np.array([300, 1_300, 1_350, 550, -1, 10]),
        "strand": np.array([1, 1, -1, 1, 0, 1], np.int8),
        "aligned": np.array([200, 200, 100, 100, 0, 0]),
        "pieces": np.array([1, 2, 1, 1, 3, 1], np.int32),
        "identity": np.array([1, 0.9, 0.8, 0.7, 0, 0], np.float32),
    }
    q = lift_quality("g", sources, lifted, counts={"rows": 7, "has_n": 2}, stated=0.1)
    assert (q.sources, q.mapped, q.merged, q.several, q.distant, q.unmapped) == (5, 4, 1, 1, 1, 0)
    assert (q.minus, q.turned, q.broken, q.shared) == (0.25, 0.5, pytest.approx(1 / 3), 0.5)
    assert (q.aligned, q.other_length, q.length_ratio) == (0.75, 0.25, 1)
    assert (q.contigs, q.contigs_of_most, q.rows, q.has_n, q.stated) == (2, 2, 7, 2, 0.1)
    assert q.mean_identity == pytest.approx(0.85)


def test_nothing_mapped_gives_no_numbers_and_no_error() -> None:
    empty = LiftQuality("g", 5, 0, 0, 0, 0, 0, 5, 0)
    assert by_check([empty])["quality.mapped"].mark == "fail"
    assert by_check([empty, genome("a", 0.9, 0.9)])["quality.outliers"].mark == "note"


def test_jukes_and_cantor() -> None:
    assert jukes_cantor(1.0) == 0
    assert jukes_cantor(0.25) is None
    assert jukes_cantor(0.25 + 0.75 * float(np.exp(-4 / 3 * 0.3))) == pytest.approx(0.3)


def test_intervals_of_shares() -> None:
    """Agresti and Coull (1998), Table 1 style: 8 of 10 is .49 to .94; half the loci, wider."""
    share = share_of(8, 10)
    assert share == (0.8, pytest.approx(0.490, abs=5e-4), pytest.approx(0.943, abs=5e-4))
    assert share_of(0, 9).low == 0.0
    assert share_of(9, 9).high == 1.0
    wide, narrow = share_of(50, 100, independent=10), share_of(50, 100)
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low
    assert interval_text(share_of(0, 0)) == "–"
