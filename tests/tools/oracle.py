"""What a built store must hold, worked out slowly and obviously from a simulated clade's truth.

Nothing here is imported from the package but the project's settings and the truth. Loops go over
single bases and bins; speed does not matter. It follows ``docs/store-format.md``. Where that page
leaves a choice, the reading taken is:

1. Peaks on an excluded contig of the reference are no source: nothing is lifted from them, and
   they take no locus number. (An alternate haplotype of a test contig would otherwise train.)
2. A fixed-width peak is clipped to its contig; the clipped interval is the source.
3. Merged peaks ("loci") are maximal runs of covered bases, so abutting peaks are one locus.
4. A bin's locus is the locus of its source peak (most bases in the bin, lowest index), also in
   ``lift-bins``, where its source is the bin itself. Rows with label 0 have neither.
5. ``lift-bins`` lifts the positive bins that the reference keeps: one dropped for N or its context
   is no source. Two sources that land on the same target bases stay two rows.
6. The bases left over at the end of a contig are no bin.
7. A target bin counts as touched by a split when at least one base of it belongs to a mapped peak
   of that split on a contig that is not excluded; the two-split rule is applied to positive bins,
   before the checks for N and for the end of the contig.
8. The strand of a lifted interval is that of most of its aligned bases, '+' on a tie. A base that
   aligns to two places counts twice there, and once among the aligned bases.
9. Why an interval has no homologue, the first that applies: no base aligned (DELETED), loci on
   several contigs (MULTI_CONTIG), several loci on one contig (DISTANT), one locus but a smaller
   fraction aligned than ``min_aligned`` (PARTIAL).
10. Identity is the share of aligned base pairs with the same letter; pairs with N do not count.
"""

from __future__ import annotations

import fnmatch
import gzip
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ssldata.project.project_file import Project
from ssldata.simulation.truth import World

TRAIN, VALIDATION, TEST = 0, 1, 2
_COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}


@dataclass(frozen=True)
class Source:
    """A source interval in the labelled genome."""

    contig: str
    start: int
    end: int
    label: tuple[int, ...]
    split: int
    locus: int


@dataclass(frozen=True, order=True)
class Row:
    """One row of a store: the bin, and the stored sequence as letters."""

    contig: str
    start: int
    end: int
    strand: int
    label: tuple[int, ...]
    coverage: tuple[int, ...]
    split: int
    source: int
    locus: int
    sequence: str


@dataclass(frozen=True)
class Lifted:
    """What became of a source interval in one genome."""

    status: str
    contig: str = ""
    start: int = -1
    end: int = -1
    strand: int = 0
    aligned: int = 0
    identity: float = 0.0
    pieces: int = 0
    loci: int = 0


@dataclass
class Expected:
    """Rows of a group and why others are not there."""

    rows: list[Row] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def read_text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("ascii")


def read_fasta(path: Path) -> dict[str, str]:
    """Return upper-case sequences by contig, in file order."""
    sequences: dict[str, list[str]] = {}
    name = ""
    for line in read_text(path).splitlines():
        if line.startswith(">"):
            name = line[1:].split()[0]
            sequences[name] = []
        else:
            sequences[name].append(line.strip().upper())
    return {name: "".join(lines) for name, lines in sequences.items()}


def reverse_complement(sequence: str) -> str:
    return "".join(_COMPLEMENT[base] for base in reversed(sequence))


def matches_any(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Oracle:
    """Everything a store of `experiments` must hold.

    Parameters
    ----------
    project
        Read from the project file of the simulated clade, possibly with other settings.
    world
        The truth.
    experiments
        Label columns of the store.
    """

    def __init__(self, project: Project, world: World, experiments: list[str]) -> None:
        assert project.negatives.source == "reference"
        assert project.split.validation
        assert project.liftover.mode == "blocks"
        self.project = project
        self.world = world
        self.experiments = experiments
        self.reference = read_fasta(project.reference.sequence)
        self.genomes = {g.name: read_fasta(g.sequence) for g in project.genomes}
        self.excluded_peaks = 0
        self.peaks = self._sorted_peaks()
        self._number_loci()
        self.bins = self._label_bins()
        self.expected_reference = self._reference()
        self.sources = self._sources()

    # ---- the labelled genome -------------------------------------------------------------------

    def split_of(self, contig: str) -> int:
        if contig in self.project.split.test:
            return TEST
        if contig in self.project.split.validation:
            return VALIDATION
        return TRAIN

    def _sorted_peaks(self) -> list[tuple[str, int, int, int]]:
        """Return (contig, start, end, experiment), sorted by contig as in the FASTA, start, end."""
        order = list(self.reference)
        peaks = []
        for number, name in enumerate(self.experiments):
            experiment = self.project.experiment(name)
            for line in read_text(experiment.peaks).splitlines():
                fields = line.split("\t")
                contig = fields[0]
                if contig not in self.reference:
                    contig = self.project.reference.aliases[contig]
                start, end = int(fields[1]), int(fields[2])
                if experiment.width is not None:
                    middle = (start + end) // 2
                    summit = start + int(fields[9]) if len(fields) == 10 else middle
                    start = summit - experiment.width // 2
                    end = start + experiment.width
                    start = max(start, 0)
                    end = min(end, len(self.reference[contig]))
                if matches_any(contig, self.project.windows.exclude):
                    self.excluded_peaks += 1
                    continue
                peaks.append((contig, start, end, number))
        peaks.sort(key=lambda peak: (order.index(peak[0]), peak[1], peak[2]))
        return peaks

    def _number_loci(self) -> None:
        """Set the locus of every peak: which run of covered bases it belongs to."""
        covered: dict[str, set[int]] = {name: set() for name in self.reference}
        for contig, start, end, _ in self.peaks:
            covered[contig].update(range(start, end))
        locus_at: dict[tuple[str, int], int] = {}
        number = -1
        for contig, sequence in self.reference.items():
            for position in range(len(sequence)):
                if position in covered[contig]:
                    if position - 1 not in covered[contig]:
                        number += 1
                    locus_at[contig, position] = number
        self.loci = number + 1
        self.peak_locus = [locus_at[contig, start] for contig, start, _, _ in self.peaks]

    def _label_bins(self) -> dict[tuple[str, int], tuple[tuple[int, ...], int]]:
        """Return coverage per experiment and source peak of every bin that a peak touches."""
        size = self.project.windows.size
        covered: dict[tuple[str, int], set[int]] = {}
        by_peak: dict[tuple[str, int], Counter[int]] = {}
        for index, (contig, start, end, experiment) in enumerate(self.peaks):
            for position in range(start, end):
                key = contig, position // size
                by_peak.setdefault(key, Counter())[index] += 1
                covered.setdefault((contig, position), set()).add(experiment)
        bins = {}
        for (contig, number), counts in by_peak.items():
            coverage = [0] * len(self.experiments)
            for position in range(number * size, (number + 1) * size):
                for experiment in covered.get((contig, position), ()):
                    coverage[experiment] += 1
            bins[contig, number] = tuple(coverage), best(counts)
        return bins

    def label_of(self, coverage: tuple[int, ...]) -> tuple[int, ...]:
        size, least = self.project.windows.size, self.project.windows.min_overlap
        return tuple(int(bases / size > least) for bases in coverage)

    def window(self, sequence: str, start: int, end: int, strand: int) -> str | None:
        """Return the stored sequence of a bin, or None when it leaves the contig."""
        pad = (self.project.windows.stored - self.project.windows.size) // 2
        if start - pad < 0 or end + pad > len(sequence):
            return None
        stored = sequence[start - pad : end + pad]
        return stored if strand > 0 else reverse_complement(stored)

    def _reference(self) -> Expected:
        windows = self.project.windows
        expected = Expected()
        positive_number = 0
        for contig, sequence in self.reference.items():
            for number in range(len(sequence) // windows.size):
                start, end = number * windows.size, (number + 1) * windows.size
                if matches_any(contig, windows.exclude):
                    expected.dropped["excluded_contig"] += 1
                    continue
                stored = self.window(sequence, start, end, 1)
                if stored is None:
                    expected.dropped["off_contig"] += 1
                    continue
                if windows.n_policy == "drop" and "N" in stored:
                    expected.dropped["has_n"] += 1
                    continue
                nothing = (0,) * len(self.experiments), -1
                coverage, peak = self.bins.get((contig, number), nothing)
                label = self.label_of(coverage)
                split = self.split_of(contig)
                if not any(label) and any(coverage):
                    keep = windows.partial_in_test
                    if split == TRAIN:
                        keep = self.project.negatives.half_covered == "negative"
                    if not keep:
                        expected.dropped["partial_left_out"] += 1
                        continue
                source = locus = -1
                if any(label):
                    locus = self.peak_locus[peak]
                    source = positive_number if windows.mode == "lift-bins" else peak
                    positive_number += 1
                expected.rows.append(
                    Row(contig, start, end, 1, label, coverage, split, source, locus, stored)
                )
        return expected

    def _sources(self) -> list[Source]:
        if self.project.windows.mode == "lift-bins":
            return [
                Source(row.contig, row.start, row.end, row.label, row.split, row.locus)
                for row in self.expected_reference.rows
                if any(row.label)
            ]
        sources = []
        for (contig, start, end, experiment), locus in zip(
            self.peaks, self.peak_locus, strict=True
        ):
            label = tuple(int(experiment == e) for e in range(len(self.experiments)))
            sources.append(Source(contig, start, end, label, self.split_of(contig), locus))
        return sources

    def take_sources(self, intervals: list[tuple[str, int, int]]) -> None:
        """Lift these intervals of the labelled genome instead of the peaks."""
        self.sources = [
            Source(contig, start, end, (1,), TRAIN, -1) for contig, start, end in intervals
        ]

    # ---- a target genome -----------------------------------------------------------------------

    def lift(self, genome: str) -> list[Lifted]:
        """Return what became of every source in `genome`, by the truth."""
        relative = self.world.genome(genome)
        maps = {
            (contig, copy): self.world.base_map(genome, contig, copy=copy)
            for contig in {source.contig for source in self.sources}
            for copy in (0, 1)
        }
        results = []
        for source in self.sources:
            pieces: list[tuple[int, int, int]] = []
            strands: Counter[int] = Counter()
            aligned: set[int] = set()
            matches = compared = 0
            for copy in (0, 1):
                contigs, positions, turns = maps[source.contig, copy]
                before: tuple[int, int, int] | None = None
                for base in range(source.start, source.end):
                    here = int(contigs[base]), int(positions[base]), int(turns[base])
                    if here[0] < 0:
                        before = None
                        continue
                    strands[here[2]] += 1
                    aligned.add(base)
                    old = self.reference[source.contig][base]
                    new = self.genomes[genome][relative.contigs[here[0]]][here[1]]
                    new = new if here[2] > 0 else _COMPLEMENT[new]
                    if "N" not in (old, new):
                        compared += 1
                        matches += old == new
                    if before is not None and here == (before[0], before[1] + before[2], before[2]):
                        contig, start, end = pieces[-1]
                        pieces[-1] = contig, min(start, here[1]), max(end, here[1] + 1)
                    else:
                        pieces.append((here[0], here[1], here[1] + 1))
                    before = here
            loci = merge_pieces(pieces, self.project.liftover.gap)
            common = {
                "aligned": len(aligned),
                "identity": matches / max(compared, 1),
                "pieces": len(pieces),
                "loci": len(loci),
            }
            fraction = len(aligned) / (source.end - source.start)
            if not loci:
                results.append(Lifted("DELETED"))
            elif len({contig for contig, _, _ in loci}) > 1:
                results.append(Lifted("MULTI_CONTIG", **common))
            elif len(loci) > 1:
                results.append(Lifted("DISTANT", **common))
            elif fraction < self.project.liftover.min_aligned:
                results.append(Lifted("PARTIAL", **common))
            else:
                contig, start, end = loci[0]
                strand = 1 if strands[1] >= strands[-1] else -1
                name = relative.contigs[contig]
                results.append(Lifted("MAPPED", name, start, end, strand, **common))
        return results

    def homologues(self, genome: str) -> Expected:
        """Return the rows of ``homologs/<genome>``."""
        lifted = self.lift(genome)
        expected = Expected()
        usable = []
        for index, result in enumerate(lifted):
            if result.status != "MAPPED":
                continue
            if matches_any(result.contig, self.project.windows.exclude_target):
                expected.dropped["excluded_contig"] += 1
                continue
            usable.append(index)
        if self.project.windows.mode == "lift-bins":
            found = self._centred(lifted, usable)
        else:
            found = self._rebinned(genome, lifted, usable, expected)
        for contig, start, coverage, source in found:
            end = start + self.project.windows.size
            sequence = self.genomes[genome][contig]
            strand = lifted[source].strand
            stored = self.window(sequence, start, end, strand)
            if stored is None:
                expected.dropped["off_contig"] += 1
                continue
            if self.project.windows.n_policy == "drop" and "N" in stored:
                expected.dropped["has_n"] += 1
                continue
            origin = self.sources[source]
            label = self.label_of(coverage)
            row = Row(
                contig, start, end, strand, label, coverage, origin.split, source, origin.locus,
                stored,
            )  # fmt: skip
            expected.rows.append(row)
        self._drop_near_held_out(expected)
        return expected

    def _drop_near_held_out(self, expected: Expected) -> None:
        """Take out train rows whose stored bases are also stored for a held-out row."""
        margin = (
            (len(expected.rows[0].sequence) - self.project.windows.size) // 2
            if expected.rows
            else 0
        )

        def bases(row: Row) -> set[tuple[str, int]]:
            return {(row.contig, p) for p in range(row.start - margin, row.end + margin)}

        held_out = {base for row in expected.rows if row.split != 0 for base in bases(row)}
        kept = [row for row in expected.rows if row.split != 0 or not bases(row) & held_out]
        expected.dropped["near_held_out"] += len(expected.rows) - len(kept)
        expected.rows[:] = kept

    def _centred(
        self, lifted: list[Lifted], usable: list[int]
    ) -> list[tuple[str, int, tuple[int, ...], int]]:
        size = self.project.windows.size
        found = []
        for index in usable:
            result, source = lifted[index], self.sources[index]
            coverage, _ = self.bins[source.contig, source.start // size]
            start = (result.start + result.end) // 2 - size // 2
            found.append((result.contig, start, coverage, index))
        return found

    def _rebinned(
        self, genome: str, lifted: list[Lifted], usable: list[int], expected: Expected
    ) -> list[tuple[str, int, tuple[int, ...], int]]:
        size = self.project.windows.size
        touching: dict[tuple[str, int], Counter[int]] = {}
        covered: dict[tuple[str, int], set[int]] = {}
        for index in usable:
            result, source = lifted[index], self.sources[index]
            for position in range(result.start, result.end):
                touching.setdefault((result.contig, position // size), Counter())[index] += 1
                here = covered.setdefault((result.contig, position), set())
                here.update(e for e, yes in enumerate(source.label) if yes)
        found = []
        for (contig, number), counts in touching.items():
            start = number * size
            if start + size > len(self.genomes[genome][contig]):
                continue  # the rest at the end of a contig is no bin
            coverage = [0] * len(self.experiments)
            for position in range(start, start + size):
                for experiment in covered.get((contig, position), ()):
                    coverage[experiment] += 1
            if not any(self.label_of(tuple(coverage))):
                continue
            if len({self.sources[index].split for index in counts}) > 1:
                expected.dropped["two_splits"] += 1
                continue
            found.append((contig, start, tuple(coverage), best(counts)))
        return found


def best(counts: Counter[int]) -> int:
    """Return the key with the largest count; of equals the lowest."""
    return min(counts, key=lambda index: (-counts[index], index))


def merge_pieces(pieces: list[tuple[int, int, int]], gap: int) -> list[tuple[int, int, int]]:
    """Merge pieces (contig, start, end) that lie less than `gap` bases apart."""
    loci: list[tuple[int, int, int]] = []
    for contig, start, end in sorted(pieces):
        if loci and loci[-1][0] == contig and start - loci[-1][2] < gap:
            loci[-1] = contig, loci[-1][1], max(end, loci[-1][2])
        else:
            loci.append((contig, start, end))
    return loci
