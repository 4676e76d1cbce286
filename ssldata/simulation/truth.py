"""The truth of a simulated clade: the base of each relative that a reference base is aligned to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ssldata.base.errors import InputError, MissingInputError
from ssldata.base.files import atomic_path

#: Name of the file with the truth.
TRUTH = "truth.npz"
#: Version of the layout of that file.
TRUTH_VERSION = 1


class BaseMap(NamedTuple):
    """The alignment of one reference contig to a relative, with one value per base.

    Attributes
    ----------
    target_contig
        int16 index into the relative's contigs, −1 where the base has no counterpart.
    target_position
        int64 0-based position on the forward strand, −1 where there is none.
    target_strand
        int8 +1/−1, 0 where there is none.
    """

    target_contig: npt.NDArray[np.int16]
    target_position: npt.NDArray[np.int64]
    target_strand: npt.NDArray[np.int8]


@dataclass(frozen=True)
class SimulatedGenome:
    """One genome of the clade.

    Attributes
    ----------
    name
        As in the project file.
    contigs, chain_contigs, sizes
        Names in the FASTA, names in the chain file (which differ in one relative), sizes in bases.
    blocks
        int64 (n, 7), every maximal ungapped run aligned to the reference, see
        :func:`ssldata.simulation.evolution.aligned_blocks`. Empty for the reference itself.
    sites
        int64 (sites, 3): contig, start and strand of each binding site; −1, −1, 0 where the site
        was lost.
    """

    name: str
    contigs: tuple[str, ...]
    chain_contigs: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]
    sites: npt.NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """A simulated project and its truth.

    Attributes
    ----------
    folder, project_file
        Where it was written.
    reference, genomes
        The labelled genome and its relatives, nearest first.
    experiments, motifs
        Names, and the IUPAC consensus of each experiment's motif.
    site_motif
        int64, the experiment that each binding site belongs to.
    peaks
        For each experiment int64 (peaks, 4) in file order: contig, start, end (0-based half-open;
        one base for a summit), binding site (−1 for none).
    """

    folder: Path
    reference: SimulatedGenome
    genomes: tuple[SimulatedGenome, ...]
    experiments: tuple[str, ...]
    motifs: tuple[str, ...]
    site_motif: npt.NDArray[np.int64]
    peaks: tuple[npt.NDArray[np.int64], ...]

    @property
    def project_file(self) -> Path:
        """The project file."""
        return self.folder / "project.yaml"

    def genome(self, name: str) -> SimulatedGenome:
        """Return one relative by name."""
        for genome in self.genomes:
            if genome.name == name:
                return genome
        raise InputError(
            f"no simulated genome {name!r}; there are {', '.join(g.name for g in self.genomes)}"
        )

    def base_map(self, genome: str, contig: str | int, *, copy: int = 0) -> BaseMap:
        """Return the exact alignment of one reference contig, base by base.

        Parameters
        ----------
        genome
            Name of a relative.
        contig
            Reference contig, by name or index.
        copy
            0 for the orthologous bases, 1 for the second copies of segmental duplications.
        """
        relative = self.genome(genome)
        index = self.reference.contigs.index(contig) if isinstance(contig, str) else contig
        size = int(self.reference.sizes[index])
        where = np.full(size, -1, dtype=np.int16)
        position = np.full(size, -1, dtype=np.int64)
        strand = np.zeros(size, dtype=np.int8)
        mine = (relative.blocks[:, 0] == copy) & (relative.blocks[:, 1] == index)
        for _, _, start, length, other, at, turn in relative.blocks[mine].tolist():
            where[start : start + length] = other
            position[start : start + length] = at + turn * np.arange(length)
            strand[start : start + length] = turn
        return BaseMap(where, position, strand)


def load_world(folder: Path | str) -> World:
    """Read the truth of a clade written by :func:`ssldata.simulation.clade.simulate_clade`.

    Raises
    ------
    MissingInputError
        The folder has no truth file.
    InputError
        The file has another version.
    """
    folder = Path(folder).resolve()
    path = folder / TRUTH
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; `simulate_clade` writes it")
    with np.load(path, allow_pickle=False) as truth:
        version = int(truth["version"]) if "version" in truth else None
        if version != TRUTH_VERSION:
            raise InputError(
                f"{path}: expected truth of version {TRUTH_VERSION}, found {version}; "
                "simulate again"
            )
        genomes = [
            SimulatedGenome(
                str(name),
                tuple(truth[f"contigs_{name}"].tolist()),
                tuple(truth[f"chain_contigs_{name}"].tolist()),
                truth[f"sizes_{name}"],
                truth[f"blocks_{name}"],
                truth[f"sites_{name}"],
            )
            for name in truth["genomes"]
        ]
        return World(
            folder,
            genomes[0],
            tuple(genomes[1:]),
            tuple(str(name) for name in truth["experiments"]),
            tuple(truth["motifs"].tolist()),
            truth["site_motif"],
            tuple(truth[f"peaks_{name}"] for name in truth["experiments"]),
        )


def save_world(world: World) -> None:
    """Write the truth beside the project; equal truths give equal bytes."""
    arrays: dict[str, Any] = {
        "version": np.int64(TRUTH_VERSION),
        "genomes": np.array([g.name for g in (world.reference, *world.genomes)]),
        "experiments": np.array(world.experiments),
        "motifs": np.array(world.motifs),
        "site_motif": world.site_motif,
    }
    for name, table in zip(world.experiments, world.peaks, strict=True):
        arrays[f"peaks_{name}"] = table
    for genome in (world.reference, *world.genomes):
        for part in ("contigs", "chain_contigs", "sizes", "blocks", "sites"):
            arrays[f"{part}_{genome.name}"] = np.asarray(getattr(genome, part))
    with atomic_path(world.folder / TRUTH) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)
