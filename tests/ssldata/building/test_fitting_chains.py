"""Chains of contigs that a genome lacks or excludes: left out and counted, or refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from ssldata.base.errors import InputError
from ssldata.building.fitting_chains import fitting_chains
from ssldata.chains.chain_index import ChainIndex, load_chain
from ssldata.genomes.genome import Genome, open_genome
from ssldata.liftover.lift import pieces
from ssldata.project.project_file import Windows

#: Contigs of the labelled genome and of the other one.
OLD = {"chr1": 900, "chr2": 800, "chrM": 100, "chr1_alt": 50}
NEW = {"sc1": 900, "sc2": 800, "MT": 100}
#: One chain each: target, its size, query, its size, aligned bases.
USED = [("chr1", 900, "sc1", 900, 600), ("chr2", 800, "sc2", 800, 500)]


def genome_of(path: Path, contigs: dict[str, int], aliases: dict[str, str]) -> Genome:
    path.write_text("".join(f">{name}\n{'ACGT' * 300}"[: size + len(name) + 2] + "\n"
                            for name, size in contigs.items()))  # fmt: skip
    return open_genome(path, aliases=aliases)


def fit(
    folder: Path, chains: list[tuple[str, int, str, int, int]], aliases: dict[str, str], **more: str
) -> tuple[ChainIndex, ChainIndex, dict[str, int], str]:
    """Return the index of all chains, of those that fit, and the account of the others."""
    lines = [
        f"chain 1 {target} {target_size} + 0 {size} {query} {query_size} + 0 {size} {at}\n{size}\n"
        for at, (target, target_size, query, query_size, size) in enumerate(chains)
    ]
    (folder / "c.chain").write_text("\n".join(lines))
    index = load_chain(folder / "c.chain", mixed=True)
    old = genome_of(folder / "old.fa", OLD, aliases)
    new = genome_of(folder / "new.fa", NEW, aliases={})
    windows = Windows(exclude_target=more.get("exclude_target", "MT").split())
    fitting, left_out = fitting_chains(folder / "c.chain", index, old, new, windows)
    return index, fitting, left_out.counts(), left_out.note


@pytest.mark.parametrize(
    ("chain", "out"),
    [
        (("chr1", 900, "sc2", 800, 400), 0),
        (("chrUn_KI270302v1", 400, "sc1", 900, 400), 1),  # lacking, and excluded by its name
        (("chr9", 400, "sc1", 900, 400), 1),
        (("chr1", 900, "HG989_PATCH", 500, 400), 1),
        (("chr9", 400, "sc9", 400, 400), 1),
        (("chrM", 100, "MT", 100, 90), 0),
        (("chrM", 98, "MT", 100, 90), 1),  # excluded, of another size
        (("chrM", 98, "sc1", 900, 90), 1),
        (("chrM", 100, "sc1", 901, 90), 1),
        (("chr1", 900, "MT", 98, 90), 1),
        (("chr1_alt", 60, "sc1", 900, 60), 1),
        (("chr1_alt", 60, "sc1", 900, 50), 1),
    ],
)
def test_chains_that_do_not_fit_are_left_out_and_counted(
    tmp_path: Path, chain: tuple[str, int, str, int, int], out: int
) -> None:
    index, fitting, counts, note = fit(tmp_path, [USED[0], chain, USED[1]], {})
    assert counts == {"chains_left_out": out, "chain_bases_left_out": out * chain[-1]}
    assert fitting.chains == 3 - out
    assert fitting.digest == index.digest
    assert ("1 of 3 chains left out" in note) == bool(out)
    assert not out or any(name in note for name in (chain[0], chain[2]))


@pytest.mark.parametrize(
    ("chains", "words"),
    [
        # Contigs that are used, of other sizes: all of them, in the genomes or between chains.
        ([("chr1", 901, "sc1", 900, 10)], ["target contig chr1 has 901 b, but 900 b in", "old.fa"]),
        ([("chr1", 900, "sc1", 899, 10)], ["query contig sc1 has 899 b, but 900 b in", "new.fa"]),
        (
            [
                ("chr1", 920, "MT", 910, 910),
                ("chr2", 801, "sc2", 799, 9),
                ("chr1", 902, "MT", 7, 7),
            ],
            ["chr1 has 920", "chr1 has 902", "chr2 has 801", "sc2 has 799"],
        ),
        (
            [("chr1", 901 + size, "sc1", 900, 9) for size in range(7)],
            ["chr1 has 901", "chr1 has 904", "and 3 more"],
        ),
        # More than half of the bases on contigs that a genome lacks.
        (
            [("chr9", 2000, "sc1", 900, 900), ("chr8", 900, "sc1", 900, 300)],
            ["52% of its aligned bases, 2 of 4 chains", "old.fa", "chr9, chr8", "'aliases'"],
        ),
        ([("chr1", 900, "9", 2000, 900), ("chr1", 900, "8", 400, 300)], ["new.fa", "9, 8"]),
        # One contig by two names, each of which would hide the chains of the other.
        ([("1", 900, "sc1", 900, 100)], ["target contigs chr1 and 1 are one contig of", "old.fa"]),
    ],
)
def test_another_assembly_is_refused_in_one_line(
    tmp_path: Path, chains: list[tuple[str, int, str, int, int]], words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        fit(tmp_path, [*USED, *chains], {"1": "chr1"})
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "c.chain"))
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_excluded_contigs_never_count_as_most_of_a_chain(tmp_path: Path) -> None:
    patches = [(f"chr1_fix{n}", 9000, "sc1", 900, 900) for n in range(5)]
    _, fitting, counts, _ = fit(tmp_path, [*USED, *patches], {})
    assert (fitting.chains, counts["chains_left_out"]) == (2, 5)
    patches = [("chr1", 900, f"HG{n}", 9000, 900) for n in range(5)]
    with pytest.raises(InputError, match="another assembly"):
        fit(tmp_path, [*USED, *patches], {})
    _, fitting, counts, _ = fit(tmp_path, [*USED, *patches], {}, exclude_target="HG*")
    assert (fitting.chains, counts["chains_left_out"]) == (2, 5)


def test_some_chains_of_an_index_are_those_of_a_file_without_the_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    texts = []
    for at in range(40):
        name, start, blocks = f"chr{rng.integers(3)}", rng.integers(500), rng.integers(1, 5, 6)
        size = int(blocks.sum()) + 10  # five gaps of two bases
        lines = [f"{block}\t2\t2" for block in blocks[:-1]] + [str(blocks[-1])]
        head = f"chain 9 {name} 900 + {start} {start + size} sc{rng.integers(3)} 900 - 5 {5 + size}"
        texts.append("\n".join([f"{head} {at}", *lines, ""]))
    chosen = rng.random(40) < 0.6
    for name, some in (("all", texts), ("some", list(itertools.compress(texts, chosen)))):
        (tmp_path / name).write_text("\n".join(some))
    whole, expected = load_chain(tmp_path / "all"), load_chain(tmp_path / "some")
    start = np.arange(0, 900, 30)
    for contig in ("chr0", "chr1", "chr2"):
        found = []
        for index in (whole.only(chosen[whole.chain_position]), expected):
            under = pieces(index, [contig] * len(start), start, start + 45)
            ids = index.chain_id[under.chain]
            names = [index.query_names[code] for code in under.query_contig]
            columns = (under.interval, under.target_start, under.length, under.query_start)
            found.append(sorted(zip(names, ids, *columns, strict=True)))
        assert found[0] == found[1]
        assert found[0]
