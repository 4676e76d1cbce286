"""Aligned windows of a project against the truth of a simulated clade."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import ConfigError, MissingInputError
from ssldata.conservation import conserved_windows as module
from ssldata.conservation.conserved_windows import ConservedWindows
from ssldata.conservation.profile import bin_windows, composition_profile, conservation_profile
from ssldata.genomes.genome import open_genome
from ssldata.genomes.onehot import N_CODE
from ssldata.project.project_file import Project, load_project
from ssldata.simulation.truth import load_world


@pytest.fixture(scope="module")
def project(small_world: Path) -> Project:
    return load_project(small_world)


@pytest.fixture(scope="module")
def windows(project: Project) -> ConservedWindows:
    return ConservedWindows(project)


def every_bin(windows: ConservedWindows) -> tuple[np.ndarray, np.ndarray]:
    """Return contigs and starts of all bins, the last one of each contig cut by its end."""
    parts = [
        (np.full(size // windows.size + 1, contig), np.arange(size // windows.size + 1))
        for contig, size in enumerate(windows.reference.sizes.tolist())
    ]
    contig, number = (np.concatenate(column) for column in zip(*parts, strict=True))
    return contig, number * windows.size


def test_equals_the_truth(project: Project, windows: ConservedWindows, small_world: Path) -> None:
    """Every reference base of every genome, beyond the ends of the contigs too."""
    world = load_world(small_world)
    assert windows.names == tuple(genome.name for genome in project.genomes)
    contig, start = every_bin(windows)
    chunks = list(windows.of(contig, *bin_windows(start, windows.size)))
    ours = np.concatenate([reference for reference, _ in chunks])
    length = 5 * windows.size
    position = start[:, None] - 2 * windows.size + np.arange(length)
    inside = (position >= 0) & (position < windows.reference.sizes[contig][:, None])
    assert not inside.all()
    for number, entry in enumerate(project.genomes):
        genome = open_genome(entry.sequence)
        relative = world.genome(entry.name)
        sequences = [genome.codes(name) for name in relative.contigs]
        theirs = np.concatenate([aligned[number] for _, aligned in chunks])
        expected = np.full_like(theirs, N_CODE)
        for at, name in enumerate(windows.reference.names):
            base = np.full(windows.reference.sizes[at], N_CODE, np.uint8)
            # The second copy of a duplication counts where the first has nothing.
            for copy in (1, 0):
                truth = world.base_map(entry.name, name, copy=copy)
                for other, sequence in enumerate(sequences):
                    mine = truth.target_contig == other
                    codes = sequence[truth.target_position[mine]]
                    turned = (truth.target_strand[mine] < 0) & (codes < N_CODE)
                    base[mine] = np.where(turned, 3 - codes, codes)
            rows = np.flatnonzero(contig == at)
            where = np.where(inside[rows], position[rows], 0)
            expected[rows] = np.where(inside[rows], base[where], N_CODE)
        np.testing.assert_array_equal(theirs, expected)
        assert 0.3 < (theirs < N_CODE).mean() < 1
    for at, name in enumerate(windows.reference.names):
        rows = np.flatnonzero(contig == at)
        codes = np.append(windows.reference.codes(name), np.uint8(N_CODE))
        np.testing.assert_array_equal(
            ours[rows], codes[np.where(inside[rows], position[rows], len(codes) - 1)]
        )


def test_groups_and_profile(windows: ConservedWindows, monkeypatch: pytest.MonkeyPatch) -> None:
    contig, start = every_bin(windows)
    contig, start = contig[::3], start[::3]
    groups = windows.groups(contig, start)
    assert sorted(number for group in groups for number in group.numbers) == list(
        range(len(windows.names))
    )
    assert 0.5 < min(groups[-1].identity) <= max(groups[0].identity) < 1
    numbers = [group.numbers for group in groups]
    found = windows.profile(contig, start, numbers)
    assert found.shape == (len(start), len(windows.profile_names(numbers)))
    (ours, theirs), *more = windows.of(contig, *bin_windows(start, windows.size))
    assert not more
    split = found.shape[1] - 5
    np.testing.assert_array_equal(found[:, :split], conservation_profile(ours, theirs, numbers))
    np.testing.assert_array_equal(found[:, split:], composition_profile(ours))
    monkeypatch.setattr(module, "_WINDOWS", 11)
    np.testing.assert_array_equal(windows.profile(contig, start, numbers), found)
    assert windows.groups(contig, start) == groups
    assert windows.profile([], [], numbers).shape == (0, found.shape[1])


def test_the_labelled_genome_alone(project: Project, windows: ConservedWindows) -> None:
    alone = ConservedWindows(project, genomes=[])
    contig, start = np.array([0, 1]), np.array([0, 4000])
    everything = windows.profile(contig, start, [[0]])
    np.testing.assert_array_equal(alone.profile(contig, start, []), everything[:, -5:])
    assert alone.groups(contig, start) == []


def test_some_genomes(project: Project, windows: ConservedWindows) -> None:
    last = project.genomes[-1].name
    some = ConservedWindows(project, genomes=[last])
    where = np.array([0]), np.array([1000]), np.array([3000])
    ((_, every),) = windows.of(*where)
    ((_, one),) = some.of(*where)
    np.testing.assert_array_equal(one, every[-1:])
    with pytest.raises(ConfigError, match="no genome 'nobody'"):
        ConservedWindows(project, genomes=["nobody"])


def test_excluded_contigs_align_with_nothing(project: Project) -> None:
    changed = project.model_copy(
        update={"windows": project.windows.model_copy(update={"exclude_target": ["*"]})}
    )
    excluded = ConservedWindows(changed)
    ((_, aligned),) = excluded.of([0], [1000], [3000])
    assert all((codes == N_CODE).all() for codes in aligned)
    assert excluded.identity != ConservedWindows(project).identity


def test_identity(project: Project, windows: ConservedWindows) -> None:
    identity = windows.identity
    assert json.loads(json.dumps(identity)) == identity
    assert ConservedWindows(project).identity == identity
    fewer = ConservedWindows(project, genomes=windows.names[1:]).identity
    assert fewer == identity | {"genomes": identity["genomes"][1:]}


def test_wrong_windows_are_refused(windows: ConservedWindows) -> None:
    with pytest.raises(ValueError, match=r"one length, found \[10, 20\]"):
        next(windows.of([0, 0], [0, 0], [10, 20]))
    with pytest.raises(ValueError, match="have shapes"):
        next(windows.of([0], [0, 0], [10, 10]))
    assert list(windows.of([], [], [])) == []


def test_wrong_projects_are_refused(project: Project, tmp_path: Path) -> None:
    small = project.model_copy(update={"windows": project.windows.model_copy(update={"size": 3})})
    with pytest.raises(ConfigError, match=r"windows\.size is 3"):
        ConservedWindows(small)
    first = project.genomes[0].model_copy(update={"chain": tmp_path / "gone.chain"})
    lacking = project.model_copy(update={"genomes": [first]})
    with pytest.raises(MissingInputError, match=r"gone\.chain"):
        ConservedWindows(lacking)
