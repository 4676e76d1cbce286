"""Findings on the liftover of each genome, and which genomes are worse than they should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from ssldata.lift_checks.lift_quality import LiftQuality
from ssldata.trust.findings import Finding, FindingTable, Mark

#: A genome is an outlier beyond this many robust standard deviations: the limit of Iglewicz and
#: Hoaglin (1993), How to detect and handle outliers, for 0.6745 · difference / MAD.
OUTLIER = 3.5
#: The smallest standard deviation: differences between sound assemblies of one distance reach 2 %
#: of the sources (S. paradoxus in the yeast project), so that less than 7 % flags nothing.
SMALLEST_SPREAD = 0.02
#: Genomes compared with, and how much nearer one may be and still count as equally far. Of three
#: one may be bad itself, and the median stays.
_COMPARED, _AS_FAR = 3, 0.02
#: Shares of mapped sources below which a genome gives hardly any rows.
FEW, NONE = 0.10, 0.01
#: Sources must be nearer than stated · this + that: they are conserved, so they usually are.
_TIMES, _MORE = 1.5, 0.03
#: Share of N in homologues that is too much: rows with N are dropped.
MOST_N = 0.05
#: Share of homologues of another length that is too much at any distance. Chained alignments have
#: 0 to 1 % (yeast) and 2 to 13 % (mammals), pieces never chained 30 % (S. arboricolus).
MOST_OTHER_LENGTH = 0.20

#: What is judged: name, the share of what is wrong, and of how many things it is a share.
_JUDGED: tuple[tuple[str, Callable[[LiftQuality], float | None], Callable[[LiftQuality], int]], ...]
_JUDGED = (
    ("not mapped", lambda q: 1 - q.mapped_share, lambda q: q.sources),
    ("several places", lambda q: q.several / max(1, q.sources), lambda q: q.sources),
    ("not aligned", lambda q: None if q.aligned is None else 1 - q.aligned, lambda q: q.mapped),
    ("other length", lambda q: q.other_length, lambda q: q.mapped),
    ("strand turned", lambda q: q.turned, lambda q: q.mapped),
    ("contig broken", lambda q: q.broken, lambda q: q.mapped),
    ("place shared", lambda q: q.shared, lambda q: q.mapped),
    ("rows with N", lambda q: q.has_n / max(1, q.rows + q.has_n), lambda q: q.rows + q.has_n),
)


class Outlier(NamedTuple):
    """A genome that is worse than those at least as far from the reference."""

    genome: str
    what: str
    value: float
    expected: float
    spread: float
    compared: tuple[str, ...]


def outliers(measured: Sequence[LiftQuality]) -> tuple[list[Outlier], list[str]]:
    """Return genomes that are worse than genomes at least as far, and those not comparable.

    What is lost in a liftover grows with the distance of a genome. So a genome is compared with
    those that are at least as far by the identity of their homologues (up to three, the nearest
    ones): it is an outlier if it is worse than their median by more than 3.5 standard deviations.
    That is the largest of the robust one, the binomial one, and 0.02. The robust one is 1.4826
    times the median distance of all other genomes from a curve that only rises with distance, so
    that it does not hold what distance explains. Two genomes suffice; the farthest has none to be
    compared with.

    Parameters
    ----------
    measured
        One for each genome.
    """
    placed = [q for q in measured if q.distance is not None]
    found, alone = [], [q.genome for q in measured if q.distance is None]
    for q in placed:
        others = sorted(
            (o for o in placed if o is not q and _far(o) >= _far(q) - _AS_FAR), key=_far
        )[:_COMPARED]
        if not others:
            alone.append(q.genome)
            continue
        for what, share, of in _JUDGED:
            value = share(q)
            values = [v for o in others if (v := share(o)) is not None]
            if value is None or not values:
                continue
            expected = float(np.median(values))
            n = max(1, of(q))
            p = (expected * n + 1) / (n + 2)
            spread = max(
                _scatter(
                    [(_far(o), v) for o in placed if o is not q and (v := share(o)) is not None]
                ),
                float(np.sqrt(p * (1 - p) / n)),
                SMALLEST_SPREAD,
            )
            if value - expected > OUTLIER * spread:
                names = tuple(o.genome for o in others)
                found.append(Outlier(q.genome, what, value, expected, spread, names))
    return found, alone


def _scatter(points: Sequence[tuple[float, float]]) -> float:
    """Return the robust standard deviation of shares around a curve that rises with distance."""
    shares = np.array([share for _, share in sorted(points)])
    return 1.4826 * float(np.median(np.abs(shares - isotonic_regression(shares).x)))


def lift_findings(measured: Sequence[LiftQuality]) -> list[Finding]:
    """Return the findings on the liftover of the genomes of a store.

    Parameters
    ----------
    measured
        One for each genome; at least one.
    """
    ranked = sorted(measured, key=lambda q: (_far(q), q.genome))
    return [
        _mapped(ranked),
        _homologues(ranked),
        _outlier_finding(ranked),
        _stated(ranked),
    ]


def _far(quality: LiftQuality) -> float:
    distance = quality.distance
    return float("inf") if distance is None else distance


def _mapped(ranked: Sequence[LiftQuality]) -> Finding:
    few = [q.genome for q in ranked if q.mapped_share < FEW]
    none = [q.genome for q in ranked if q.mapped_share < NONE]
    mark: Mark = "fail" if none else "warn" if few else "pass"
    low, high = min(ranked, key=_share), max(ranked, key=_share)
    sources = ranked[0].sources
    return Finding(
        "quality.mapped",
        "What became of the sources in each genome",
        mark,
        f"of {sources:,} sources {low.mapped_share:.0%} ({low.genome}) to "
        f"{high.mapped_share:.0%} ({high.genome}) have one homologue"
        + (f"; hardly any in {', '.join(few)}" if few else ""),
        "a source without one homologue gives no rows of that genome",
        "is it the chain from the reference to this genome? Otherwise leave the genome out"
        if few
        else "",
        {
            "genomes": len(ranked),
            "sources": sources,
            "lowest_mapped_fraction": low.mapped_share,
            "highest_mapped_fraction": high.mapped_share,
        },
        {
            "Sources": FindingTable(
                ("genome", "sources", "mapped", "merged", "distant", "on several contigs",
                 "partial", "unmapped", "refused", "mapped (share)", "rows", "lost for N",
                 "lost at ends", "mapped, without row"),
                tuple(
                    (q.genome, q.sources, q.mapped, q.merged, q.distant, q.several - q.distant,
                     q.partial, q.unmapped, q.other, q.mapped_share, q.rows, q.has_n,
                     q.off_contig, q.sources_without_row)
                    for q in ranked
                ),
                plot=("genome", "mapped (share)"),
            )
        },
    )  # fmt: skip


def _share(quality: LiftQuality) -> float:
    return quality.mapped_share


def _homologues(ranked: Sequence[LiftQuality]) -> Finding:
    known = [q for q in ranked if q.identity is not None]
    gaps = [q for q in known if (q.n or 0.0) > MOST_N]
    cut = [q for q in known if (q.other_length or 0.0) > MOST_OTHER_LENGTH]
    spans = [q.identity for q in known if q.identity is not None]
    summary = (
        f"median identity {min(spans):.2f} to {max(spans):.2f}" if spans else "nothing is mapped"
    )
    advice = []
    if gaps:
        summary += "; many N in " + ", ".join(f"{q.genome} ({q.n:.0%})" for q in gaps)
        advice.append("rows with N are dropped: a better assembly keeps more")
    if cut:
        summary += "; more than twice or less than half as long: " + ", ".join(
            f"{q.other_length:.0%} in {q.genome}" for q in cut
        )
        advice.append("alignments that were not chained are short pieces: make a better chain")
    return Finding(
        "quality.homologues",
        "How like their sources the homologues are",
        "warn" if gaps or cut else "note",
        summary,
        "a label is passed on to a sequence as far as the sequence is still the same",
        "; ".join(advice),
        {
            "lowest_identity_fraction": min(spans) if spans else None,
            "highest_identity_fraction": max(spans) if spans else None,
        },
        {
            "Homologues": FindingTable(
                ("genome", "identity (median)", "identity (10 % quantile)",
                 "substitutions per site", "aligned (mean share)", "length ratio (median)",
                 "other length (share)", "minus strand (share)", "strand turned (share)",
                 "contig broken (share)", "place shared (share)", "contigs", "contigs for 90 %",
                 "N (share)", "masked (share)", "masked in sources (share)"),
                tuple(
                    (q.genome, q.identity, q.identity_low, q.distance, q.aligned, q.length_ratio,
                     q.other_length, q.minus, q.turned, q.broken, q.shared, q.contigs,
                     q.contigs_of_most, q.n, q.masked, q.source_masked)
                    for q in ranked
                ),
                plot=("genome", "identity (median)"),
            )
        },
    )  # fmt: skip


def _outlier_finding(ranked: Sequence[LiftQuality]) -> Finding:
    found, alone = outliers(ranked)
    names = list(dict.fromkeys(o.genome for o in found))
    compared = len(ranked) - len(alone)
    mark: Mark = "warn" if found else "pass" if compared else "note"
    first = found[0] if found else None
    if first is not None:
        summary = (
            f"{', '.join(names)}: worse than genomes at least as far from the reference, such as "
            f"{first.what} {first.value:.0%} in {first.genome}, expected {first.expected:.0%}"
        )
    elif compared:
        summary = f"none of {compared} genomes is worse than those at least as far"
    else:
        summary = "not checked: no two genomes with homologues to compare"
    if alone and compared:
        summary += f"; {', '.join(alone)}: none as far to compare with"
    return Finding(
        "quality.outliers",
        "No genome is worse than its distance explains",
        mark,
        summary,
        "a nearer genome that loses more than a farther one has a bad assembly or a bad chain",
        "look at its assembly and its chain, or `crosslabel store yank STORE GENOME`"
        if found
        else "",
        {"outlier_genomes": len(names), "compared_genomes": compared},
        {
            "Outliers": FindingTable(
                ("genome", "what", "share", "expected", "standard deviations", "compared with"),
                tuple(
                    (o.genome, o.what, o.value, o.expected, (o.value - o.expected) / o.spread,
                     ", ".join(o.compared))
                    for o in found
                ),
            )
        } if found else {},
    )  # fmt: skip


def _stated(ranked: Sequence[LiftQuality]) -> Finding:
    rows, wrong = [], []
    for q in ranked:
        if q.stated is None or q.mean_identity is None:
            continue
        most = _TIMES * q.stated + _MORE
        far = _far(q) > most
        rows.append((q.genome, q.stated, q.distance, most, "too far" if far else "as stated"))
        wrong += [q.genome] if far else []
    mark: Mark = "warn" if wrong else "pass" if rows else "note"
    summary = (
        f"{', '.join(wrong)}: the homologues differ more than the stated distance explains"
        if wrong
        else f"the homologues of {len(rows)} genomes are as near as stated, or nearer"
        if rows
        else "not checked: the project states no distances"
    )
    return Finding(
        "quality.distance",
        "Identity agrees with the stated distance",
        mark,
        summary,
        "sources are more conserved than the rest, so that a homologue that is farther than the "
        "genome is often not the homologue, or the assembly has errors",
        "check the genome, its chain and the stated distance" if wrong else "",
        {"too_far_genomes": len(wrong), "stated_genomes": len(rows)},
        {
            "Distances": FindingTable(
                ("genome", "stated (substitutions per site)", "of homologues", "limit", "result"),
                tuple(rows),
            )
        }
        if rows
        else {},
    )
