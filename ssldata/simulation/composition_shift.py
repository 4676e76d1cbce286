"""A planted species shortcut: relatives of a simulated clade with more G and C than the reference.

A network that is pre-trained on positives of the relatives and negatives of the labelled genome
can then tell the classes by composition, without any motif; so checks and controls of it have
something to find, and its size is known.
"""

from __future__ import annotations

import gzip

import numpy as np

from ssldata.base.keyed_random import uniform_rows
from ssldata.simulation.clade_files import write_bytes
from ssldata.simulation.truth import World

#: A → G and T → C, soft-masked bases too.
_SHIFT = bytes.maketrans(b"ATat", b"GCgc")


def shift_composition(world: World, share: float, *, seed: int = 0) -> None:
    """Turn a share of the A and T of every relative into G and C; binding sites are spared.

    The genomes of the project are rewritten in place; coordinates, chains and peaks stay true. The
    truth of the alignment stays true too, that of identical bases does not.

    Parameters
    ----------
    world
        Of :func:`ssldata.simulation.clade.simulate_clade`.
    share
        Fraction of A and T that becomes G and C (transitions), 0 to 1.
    seed
        Equal seeds give equal bytes.
    """
    width = max(len(motif) for motif in world.motifs)
    for genome in world.genomes:
        path = next(iter(sorted(world.folder.glob(f"genomes/{genome.name}.fa*"))))
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        pieces = []
        for record in text.split(b">")[1:]:
            name, _, lines = record.partition(b"\n")
            letters = np.frombuffer(lines.replace(b"\n", b""), np.uint8)
            contig = genome.contigs.index(name.decode("ascii"))
            change = (
                uniform_rows(np.arange(len(letters)), "composition", seed, genome.name, contig)
                < share
            )
            for start in genome.sites[genome.sites[:, 0] == contig, 1].tolist():
                change[start : start + width] = False
            shifted = np.frombuffer(letters.tobytes().translate(_SHIFT), np.uint8)
            ends = np.frombuffer(lines, np.uint8) == ord("\n")
            written = np.full(len(lines), ord("\n"), np.uint8)
            written[~ends] = np.where(change, shifted, letters)
            pieces.append(b">" + name + b"\n" + written.tobytes())
        write_bytes(path, b"".join(pieces))
