"""The cases of benchmarks/build.py: a simulated clade of mammal-like genomes, and real yeast.

The clade is made from a seed: a labelled genome and four relatives (substitutions, indels,
segments in another order and strand) with exact chains, and peaks of 200 to 400 b.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

LETTERS = np.frombuffer(b"ACGTN", np.uint8)
#: Substitutions per base of each relative.
DISTANCES = (0.05, 0.1, 0.15, 0.2)
#: Share of each contig of the labelled genome; the last two are validation and test.
SHARES = (*(0.165,) * 6, 0.005, 0.005)


def write_fasta(path: Path, names: list[str], contigs: list[NDArray]) -> None:
    """Write base codes as FASTA of 60 letters a line, half of them lower case."""
    with path.open("wb") as handle:
        for name, codes in zip(names, contigs, strict=True):
            letters = LETTERS[codes]
            letters[: len(letters) // 1000 * 1000].reshape(-1, 1000)[:, 500:] |= 0x20
            whole = len(letters) // 60
            lines = np.full((whole, 61), ord("\n"), np.uint8)
            lines[:, :60] = letters[: whole * 60].reshape(whole, 60)
            handle.write(f">{name}\n".encode() + lines.tobytes() + letters[whole * 60 :].tobytes())
            handle.write(b"\n" if len(letters) % 60 else b"")


def evolve(rng: np.random.Generator, codes: NDArray, distance: float) -> tuple[NDArray, NDArray]:
    """Return a descendant of a segment, and its blocks: size and the gaps on both sides."""
    count = len(codes) // 80
    size = rng.geometric(1 / 110, count)
    gaps = np.minimum(rng.pareto(1.1, (2, count)) * 3 + 1, 3000).astype(np.int64)
    kind = rng.random(count)
    gaps[0, kind < 0.4] = gaps[1, kind > 0.6] = 0
    kept = max(1, int(np.searchsorted(np.cumsum(size + gaps[0]), len(codes))))
    size, gaps = size[:kept], gaps[:, :kept]
    gaps[:, -1] = 0
    turns = np.tile([True, False], kept)  # aligned, not aligned, aligned, …
    there, here = (np.repeat(turns, np.stack([size, gap], axis=1).ravel()) for gap in gaps)
    aligned = codes[: len(there)][there]
    hit = (rng.random(len(aligned), np.float32) < distance) & (aligned < 4)
    aligned[hit] = (aligned[hit] + rng.integers(1, 4, int(hit.sum()), np.uint8)) & 3
    child = rng.integers(0, 4, len(here), np.uint8)
    child[here] = aligned
    return child, np.stack([size, *gaps])


def relative(rng: np.random.Generator, path: Path, genome: list[NDArray], distance: float) -> None:
    """Write the FASTA and the chain of one relative: segments in a new order, half turned."""
    length = max(5_000, min(1_000_000, sum(map(len, genome)) // 200))
    segments = [
        (contig, first, *evolve(rng, codes[first : first + length], distance))
        for contig, codes in enumerate(genome)
        for first in range(0, len(codes) - length // 2, length)
    ]
    contigs, text = [], []
    for number, chosen in enumerate(np.array_split(rng.permutation(len(segments)), 5), start=1):
        strands = np.where(rng.random(len(chosen)) < 0.5, "-", "+")
        total, at = sum(len(segments[one][2]) for one in chosen), 0
        parts = []
        for one, strand in zip(chosen.tolist(), strands.tolist(), strict=True):
            contig, first, child, blocks = segments[one]
            turned = strand == "-"
            parts.append(np.where(child < 4, 3 - child, child)[::-1] if turned else child)
            start = total - at - len(child) if turned else at
            text.append(
                f"chain {blocks[0].sum() * 90} chr{contig + 1} {len(genome[contig])} + {first} "
                f"{first + blocks[:2].sum()} chr{number} {total} {strand} {start} "
                f"{start + len(child)} {one + 1}"
            )
            text += [f"{s}\t{t}\t{q}" for s, t, q in blocks[:, :-1].T.tolist()]
            text.append(f"{blocks[0, -1]}\n")
            at += len(child)
        contigs.append(np.concatenate(parts))
    write_fasta(path, [f"chr{number + 1}" for number in range(len(contigs))], contigs)
    path.with_suffix(".chain").write_text("\n".join(text) + "\n", encoding="ascii")


def mammal_like(folder: Path, *, bases: int, peaks: int, seed: int) -> list[Path]:
    """Write the case; return its project files with a tenth, three tenths and all of the peaks.

    A folder that holds this very case already is used as it is.
    """
    files = [folder / f"mammal-{tenths}.yaml" for tenths in (1, 3, 10)]
    note, made = folder / "case.json", json.dumps([bases, peaks, seed])
    if note.is_file() and note.read_text() == made:
        return files
    rng = np.random.default_rng(seed)
    genome = [rng.integers(0, 4, int(bases * share), np.uint8) for share in SHARES]
    for codes in genome:
        codes[len(codes) // 2 : len(codes) // 2 + len(codes) // 500] = 4
    write_fasta(folder / "labelled.fa", [f"chr{n + 1}" for n in range(len(genome))], genome)
    names = [f"relative{number}" for number in range(len(DISTANCES))]
    for name, distance in zip(names, DISTANCES, strict=True):
        relative(rng, folder / f"{name}.fa", genome, distance)
    contig = rng.choice(len(SHARES), peaks, p=SHARES)
    width = rng.integers(200, 401, peaks)
    room = np.array([len(codes) for codes in genome])[contig] - width
    start = (rng.random(peaks) * room).astype(np.int64)
    table = np.stack([contig + 1, start, start + width], axis=1).tolist()
    lines = [f"chr{c}\t{s}\t{e}\tp{i}\t{i % 1000}\n" for i, (c, s, e) in enumerate(table)]
    for path in files:
        count = peaks * int(path.stem[7:]) // 10
        path.with_suffix(".bed").write_text("".join(lines[:count]))
        project = {
            "name": path.stem,
            "reference": {"name": "labelled", "sequence": "labelled.fa"},
            "experiments": [{"name": "peaks", "peaks": f"{path.stem}.bed"}],
            "genomes": [{"name": n, "sequence": f"{n}.fa", "chain": f"{n}.chain"} for n in names],
            "split": {"test": ["chr8"], "validation": ["chr7"]},
            "negatives": {"pool": count},
            "store": {"path": f"store-{path.stem}", "joint": True},
        }
        path.write_text(yaml.safe_dump(project, sort_keys=False))
    note.write_text(made)
    return files


def yeast(folder: Path, data: Path) -> Path:
    """Write the project of examples/yeast, its factors in one store, on the data given."""
    example = Path(__file__).parent.parent / "examples/yeast/project.yaml"
    project: dict = yaml.safe_load(example.read_text("utf-8").replace("data/", ""))
    for item in (project["reference"], *project["genomes"], *project["experiments"]):
        for key in {"sequence", "peaks", "chain"} & set(item):
            item[key] = str(data.resolve() / "yeast" / item[key])
    del project["sources"], project["training"]
    project["store"] = {"path": "store-yeast", "joint": True}
    (folder / "yeast.yaml").write_text(yaml.safe_dump(project))
    return folder / "yeast.yaml"
