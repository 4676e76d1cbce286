"""How often the checks of a liftover fire: on clean simulated clades, and on planted faults.

    python benchmarks/lift_checks.py --out /tmp/lift-checks --seeds 30

For each seed a small clade is simulated, built and checked as `crosslabel store quality --project`
does: the rate of alarms is that of false ones. Then three faults are planted, one at a time:
`fragmented`, the nearest relative lacks 30 % of its sequence, in pieces of 3 kb; `rotated`, the
sequence of the second relative is another version, every contig turned by 1,000 b; `exchanged`, the
first 8 kb of its two largest contigs are exchanged. Also compares the pseudo-labels with the true
sites of each relative, and with the same sites in a wrong place. Writes ``<out>/lift-checks.csv``,
a row per seed and world with the mark of each check, and prints the rates.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ssldata.building.build_store import build_project
from ssldata.genomes.genome import open_genome
from ssldata.lift_checks.label_transport import audit_labels, transport_finding
from ssldata.lift_checks.proportions import interval_text, share_of
from ssldata.lift_checks.store_quality import quality_findings
from ssldata.project.project_file import load_project
from ssldata.simulation.clade import small_clade
from ssldata.simulation.clade_files import chain_text, fasta_text, write_bytes
from ssldata.simulation.evolution import Motif
from ssldata.simulation.truth import World
from ssldata.store.store import open_store

EXPERIMENT, NUMBER = "alpha", 0
WORLDS = ("clean", "fragmented", "rotated", "exchanged")
#: Missing pieces of the fragmented genome: bases of one, share of all.
PIECE, MISSING = 3_000, 0.3


def fragment(world: World, seed: int) -> None:
    """Rewrite the chain of the nearest relative as if pieces of it had never been assembled."""
    leaf = world.genomes[0]
    blocks = leaf.blocks
    rng = np.random.default_rng([1, seed])
    cell = blocks[:, 5] // PIECE + blocks[:, 4] * 1_000_000
    cells = np.unique(cell)
    gone = rng.choice(cells, round(MISSING * len(cells)), replace=False)
    kept = blocks[~np.isin(cell, gone)]
    names = list(zip(world.reference.contigs, world.reference.sizes.tolist(), strict=True))
    others = list(zip(leaf.chain_contigs, leaf.sizes.tolist(), strict=True))
    path = load_project(world.folder).genomes[0].chain
    write_bytes(path, chain_text(kept, names, others).encode())


def rewrite(world: World, how: str) -> None:
    """Rewrite the sequence of the second relative, whose chain stays as it is."""
    path = load_project(world.folder).genomes[1].sequence
    genome = open_genome(path)
    codes = {name: genome.codes(name).copy() for name in genome.names}
    if how == "rotated":
        codes = {name: np.roll(bases, 1_000) for name, bases in codes.items()}
    else:
        first, second = np.argsort(-genome.sizes, kind="stable")[:2].tolist()
        one, two = codes[genome.names[first]], codes[genome.names[second]]
        one[:8_000], two[:8_000] = two[:8_000].copy(), one[:8_000].copy()
    masks = {name: np.where(bases > 3, 2, 0).astype(np.uint8) for name, bases in codes.items()}
    records = [(name, np.minimum(bases, 3), masks[name]) for name, bases in codes.items()]
    write_bytes(path, fasta_text(records, width=60))


def measured_bed(world: World, path: Path, *, aside: int = 0) -> dict[str, Path]:
    """Write the true sites of each relative as BED, 200 b each; `aside` bases away if asked."""
    files = {}
    for leaf in world.genomes:
        there = (leaf.sites[:, 0] >= 0) & (world.site_motif == NUMBER)
        lines = []
        for contig, start, _ in leaf.sites[there].tolist():
            middle = (start + 5 + aside) % int(leaf.sizes[contig])
            low, high = max(0, middle - 100), min(int(leaf.sizes[contig]), middle + 100)
            lines.append(f"{leaf.contigs[contig]}\t{low}\t{high}\n")
        files[leaf.name] = path / f"{leaf.name}-{aside}.bed"
        files[leaf.name].write_text("".join(lines))
    return files


def rows_of(out: Path, seed: int, worlds: Sequence[str]) -> list[dict[str, object]]:
    """Return a row per world of one seed."""
    rows: list[dict[str, object]] = []
    for kind in worlds:
        folder = out / "world"
        shutil.rmtree(folder, ignore_errors=True)
        world = small_clade(folder, seed=seed)
        if kind == "fragmented":
            fragment(world, seed)
        elif kind != "clean":
            rewrite(world, kind)
        project = load_project(folder)
        build_project(project)
        store = open_store(project.store_path(EXPERIMENT))
        motif = Motif.of(world.motifs[NUMBER], 0.94).matrix
        found = quality_findings(store, project, motifs={EXPERIMENT: motif})
        row: dict[str, object] = {"seed": seed, "world": kind}
        row |= {f.check: f.mark for f in found}
        row |= {f"{f.check} says": f.summary for f in found if f.mark in ("warn", "fail")}
        if kind == "clean":
            for aside in (0, 1_500):
                for name, bed in measured_bed(world, folder, aside=aside).items():
                    audit = audit_labels(store, bed, genome=name, experiment=EXPERIMENT)
                    what = "labels" if not aside else "labels-aside"
                    finding = transport_finding(audit)
                    row |= {
                        f"{what} {name}": finding.mark,
                        f"{what} {name} rows": audit.rows,
                        f"{what} {name} right": audit.right,
                        f"{what} {name} found": audit.found,
                        f"{what} {name} peaks": audit.peaks,
                    }
        rows.append(row)
    shutil.rmtree(out / "world", ignore_errors=True)
    return rows


def main() -> None:
    """Run the seeds; print, for each world, how many gave an alarm of each check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=WORLDS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for seed in range(options.seeds):
        rows += rows_of(options.out, seed, options.worlds)
        table = pd.DataFrame(rows)
        table.to_csv(options.out / "lift-checks.csv", index=False)
    checks = [c for c in table.columns if c.startswith("quality.") and not c.endswith(" says")]
    for kind, here in table.groupby("world", sort=False):
        for check in checks:
            alarms = int(here[check].isin(["warn", "fail"]).sum())
            print(f"{kind:12} {check:24} {interval_text(share_of(alarms, len(here)))} {alarms}")
    clean = table[table["world"] == "clean"]
    for column in [c for c in table.columns if c.startswith("labels") and len(c.split()) == 2]:
        counts = clean[column].value_counts().to_dict()
        sums = {
            key: int(clean[f"{column} {key}"].sum()) for key in ("rows", "right", "found", "peaks")
        }
        print(column, counts, sums)


if __name__ == "__main__":
    main()
