"""Motifs, and their files in the minimal MEME format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import InputError, MissingInputError
from ssldata.base.files import write_text_atomic
from ssldata.genomes.onehot import LETTERS

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class SequenceMotif:
    """A motif: probabilities of A, C, G and T at each of its positions.

    Attributes
    ----------
    name
        Without blanks, as the first word of a MEME motif line.
    matrix
        (positions, 4); rows sum to 1.
    label
        The second word of the line, often the factor; may be empty.
    sites
        Sequences it was made from; 0: unknown.
    """

    name: str
    matrix: Matrix
    label: str = ""
    sites: int = 0

    @property
    def consensus(self) -> str:
        """The likeliest base of every position; n where none has half of the probability."""
        likely = self.matrix.argmax(axis=1)
        clear = self.matrix.max(axis=1) >= 0.5
        return "".join(chr(LETTERS[b]) if c else "n" for b, c in zip(likely, clear, strict=True))

    @property
    def other_strand(self) -> SequenceMotif:
        """The reverse complement."""
        return SequenceMotif(self.name, self.matrix[::-1, ::-1], self.label, self.sites)


def information(matrix: Matrix) -> NDArray[np.float64]:
    """Return the bits of every position, for equally frequent bases."""
    terms = np.where(matrix > 0, matrix * np.log2(np.maximum(matrix, 1e-12)), 0.0)
    return np.asarray(2 + terms.sum(axis=1))


def read_meme(path: Path) -> list[SequenceMotif]:
    """Read a MEME file of DNA motifs (version 4 or 5; JASPAR and HOCOMOCO offer it).

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        It has no motif, an alphabet other than A, C, G, T, or a damaged matrix.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as exc:
        raise MissingInputError(f"{path}: cannot be read ({exc.strerror})") from exc
    alphabets = [line.split("=")[1].strip() for line in lines if line.startswith("ALPHABET=")]
    if any(alphabet != "ACGT" for alphabet in alphabets):
        raise InputError(f"{path}: its alphabet is {alphabets[0]}; expected ACGT")
    motifs = list(_motifs(path, lines))
    if not motifs:
        raise InputError(f"{path}: no motif; expected a MEME file, with lines 'MOTIF name'")
    return motifs


def _motifs(path: Path, lines: list[str]) -> Iterator[SequenceMotif]:
    name, label = "", ""
    for number, line in enumerate(lines):
        words = line.split()
        if words[:1] == ["MOTIF"]:
            if len(words) < 2:
                raise InputError(f"{path}:{number + 1}: a motif without a name")
            name, label = words[1], words[2] if len(words) > 2 else ""
        elif line.startswith("letter-probability matrix"):
            found = {key: int(n) for key, n in re.findall(r"\b(w|nsites)= *(\d+)", line)}
            first = number + 1
            rows = lines[first : first + found.get("w", 0)] if "w" in found else []
            if not name or not rows:
                raise InputError(f"{path}:{number + 1}: expected a motif's name and w= its width")
            yield SequenceMotif(
                name, _matrix(path, first, rows, found["w"]), label, found.get("nsites", 0)
            )
            name = ""


def _matrix(path: Path, first: int, rows: list[str], width: int) -> Matrix:
    try:
        matrix = np.array([[float(word) for word in row.split()] for row in rows])
    except ValueError:
        matrix = np.empty((0, 0))
    sums = matrix.sum(axis=1) if matrix.shape == (width, 4) else np.zeros(1)
    if np.any(matrix < 0) or np.any(np.abs(sums - 1) > 0.02):
        raise InputError(
            f"{path}:{first + 1}: expected {width} lines of four probabilities that sum to 1"
        )
    return np.asarray(matrix / sums[:, None])


def write_meme(path: Path, motifs: Iterable[SequenceMotif]) -> None:
    """Write motifs as a MEME file."""
    lines = ["MEME version 4", "", "ALPHABET= ACGT", "", "strands: + -", ""]
    for motif in motifs:
        width = len(motif.matrix)
        lines += [
            f"MOTIF {motif.name} {motif.label}".rstrip(),
            f"letter-probability matrix: alength= 4 w= {width} nsites= {motif.sites} E= 0",
            *(" ".join(f"{value:.6f}" for value in row) for row in motif.matrix),
            "",
        ]
    write_text_atomic(path, "\n".join(lines))
