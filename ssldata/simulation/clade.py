"""A simulated clade: a complete small project with a known truth.

Genomes evolve from a common ancestor along a tree with the labelled genome as one leaf; binding
sites planted in the ancestor are under selection, so most of them are conserved in the relatives.
The files written (sequences, chains, peaks, ``project.yaml``) are what a user would have; the
:class:`~ssldata.simulation.truth.World` returned, and ``truth.npz``, hold the exact base-to-base
alignment behind them, which tests compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ssldata.base.errors import InputError
from ssldata.simulation.clade_files import (
    SimulatedPeak,
    bed_text,
    chain_text,
    fasta_text,
    narrowpeak_text,
    write_bytes,
)
from ssldata.simulation.evolution import Evolution, Motif, Sites, Tract, aligned_blocks
from ssldata.simulation.history import ancestor, grow_clade
from ssldata.simulation.truth import TRUTH, SimulatedGenome, World, save_world

#: Name of the labelled genome and of the two experiments.
REFERENCE = "simref"
EXPERIMENTS = ("alpha", "beta")
#: Motifs of the two experiments.
CONSENSUS = ("CGTTACCYNG", "TGASTCAKRC")
#: Options of :func:`small_clade`.
SMALL: dict[str, Any] = {"contigs": 4, "contig_size": 30_000, "genomes": 3, "peaks": (80, 40)}


def simulate_clade(
    out_dir: Path | str,
    *,
    seed: int = 0,
    contigs: int = 8,
    contig_size: int = 300_000,
    genomes: int = 4,
    peaks: tuple[int, int] = (800, 300),
    nearest: float = 0.03,
    farthest: float = 0.15,
    decoys: float = 1.0,
    spurious: float = 0.05,
    strength: float = 0.94,
) -> World:
    """Simulate a clade and write a complete project.

    Parameters
    ----------
    out_dir
        Folder to write, created if missing; refused if it holds anything but an older clade.
    seed
        Equal seeds and options give equal bytes.
    contigs, contig_size
        Number of main contigs of the reference (at least 3: train, validation and test) and
        their mean size in bases.
    genomes
        Number of relatives.
    peaks
        Approximate number of peaks of the two experiments.
    nearest, farthest
        Substitutions per site between the reference and the nearest and farthest relative.
    decoys
        Unbound, unprotected near-copies of the motif planted per binding site.
    spurious
        Fraction of peaks without a binding site.
    strength
        Probability that a base of a motif is the consensus base.

    Returns
    -------
    World
        The truth; :func:`ssldata.simulation.truth.load_world` reads it again.

    Raises
    ------
    InputError
        An option is out of range, or the folder holds something else.
    """
    if contigs < 3 or genomes < 1 or contig_size < 10_000 or min(peaks) < 10:
        raise InputError(
            "simulate_clade: expected at least 3 contigs of 10000 bases, 1 genome and 10 peaks of "
            f"each experiment; found contigs={contigs}, contig_size={contig_size}, "
            f"genomes={genomes}, peaks={peaks}"
        )
    if sum(peaks) * 60 > contigs * contig_size:
        raise InputError(
            f"simulate_clade: {sum(peaks)} peaks do not fit in {contigs * contig_size} bases; "
            "raise contig_size or lower peaks"
        )
    folder = Path(out_dir).resolve()
    _check_folder(folder)
    rng = np.random.default_rng([20, seed])
    motifs = tuple(Motif.of(consensus, strength) for consensus in CONSENSUS)
    first, sites = ancestor(
        contigs, contig_size, motifs, [round(n * (1 - spurious)) for n in peaks], decoys, rng
    )
    evolution = Evolution(sites, next_origin=sum(len(tract) for tract in first))
    distances = np.linspace(nearest, farthest, genomes) if genomes > 1 else np.array([nearest])
    test, validation = _held_out(contigs)
    reference, relatives = grow_clade(first, evolution, distances, test, rng)

    described = SimulatedGenome(
        REFERENCE,
        tuple(t.name for t in reference),
        tuple(t.name for t in reference),
        _sizes(reference),
        np.empty((0, 7), dtype=np.int64),
        _site_positions(reference, sites),
    )
    _write_fasta(folder / "genomes" / f"{REFERENCE}.fa.gz", reference, rng)
    leaves = []
    for number, tracts in enumerate(relatives, start=1):
        leaf = SimulatedGenome(
            f"relative{number}",
            tuple(t.name for t in tracts),
            _chain_names([t.name for t in tracts], number),
            _sizes(tracts),
            aligned_blocks(reference, tracts, evolution.next_origin),
            _site_positions(tracts, sites),
        )
        _write_fasta(folder / _sequence_path(number), tracts, rng)
        chain = chain_text(
            leaf.blocks,
            list(zip(described.contigs, described.sizes.tolist(), strict=True)),
            list(zip(leaf.chain_contigs, leaf.sizes.tolist(), strict=True)),
        )
        write_bytes(folder / _chain_path(number), chain.encode("ascii"))
        leaves.append(leaf)
    tables = []
    for index, total in enumerate(peaks):
        found = _peaks(reference, sites, index, round(total * spurious), rng)
        if index == 0:
            write_bytes(
                folder / "peaks" / f"{EXPERIMENTS[0]}.bed",
                bed_text([peak for peak, _ in found]).encode("ascii"),
            )
        else:
            renamed = [replace(p, contig=p.contig.removeprefix("chr")) for p, _ in found]
            write_bytes(
                folder / "peaks" / f"{EXPERIMENTS[1]}.narrowPeak.gz",
                narrowpeak_text(renamed).encode("ascii"),
            )
        tables.append(_peak_table(found, described.contigs, summits=index == 0))
    world = World(
        folder, described, tuple(leaves), EXPERIMENTS, CONSENSUS, sites.motif.copy(), tuple(tables)
    )
    write_bytes(world.project_file, _project_text(world, distances, test, validation).encode())
    save_world(world)
    return world


def small_clade(out_dir: Path | str, *, seed: int = 0, **changes: Any) -> World:
    """Simulate a clade small enough for tests: about 130 kb, three relatives, 80 and 40 peaks.

    Parameters
    ----------
    out_dir, seed
        As in :func:`simulate_clade`.
    **changes
        Other options of :func:`simulate_clade`.
    """
    return simulate_clade(out_dir, seed=seed, **{**SMALL, **changes})


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected a folder to write the clade to, found a file")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / TRUTH).is_file():
        raise InputError(
            f"{folder}: holds something other than a simulated clade; name an empty folder"
        )


def _held_out(contigs: int) -> tuple[list[str], list[str]]:
    """Return the test contigs (the last quarter) and the validation contig before them."""
    count = max(1, contigs // 4)
    names = [f"chr{number}" for number in range(1, contigs + 1)]
    return names[-count:], [names[-count - 1]]


def _sizes(tracts: Sequence[Tract]) -> npt.NDArray[np.int64]:
    return np.array([len(t) for t in tracts], dtype=np.int64)


def _sequence_path(number: int) -> Path:
    return Path("genomes") / f"relative{number}{'.fa.gz' if number % 2 else '.fa'}"


def _chain_path(number: int) -> Path:
    return Path("chains") / f"{REFERENCE}ToRelative{number}.chain{'' if number % 2 else '.gz'}"


def _chain_names(names: list[str], number: int) -> tuple[str, ...]:
    """Return contig names for a chain: accessions for the second relative, as often seen."""
    if number != 2:
        return tuple(names)
    return tuple(f"ACC{index:04d}.1" for index in range(1, len(names) + 1))


def _site_positions(tracts: Sequence[Tract], sites: Sites) -> npt.NDArray[np.int64]:
    table = np.tile(np.array([-1, -1, 0], dtype=np.int64), (len(sites), 1))
    for index, tract in enumerate(tracts):
        held = np.flatnonzero((tract.site >= 0) & ~tract.duplicate)
        # No indel or breakpoint cuts a conserved site, so its first base here is its left end.
        which, first = np.unique(tract.site[held], return_index=True)
        left = held[first]
        table[which, 0] = index
        table[which, 1] = left
        table[which, 2] = sites.strand[which] * tract.strand[left]
    return table


def _write_fasta(path: Path, tracts: Sequence[Tract], rng: np.random.Generator) -> None:
    """Write a genome with soft-masked stretches and runs of N, one of them beside a site."""
    masks = []
    for tract in tracts:
        mask = np.zeros(len(tract), dtype=np.uint8)
        for _ in range(len(tract) // 3000):
            start = int(rng.integers(0, len(tract)))
            mask[start : start + int(rng.integers(20, 600))] |= 1
        for _ in range(len(tract) // 20_000):
            start = int(rng.integers(0, len(tract)))
            mask[start : start + int(rng.choice([1, 5, 40, 150, 700]))] |= 2
        occupied = np.flatnonzero(tract.site >= 0)
        if len(occupied):
            start = int(rng.choice(occupied)) + int(rng.integers(20, 60))
            mask[start : start + 3] |= 2
        masks.append(mask)
    records = [(t.name, t.codes, mask) for t, mask in zip(tracts, masks, strict=True)]
    write_bytes(path, fasta_text(records, width=80 if path.suffix == ".fa" else 60))


def _peaks(
    reference: Sequence[Tract], sites: Sites, motif: int, spurious: int, rng: np.random.Generator
) -> list[tuple[SimulatedPeak, int]]:
    """Return peaks and their sites (−1: none), strongest first, as peak callers write them."""
    places: list[tuple[int, int, int]] = []
    for index, tract in enumerate(reference):
        held = np.flatnonzero(tract.site >= 0)
        which = tract.site[held]
        centre = (tract.origin[held] == sites.centre[which]) & (sites.motif[which] == motif)
        places += [
            (index, int(at), int(site))
            for at, site in zip(held[centre], which[centre], strict=True)
        ]
    weights = _sizes(reference) / _sizes(reference).sum()
    for index in rng.choice(len(reference), size=spurious, p=weights).tolist():
        places.append((index, int(rng.integers(0, len(reference[index]))), -1))
    # One summit on the border of two windows covers each by half, which is not enough.
    places.append((0, int(rng.integers(2, len(reference[0]) // 200 - 1)) * 200, -1))
    found = []
    for index, at, site in places:
        size = len(reference[index])
        # Summits scatter around the site by a few bases, as in real experiments.
        jitter = round(float(rng.normal(0, 8))) if site >= 0 else 0
        summit = min(max(at + jitter, 0), size - 1)
        left, right = rng.integers(70, 260, 2).tolist()
        start, end = max(summit - left, 0), min(summit + right, size)
        score = int(rng.integers(100, 400) if site < 0 else rng.integers(150, 1001))
        peak = SimulatedPeak(reference[index].name, start, end, summit - start, score)
        found.append((peak, site))
    found.sort(key=lambda item: (-item[0].score, item[0].contig, item[0].start, item[0].end))
    return found


def _peak_table(
    found: list[tuple[SimulatedPeak, int]], contigs: tuple[str, ...], *, summits: bool
) -> npt.NDArray[np.int64]:
    rows = []
    for peak, site in found:
        start, end = peak.start, peak.end
        if summits:
            start, end = start + peak.summit, start + peak.summit + 1
        rows.append((contigs.index(peak.contig), start, end, site))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _project_text(
    world: World, distances: npt.NDArray[np.float64], test: list[str], validation: list[str]
) -> str:
    aliases = [n for n in world.reference.contigs if n.startswith("chr")]
    lines = [
        "# A simulated clade with known truth (ssldata.simulate).",
        "name: simulated",
        "reference:",
        f"  name: {REFERENCE}",
        f"  sequence: genomes/{REFERENCE}.fa.gz",
        "  # The second experiment numbers its contigs.",
        "  aliases: {"
        + ", ".join(f'"{name.removeprefix("chr")}": {name}' for name in aliases)
        + "}",
        "experiments:",
        f"  - {{name: {EXPERIMENTS[0]}, peaks: peaks/{EXPERIMENTS[0]}.bed, width: 200}}",
        f"  - {{name: {EXPERIMENTS[1]}, peaks: peaks/{EXPERIMENTS[1]}.narrowPeak.gz, width: 200}}",
        "genomes:",
    ]
    for number, (genome, distance) in enumerate(
        zip(world.genomes, distances.tolist(), strict=True), start=1
    ):
        lines += [
            f"  - name: {genome.name}",
            f"    sequence: {_sequence_path(number)}",
            f"    chain: {_chain_path(number)}",
            f"    distance: {distance:.4g}",
        ]
        if genome.contigs != genome.chain_contigs:
            pairs = zip(genome.chain_contigs, genome.contigs, strict=True)
            lines.append(
                "    aliases: {" + ", ".join(f'"{other}": {name}' for other, name in pairs) + "}"
            )
    lines += [
        "liftover: {mode: blocks}",
        "split:",
        f"  test: [{', '.join(test)}]",
        f"  validation: [{', '.join(validation)}]",
        "training:",
        f"  experiments: [{EXPERIMENTS[0]}]",
        "  models: [cnn-7k]",
        "  regimes: [sl, ssl, ssl-ns]",
        "  seeds: [0]",
        "  batch_size: 64",
        "  epochs: 60",
        "  patience: 12",
        "  noisy_student: {iterations: 2}",
        "",
    ]
    return "\n".join(lines)
