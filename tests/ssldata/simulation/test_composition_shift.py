"""The planted shortcut changes composition, and neither sites nor coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssldata.genomes.genome import open_genome
from ssldata.simulation.clade import small_clade
from ssldata.simulation.composition_shift import shift_composition


def letters(folder: Path, name: str) -> list[np.ndarray]:
    genome = open_genome(next(folder.glob(f"genomes/{name}.fa*")))
    return [np.array(genome.codes(contig)) for contig in range(len(genome.sizes))]


@pytest.mark.parametrize("share", [0.2])
def test_only_composition_changes(tmp_path: Path, share: float) -> None:
    world = small_clade(tmp_path / "w")
    before = {g.name: letters(world.folder, g.name) for g in world.genomes}
    reference = next(world.folder.glob("genomes/simref.fa*")).read_bytes()
    shift_composition(world, share)
    assert next(world.folder.glob("genomes/simref.fa*")).read_bytes() == reference
    for genome in world.genomes:
        changed = weak = 0
        for contig, (old, new) in enumerate(
            zip(before[genome.name], letters(world.folder, genome.name), strict=True)
        ):
            assert len(old) == len(new)
            different = old != new
            assert np.isin(old[different], (0, 3)).all()
            assert (new[different] == np.where(old[different] == 0, 2, 1)).all()
            for start in genome.sites[genome.sites[:, 0] == contig, 1].tolist():
                assert not different[start : start + 10].any()
            changed += int(different.sum())
            weak += int(np.isin(old, (0, 3)).sum())
        assert 0.8 * share < changed / weak < 1.02 * share
