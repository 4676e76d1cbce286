"""Small tables of labelled sequences in which a planted motif decides the label."""

from __future__ import annotations

from pathlib import Path

import numpy as np

LENGTH = 60
MOTIF = "TGACGTCATC"
_OTHER = str.maketrans("ACGT", "TGCA")


def planted_rows(count: int, *, seed: int = 0, share: float = 0.4) -> list[tuple[str, str, int]]:
    """Return names such as ``chr3:1200-1260(-)``, sequences and labels."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        letters = "".join(rng.choice(list("ACGT"), LENGTH))
        label = int(rng.random() < share)
        if label:
            at = int(rng.integers(0, LENGTH - len(MOTIF)))
            motif = MOTIF if rng.random() < 0.5 else MOTIF.translate(_OTHER)[::-1]
            letters = letters[:at] + motif + letters[at + len(MOTIF) :]
        start = 1000 + 100 * number
        strand = "+-"[int(rng.integers(2))]
        rows.append((f"chr{1 + number % 5}:{start}-{start + LENGTH}({strand})", letters, label))
    return rows


def write_table(path: Path, rows: list[tuple[str, str, int]]) -> Path:
    """Write a CSV with the columns header, sequence, label and parity (of the row)."""
    lines = [f">{name},{letters},{label},{i % 2}" for i, (name, letters, label) in enumerate(rows)]
    path.write_text("\n".join(["header,sequence,label,parity", *lines]) + "\n")
    return path


def write_project(folder: Path, count: int = 400, *, more: str = "", sequences: str = "") -> Path:
    """Write a project of one planted table and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "table.csv", planted_rows(count))
    path = folder / "project.yaml"
    path.write_text(
        f"name: planted\n"
        f"experiments: [{{name: planted, sequences: {{file: table.csv{sequences}}}}}]\n"
        f"windows: {{size: {LENGTH}}}\n{more}"
    )
    return path
