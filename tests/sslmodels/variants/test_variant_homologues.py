"""Substitutions in homologues equal those put there by hand; what has none is left alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from variant_tools import CONTIGS, WINDOW, base, other, small_genome, small_model

from ssldata.base.errors import ConfigError
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import decode, encode, reverse_complement
from ssldata.project.project_file import load_project
from sslmodels.variants.effect_scores import EffectOptions
from sslmodels.variants.variant_effects import annotate_variants, variant_effects

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

#: Bases of chr1 that the inverted genome lacks.
LOST = slice(100, 103)


def turned(text: str) -> str:
    return decode(reverse_complement(encode(text)))


def relatives() -> dict[str, str]:
    """Return chr1 in two relatives: with other bases, and turned round without LOST."""
    letters = CONTIGS["chr1"].upper()
    changed = np.random.default_rng(3).random(400) < 0.1
    near = "".join(other(c) if change else c for c, change in zip(letters, changed, strict=True))
    return {"near": near, "turned": turned(letters[: LOST.start] + letters[LOST.stop :])}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    small_genome(folder)
    for name, text in relatives().items():
        (folder / f"{name}.fa").write_text(f">t1\n{text}\n>junk\n{text}\n")
    chain = "chain 1000 chr1 400 + 0 400 t1 {size} {strand} 0 {size} 1\n{blocks}\n"
    (folder / "near.chain").write_text(chain.format(size=400, strand="+", blocks="400"))
    (folder / "turned.chain").write_text(
        chain.format(size=397, strand="-", blocks="100\t3\t0\n297")
    )
    raw = {
        "name": "small",
        "reference": {"name": "ref", "sequence": "genome.fa"},
        "experiments": [{"name": "alpha", "peaks": "peaks.bed"}],
        "genomes": [
            {"name": name, "sequence": f"{name}.fa", "chain": f"{name}.chain", "distance": 0.1}
            for name in relatives()
        ],
        "split": {"test": ["chr2"], "validation": ["chrM"]},
        "windows": {"size": 20},
    }
    (folder / "project.yaml").write_text(yaml.safe_dump(raw))
    return folder / "project.yaml"


def table_of(*variants) -> pd.DataFrame:
    return pd.DataFrame(variants, columns=["chrom", "pos", "ref", "alt"])


def substitution(at: int, length: int = 1, contig: str = "chr1"):
    ref = base(contig, at, length)
    return contig, at, ref, other(ref)


def centred(text: str, start: int, length: int, allele: str, shift: int) -> str:
    text = text[:start] + allele + text[start + length :]
    first = min(max(start - (WINDOW - length) // 2 + shift, 0), len(text) - WINDOW)
    return text[first : first + WINDOW]


def by_hand(at: int, allele: str, shift: int = 0) -> list[str]:
    """Return the windows of an allele in chr1 and in its homologues, as chr1 reads them."""
    start, length = at - 1, len(allele)
    windows = [centred(CONTIGS["chr1"].upper(), start, length, allele, shift)]
    windows.append(centred(relatives()["near"], start, length, allele, shift))
    if start + length <= LOST.start or start >= LOST.stop:
        moved = start - (LOST.stop - LOST.start) * (start >= LOST.stop)
        windows.append(centred(turned(relatives()["turned"]), moved, length, allele, shift))
    return windows


@pytest.mark.parametrize("both_strands", [True, False])
@pytest.mark.parametrize("shifts", [(0,), (-5, 4)])
def test_scores_are_means_over_homologues(project, shifts, both_strands):
    model = small_model()
    variants = [
        *(substitution(at) for at in (50, 97, 100, 101, 102, 104, 150, 3, 398)),
        substitution(60, 3),
        substitution(120, 2),
        substitution(99, 6),  # partly lost
    ]
    options = EffectOptions(shifts=shifts, both_strands=both_strands, homologues=True)
    found = variant_effects(model, table_of(*variants), options=options, project=project)
    assert set(found["status"]) == {"scored"}
    for number, (_, at, ref, alt) in enumerate(variants):
        scores, reference = [], []
        for shift in shifts:
            p_ref, p_alt = (
                model.predict(by_hand(at, allele, shift), both_strands=both_strands)[:, 0]
                for allele in (ref, alt)
            )
            scores.append((p_alt - p_ref) * np.maximum(p_alt, p_ref))
            reference.append(p_ref)
        assert found["genomes"][number] == len(scores[0])
        assert found["paper"][number] == pytest.approx(np.mean(scores), abs=1e-6)
        assert found["p_ref"][number] == pytest.approx(np.mean(reference), abs=1e-6)
    assert set(found["genomes"]) == {2, 3}


def test_what_has_no_homologue_keeps_its_own_score(project):
    """Insertions, deletions, and places without alignment."""
    variants = [
        ("chr1", 50, base("chr1", 50), base("chr1", 50) + "ACC"),
        ("chr1", 50, base("chr1", 50, 4), base("chr1", 50)),
        substitution(30, contig="chrM"),
    ]
    model, table = small_model(), table_of(*variants)
    options = EffectOptions(homologues=True)
    found = variant_effects(model, table, options=options, project=project)
    assert found["genomes"].tolist() == [1, 1, 1]
    alone = variant_effects(model, table, project=project)
    assert "genomes" not in alone
    pd.testing.assert_series_equal(found["paper"], alone["paper"])


@pytest.mark.parametrize(
    ("windows", "genomes"),
    [({}, 1), ({"n_policy": "keep"}, 3), ({"n_policy": "keep", "exclude_target": ["t1"]}, 1)],
)
def test_the_rules_of_the_project_hold(project, windows, genomes):
    """The window of base 245 has an N in every genome."""
    loaded = load_project(project)
    settings = loaded.windows.model_copy(update=windows)
    changed = loaded.model_copy(update={"windows": settings})
    options = EffectOptions(homologues=True)
    table = table_of(substitution(245), substitution(50))
    found = variant_effects(small_model(), table, options=options, project=changed)
    assert found["genomes"].tolist() == [genomes, 1 if "exclude_target" in windows else 3]


def test_files_say_how_many_genomes(project, tmp_path):
    path = tmp_path / "in.tsv"
    table_of(substitution(50), substitution(101)).to_csv(path, sep="\t", index=False)
    options = EffectOptions(homologues=True)
    annotate_variants(small_model(), path, tmp_path / "o.vcf", options=options, project=project)
    lines = (tmp_path / "o.vcf").read_text().splitlines()[-2:]
    assert ["CL_genomes=3" in line for line in lines] == [True, False]
    assert "CL_genomes=2" in lines[1]


def test_another_genome_and_a_project_without_relatives_are_refused(project, tmp_path):
    (tmp_path / "other.fa").write_text(">chr1\n" + "ACGT" * 100 + "\n")
    table, options = table_of(substitution(50)), EffectOptions(homologues=True)
    with pytest.raises(ConfigError, match="not the labelled genome of the project"):
        variant_effects(
            small_model(),
            table,
            genome=open_genome(tmp_path / "other.fa"),
            options=options,
            project=project,
        )
    alone = load_project(project).model_copy(update={"genomes": []})
    with pytest.raises(ConfigError, match="lists no target genome"):
        variant_effects(small_model(), table, options=options, project=alone)
