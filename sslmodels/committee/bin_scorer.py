"""What the members of a committee say of bins, with their homologues and their conservation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray, Int8Array, Int32Array, Int64Array
from ssldata.building.build_inputs import open_labelled
from ssldata.conservation.aligned_bases import padded_windows
from ssldata.conservation.conserved_windows import ConservedWindows
from ssldata.conservation.homologue_windows import HomologueWindows
from ssldata.conservation.profile import bin_windows, composition_profile, conservation_profile
from ssldata.genomes.onehot import reverse_complement
from ssldata.project.project_file import Project
from ssldata.reading.read_window import central
from sslmodels.baselines.em_motif import EmMotif
from sslmodels.committee.committee import mean_over_groups
from sslmodels.committee.committee_file import CONSERVATION, MOTIF, NETWORK, Committee
from sslmodels.committee.motif_site import site_features
from sslmodels.scores.score_rows import score_both_strands

Floats = NDArray[np.float64]
#: Scores base codes (n, length) of windows of the network's length: float64 (n,).
SequenceMember = Callable[[ByteArray], Floats]

#: Largest probability below 1 in float32, and a smallest one above 0.
_BELOW_ONE, _ABOVE_ZERO = 1 - 2.0**-25, 2.0**-126


def sequence_members(
    network: keras.Model, members: Mapping[str, Any], size: int
) -> dict[str, SequenceMember]:
    """Return the members that score sequences, by name.

    Parameters
    ----------
    network
        Of one output; its log-odds are of the mean probability of both strands.
    members
        As of :class:`sslmodels.committee.committee_file.Committee`; conservation is left out.
    size
        Bases of a bin: what motif and k-mers read of a window.
    """

    def of_network(codes: ByteArray) -> Floats:
        p = score_both_strands(network, central(codes, int(network.length)))[:, 0]
        p = np.clip(p.astype(np.float64), _ABOVE_ZERO, _BELOW_ONE)
        return np.asarray(np.log(p) - np.log1p(-p))

    def of_bin(member: Any) -> SequenceMember:
        return lambda codes: member.score(np.ascontiguousarray(central(codes, size)))

    others = {name: of_bin(m) for name, m in members.items() if name != CONSERVATION}
    return {NETWORK: of_network, **others}


def probabilities(log_odds: Floats) -> NDArray[np.float32]:
    """Return the probabilities of log-odds."""
    return (1 / (1 + np.exp(-np.clip(log_odds, -80, 80)))).astype(np.float32)


def log_odds_alone(network: keras.Model, committee: Committee, codes: ByteArray) -> Floats:
    """Return what a committee says of sequences of which nothing else is known, float64 (n,).

    Parameters
    ----------
    network, committee
        The committee.
    codes
        Base codes (n, length), at least what the network reads.
    """
    if not len(codes):
        return np.zeros(0)
    members = sequence_members(network, committee.members, committee.size)
    return committee.alone.log_odds({name: member(codes) for name, member in members.items()})


class BinScorer:
    """Scores bins of the labelled genome of a project by a committee.

    Parameters
    ----------
    project
        The project, whose genomes and chains are opened.
    network
        The network of the committee.
    committee
        The other members, and how all are combined.
    contigs
        Names of the contigs that bins refer to.

    Attributes
    ----------
    length
        Bases of the windows that are scored.

    Raises
    ------
    CrosslabelError
        A genome or chain is missing or wrong, or the project does not have a genome.
    """

    def __init__(
        self,
        project: Project,
        network: keras.Model,
        committee: Committee,
        *,
        contigs: Sequence[str],
    ) -> None:
        self._committee = committee
        self.length = max(int(network.length), committee.size)
        self._members = sequence_members(network, committee.members, committee.size)
        self._evidence = BinEvidence(
            project,
            groups=committee.groups,
            length=self.length,
            contigs=contigs,
        )

    def probabilities(self, codes: ByteArray, *where: Any) -> NDArray[np.float32]:
        """Return the probabilities of windows, float32 (n,); parameters of :meth:`log_odds`."""
        return probabilities(self.log_odds(codes, *where))

    def of_places(
        self,
        contig: Int32Array,
        start: Int64Array,
        end: Int64Array,
        strand: Int8Array | None = None,
    ) -> NDArray[np.float32]:
        """Return the probabilities of places, float32 (n,), whose bases are read here.

        Parameters
        ----------
        contig, start, end, strand
            As of :meth:`log_odds`. Where the window of a place leaves its contig it holds N.
        """
        codes = self._evidence.codes(contig, (start + end) // 2 - self.length // 2, self.length)
        if strand is not None:
            turned = strand < 0
            codes[turned] = reverse_complement(codes[turned])
        return self.probabilities(codes, contig, start, end, strand)

    @property
    def identity(self) -> Any:
        """What decides the scores beyond the model files: genomes and chains; JSON."""
        return self._evidence.identity

    def log_odds(
        self,
        codes: ByteArray,
        contig: Int32Array,
        start: Int64Array,
        end: Int64Array,
        strand: Int8Array | None = None,
    ) -> Floats:
        """Return the log-odds of windows, float64 (n,).

        Parameters
        ----------
        codes
            Base codes (n, length), at least what the network reads.
        contig, start, end, strand
            Where the windows lie, 0-based half-open; the bin is in their middle.
        """
        if not len(codes):
            return np.zeros(0)
        scores = self._evidence.of_sequences(self._members, codes, contig, start, end, strand)
        trees = self._committee.members.get(CONSERVATION)
        if trees is not None:
            motif = self._committee.members.get(MOTIF)
            scores[CONSERVATION] = trees.score(self._evidence.profile(contig, start, end, motif))
        return self._committee.combined.log_odds(scores)


class BinEvidence:
    """Homologues and conservation of bins, for groups of target genomes.

    Parameters
    ----------
    project, contigs
        As of :class:`BinScorer`.
    groups
        Names of the target genomes, in groups; none: only the bins themselves are looked at.
    length
        Bases of the windows that members read.
    """

    def __init__(
        self,
        project: Project,
        *,
        groups: Sequence[Sequence[str]],
        length: int,
        contigs: Sequence[str],
    ) -> None:
        names = [name for group in groups for name in group]
        numbers = iter(range(len(names)))
        self._groups = [[next(numbers) for _ in group] for group in groups]
        self._size = project.windows.size
        self._homologues = self._conserved = None
        # Tables of sequences come without a genome; their rows bring all bases that are read.
        self._reference = None if project.of_sequences else open_labelled(project)
        if names:
            self._homologues = HomologueWindows(
                project, length=length, contigs=contigs, genomes=names
            )
            self._conserved = ConservedWindows(project, names)
        if self._reference is not None:
            index = self._reference.index
            self._contigs = np.array([index(name) for name in contigs], np.int32)

    @property
    def identity(self) -> Any:
        """What decides homologues and conservation; JSON."""
        if self._homologues is None or self._conserved is None:
            return None
        return [self._homologues.identity, self._conserved.identity]

    def codes(self, contig: Int32Array, start: Int64Array, length: int) -> ByteArray:
        """Return bases of the labelled genome, uint8 (n, length); N outside a contig."""
        assert self._reference is not None, "a project of sequences has no places to read"
        return padded_windows(self._reference, self._contigs[contig], start, length)

    def of_sequences(
        self,
        members: Mapping[str, SequenceMember],
        codes: ByteArray,
        contig: Int32Array,
        start: Int64Array,
        end: Int64Array,
        strand: Int8Array | None = None,
    ) -> dict[str, Floats]:
        """Return the scores of sequence members, averaged over bins and their homologues.

        Parameters
        ----------
        members
            Of :func:`sequence_members`.
        codes, contig, start, end, strand
            As of :meth:`BinScorer.log_odds`.
        """
        own = {name: member(codes) for name, member in members.items()}
        if self._homologues is None:
            return own
        found: dict[str, list[tuple[int, NDArray[np.int64], Floats]]] = {name: [] for name in own}
        for number, rows, theirs in self._homologues.of(contig, start, end, strand):
            for name, member in members.items():
                found[name].append((number, rows, member(theirs)))
        return {name: mean_over_groups(own[name], found[name], self._groups) for name in own}

    def profile(
        self,
        contig: Int32Array,
        start: Int64Array,
        end: Int64Array,
        motif: EmMotif | None = None,
    ) -> NDArray[np.float32]:
        """Return how bins are conserved, float32 (n, features).

        That of the bin and what surrounds it (:mod:`ssldata.conservation.profile`), the
        composition, and that of the best site of a motif (:mod:`.motif_site`).

        Parameters
        ----------
        contig, start, end
            As of :meth:`BinScorer.log_odds`.
        motif
            The motif of the committee; None: it has none.
        """
        assert self._conserved is not None
        size = self._size
        first = (start + end) // 2 - size // 2
        log_odds = None if motif is None else np.log(motif.matrix / motif.background)
        parts = []
        for reference, aligned in self._conserved.of(
            self._contigs[contig], *bin_windows(first, size)
        ):
            features = [
                conservation_profile(reference, aligned, self._groups),
                composition_profile(reference),
            ]
            if log_odds is not None:
                bins, theirs = central(reference, size), [central(a, size) for a in aligned]
                features.append(site_features(bins, theirs, log_odds, self._groups))
            parts.append(np.concatenate(features, axis=1))
        return np.concatenate(parts)
