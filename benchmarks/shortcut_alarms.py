"""How often the checks of ``crosslabel store shortcut`` fire on stores with and without a shortcut.

Rows are simulated as those of a store: a labelled genome whose GC share varies from block to block,
peaks that are richer in GC than other bins, relatives whose bases are substituted without a bias of
composition, and with a share of A and T turned into G and C (the planted shortcut).

    python benchmarks/shortcut_alarms.py --out /tmp/alarms --worlds 60

Writes ``<out>/alarms.csv``: one row per world and share, and prints how often each threshold is
passed, with the Clopper-Pearson interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta

from ssldata.base.files import write_text_atomic
from ssldata.trust.matched_rows import DrawnRows
from ssldata.trust.species_shortcut import (
    EXCESS_FAIL,
    EXCESS_WARN,
    GENOME_AUROC,
    LABEL_WARN,
    excess,
    told,
)

LENGTH = 200
BLOCKS = 120
#: Substitutions per site of the relatives.
DISTANCES = (0.03, 0.07, 0.11, 0.15)


def bases(rng: np.random.Generator, gc: Any) -> Any:
    """Return base codes (n, LENGTH) of rows of these GC shares."""
    strong = rng.random((len(gc), LENGTH)) < gc[:, None]
    either = rng.random((len(gc), LENGTH)) < 0.5
    return np.where(strong, np.where(either, 1, 2), np.where(either, 0, 3)).astype(np.uint8)


def relative(rng: np.random.Generator, codes: Any, gc: Any, distance: float, share: float) -> Any:
    """Return homologues: substituted by bases of the same composition, then turned into G and C."""
    changed = rng.random(codes.shape) < distance
    codes = np.where(changed, bases(rng, gc), codes)
    turned = (rng.random(codes.shape) < share) & ((codes == 0) | (codes == 3))
    return np.where(turned, np.where(codes == 0, 2, 1), codes).astype(np.uint8)


def world(seed: int, loci: int, share: float) -> dict[str, Any]:
    """Return what the checks find in one simulated world."""
    rng = np.random.default_rng([16, seed])
    of_block = rng.normal(0.40, 0.03, BLOCKS)
    here = {kind: rng.integers(0, BLOCKS, loci) for kind in ("peaks", "negatives")}
    gc = {
        kind: np.clip(of_block[block] + rng.normal(0.03 * (kind == "peaks"), 0.04, loci), 0.1, 0.9)
        for kind, block in here.items()
    }
    codes = {kind: bases(rng, share_) for kind, share_ in gc.items()}
    ours = {kind: DrawnRows(codes[kind], here[kind]) for kind in here}
    genomes = [
        DrawnRows(relative(rng, codes["peaks"], gc["peaks"], d, share), here["peaks"])
        for d in DISTANCES
    ]
    owner = rng.integers(0, len(DISTANCES), loci)
    spread = DrawnRows(np.stack([genomes[g].codes[i] for i, g in enumerate(owner)]), here["peaks"])
    per_genome = [told(rows, ours["peaks"], seed) for rows in genomes]
    label = told(ours["peaks"], ours["negatives"], seed)
    used = told(spread, ours["negatives"], seed)
    assert label is not None
    assert used is not None
    value, low, high = excess(used, label)
    return {
        "seed": seed,
        "loci": loci,
        "share": share,
        "genome_auroc": max(one.auroc for one in per_genome if one is not None),
        "genome_auroc_low": max(one.auroc_interval[0] for one in per_genome if one is not None),
        "label_auroc": label.auroc,
        "label_auroc_low": label.auroc_interval[0],
        "excess": value,
        "excess_low": low,
        "excess_high": high,
    }


def fired(part: pd.DataFrame) -> dict[str, int]:
    """Return in how many worlds each threshold is passed."""
    return {
        "genome": int((part["genome_auroc_low"] > GENOME_AUROC).sum()),
        "label": int((part["label_auroc_low"] > LABEL_WARN).sum()),
        "pre-training, warn or fail": int((part["excess_low"] > EXCESS_WARN).sum()),
        "pre-training, fail": int((part["excess_low"] > EXCESS_FAIL).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", type=int, default=60)
    parser.add_argument("--loci", type=int, nargs="+", default=[200, 650])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.02, 0.05, 0.1, 0.25])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for share in args.shares:
        for loci in args.loci:
            # The clean worlds say how often there is a false alarm: a third will do for the others.
            for seed in range(args.worlds if not share else max(1, args.worlds // 3)):
                rows.append(world(seed, loci, share))
            write_text_atomic(
                args.out / "alarms.csv", pd.DataFrame(rows).round(4).to_csv(index=False)
            )
    for (loci, share), part in pd.DataFrame(rows).groupby(["loci", "share"]):
        n = len(part)
        for check, count in fired(part).items():
            high = beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
            low = beta.ppf(0.025, count, n - count + 1) if count else 0.0
            print(f"{loci} loci, share {share}: {check} {count} of {n} [{low:.3f}, {high:.3f}]")
        print(
            f"  genome AUROC {part['genome_auroc'].mean():.3f} (largest low "
            f"{part['genome_auroc_low'].max():.3f}), excess {part['excess'].mean():+.3f} "
            f"(largest low {part['excess_low'].max():+.3f})"
        )


if __name__ == "__main__":
    main()
