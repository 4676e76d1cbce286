"""Can a network tell the genomes instead of the peaks? Measured on a store, before training.

In published pre-training on homologues every positive is of a target genome and every negative of
the labelled one. Whatever distinguishes the genomes then distinguishes the classes. Three
questions, each answered by logistic regression on composition alone (GC, CpG, words of up to four
bases), cross-validated over blocks of the labelled genome:

genome
    Positives of a target genome against positives of the labelled genome **at the same loci**.
label
    Positives against negatives, both of the labelled genome: what peaks are made of.
pre-training
    Positives of target genomes, at the same loci as before, against the negatives that pre-training
    draws. With ``negatives.source: reference`` these are the same rows as in the question before,
    so what the AUROC has above that one is the species shortcut, and nothing else.

Thresholds: stores without a shortcut, see ``docs/trust-shortcut.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.store.store import HOMOLOGUES, REFERENCE, Store
from ssldata.trust.composition import composition, cpg_ratio, gc_fraction, unknown_fraction
from ssldata.trust.findings import Finding, FindingTable, Mark
from ssldata.trust.matched_rows import DrawnRows, RowDrawer
from ssldata.trust.small_model import Separation, interval, separation

#: Rows of a class that are looked at: the 95 % interval of an AUROC is then some ± .02 wide.
ROWS = 2000
#: Loci below which nothing is said: the interval would be wider than ± .1.
FEWEST_LOCI = 50
#: A genome is told from the labelled one if the interval lies above. Among simulated relatives 3 to
#: 15 % away without a bias of composition none of 60 worlds has one (largest lower limit: .524).
GENOME_AUROC = 0.55
#: Excess of the AUROC of pre-training over that of labels above which the interval must lie. With
#: no shortcut its mean is −.003, and the largest lower limit of 60 worlds +.016.
EXCESS_WARN = 0.02
#: A tenth of AUROC is what composition alone gives for many factors: as much again for telling the
#: genomes is no detail.
EXCESS_FAIL = 0.10
#: Where composition alone ranks nine pairs of ten, the AUPR of a network says little about motifs.
LABEL_WARN = 0.90

_TITLE_GENOME = "Composition does not tell the genomes"
_TITLE_LABEL = "Composition alone does not tell the labels"
_TITLE_PRETRAINING = "Composition of the genomes does not tell the classes of pre-training"
_TITLE_COMPOSITION = "Composition of each genome"


@dataclass(frozen=True)
class _Task:
    """Two classes, and how well they are told apart."""

    name: str
    found: Separation | None


def shortcut_findings(store: Store, *, rows: int = ROWS, seed: int = 0) -> list[Finding]:
    """Return what composition alone says of the genomes and labels of a store.

    Only training rows are read, at most some `rows` of each class and genome.

    Parameters
    ----------
    store
        The store.
    rows
        Most rows of a class.
    seed
        Of the draw and of the folds.

    Returns
    -------
    list of Finding
        ``shortcut.composition``, ``shortcut.genome``, ``shortcut.label``,
        ``shortcut.pretraining``; without target genomes the first and third.
    """
    drawer = RowDrawer(store, rows=rows, seed=seed)
    source = str(store.attributes["negatives"]["source"])
    loci = drawer.shared_loci()
    labelled = drawer.labelled_positives(loci)
    negatives = drawer.negatives(REFERENCE, max(len(loci), 1))
    homologues = {
        genome: drawer.homologues(drawer.shared_loci(genome), genome) for genome in store.genomes
    }
    findings = [_composition(store, drawer, labelled, negatives, homologues)]
    label = _Task("labelled genome", told(labelled, negatives, seed))
    if store.genomes:
        findings.append(_genome(drawer, homologues, source, seed))
    findings.append(_label(label, len(loci)))
    if store.genomes:
        spread = drawer.spread(loci)
        positives = _joined([drawer.homologues(part, g) for g, part in spread.items()])
        lifted = _joined(
            [drawer.negatives(f"{HOMOLOGUES}/{g}", len(part)) for g, part in spread.items()]
        )
        kinds = {"reference": negatives}
        if len(lifted) >= FEWEST_LOCI:
            half = len(negatives) // 2
            kinds["lifted"] = lifted
            kinds["both"] = _first(negatives, half) + _first(lifted, half)
        tasks = [_Task(kind, told(positives, rows_, seed)) for kind, rows_ in kinds.items()]
        findings.append(_pretraining(label, tasks, source, len(loci)))
    return findings


def told(positive: DrawnRows, negative: DrawnRows, seed: int) -> Separation | None:
    """Return how well composition tells two classes; None where there are too few rows.

    Parameters
    ----------
    positive, negative
        Rows of the two classes.
    seed
        Of the folds and of the bootstrap.
    """
    if min(len(positive), len(negative)) < FEWEST_LOCI:
        return None
    both = positive + negative
    truth = np.arange(len(both)) < len(positive)
    return separation(composition(both.codes), truth, both.block, seed=seed)


def excess(used: Separation, base: Separation) -> tuple[float, float, float]:
    """Return by how much the AUROC of one task is above that of another, and its 95 % interval."""
    low, high = interval(used.auroc_draws - base.auroc_draws)
    return used.auroc - base.auroc, low, high


def _joined(parts: Sequence[DrawnRows]) -> DrawnRows:
    if not parts:
        return DrawnRows(np.empty((0, 0), np.uint8), np.empty(0, np.int64))
    return DrawnRows(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.block for part in parts]),
    )


def _first(rows: DrawnRows, count: int) -> DrawnRows:
    return DrawnRows(rows.codes[:count], rows.block[:count])


def _cells(found: Separation | None) -> tuple[float | int | None, ...]:
    """Return AUROC, its interval, AUPR, its interval, prevalence and rows for a table."""
    if found is None:
        return (None,) * 8
    low, high = found.auroc_interval
    aupr_low, aupr_high = found.aupr_interval
    rounded = (found.auroc, low, high, found.aupr, aupr_low, aupr_high, found.prevalence)
    return (*(round(value, 4) for value in rounded), found.rows)


_COLUMNS = (
    *("AUROC", "AUROC low", "AUROC high"),
    *("AUPR", "AUPR low", "AUPR high", "prevalence", "rows"),
)


def _span(found: Separation) -> str:
    low, high = found.auroc_interval
    return f"{found.auroc:.3f} [{low:.3f}, {high:.3f}]"


def _numbers(prefix: str, found: Separation | None) -> dict[str, Any]:
    if found is None:
        return {}
    low, high = found.auroc_interval
    aupr_low, aupr_high = found.aupr_interval
    return {
        f"{prefix}auroc": found.auroc,
        f"{prefix}auroc_low": low,
        f"{prefix}auroc_high": high,
        f"{prefix}aupr": found.aupr,
        f"{prefix}aupr_low": aupr_low,
        f"{prefix}aupr_high": aupr_high,
        f"{prefix}prevalence": found.prevalence,
        f"{prefix}rows": found.rows,
        f"{prefix}positive_rows": found.positives,
        f"{prefix}blocks": found.blocks,
    }


def _unmeasured(check: str, title: str, why: str, loci: int) -> Finding:
    return Finding(
        check=check,
        title=title,
        mark="note",
        summary=f"Not measured: {loci} training loci with a homologue, or too few blocks of the "
        f"genome; at least {FEWEST_LOCI} loci are needed.",
        why=why,
        numbers={"loci": loci},
    )


def _composition(
    store: Store,
    drawer: RowDrawer,
    labelled: DrawnRows,
    negatives: DrawnRows,
    homologues: dict[str, DrawnRows],
) -> Finding:
    def line(genome: str, kind: str, rows: DrawnRows, width: float | None) -> tuple[Any, ...]:
        if not len(rows):
            return (genome, kind, 0, None, None, None, None, width)
        gc = gc_fraction(rows.codes)
        return (
            genome,
            kind,
            len(rows),
            round(float(gc.mean()), 4),
            round(float(gc.std()), 4),
            round(float(cpg_ratio(rows.codes).mean()), 4),
            round(float(unknown_fraction(rows.codes).mean()), 5),
            width,
        )

    name = str(store.attributes["reference"]["name"])
    lines = [
        line(name, "positives", labelled, None),
        line(name, "negatives", negatives, None),
    ]
    gaps = {}
    for genome, rows in homologues.items():
        lines.append(line(genome, "positives", rows, _lifted_width(store, genome)))
        lifted = drawer.negatives(f"{HOMOLOGUES}/{genome}", max(len(rows), 1))
        if len(lifted):
            lines.append(line(genome, "negatives", lifted, None))
        if len(rows):
            ours = drawer.labelled_positives(drawer.shared_loci(genome))
            gaps[genome] = float(gc_fraction(rows.codes).mean() - gc_fraction(ours.codes).mean())
    far = max(gaps, key=lambda genome: abs(gaps[genome]), default=None)
    summary = f"{len(lines)} classes of rows of {1 + len(homologues)} genomes."
    if far is not None:
        summary = (
            f"At the same loci the GC share of {len(gaps)} target genomes differs from that of "
            f"{name} by at most {100 * gaps[far]:+.2f} percentage points ({far})."
        )
    return Finding(
        check="shortcut.composition",
        title=_TITLE_COMPOSITION,
        mark="note",
        summary=summary,
        why="Genomes of different composition can be told apart without any motif.",
        numbers={f"gc_difference_{genome}_fraction": gap for genome, gap in gaps.items()},
        tables={
            "Composition": FindingTable(
                columns=(
                    *("genome", "rows of", "rows", "GC", "SD of GC", "CpG o/e", "N"),
                    "lifted width (median b)",
                ),
                rows=tuple(lines),
                plot=("genome", "GC"),
            )
        },
    )


def _lifted_width(store: Store, genome: str) -> float | None:
    """Return the median bases of lifted peaks, before windows of one size are cut."""
    lifted = store.homologues(genome).liftover()
    positive = store.sources()["label"].any(axis=1)
    width: NDArray[np.int64] = (lifted["end"] - lifted["start"])[positive & (lifted["start"] >= 0)]
    return float(np.median(width)) if len(width) else None


def _genome(drawer: RowDrawer, homologues: dict[str, DrawnRows], source: str, seed: int) -> Finding:
    why = (
        "A genome that is told from the labelled one by composition makes it a shortcut to the "
        "class, where its rows are mostly of one class."
    )
    found = {
        genome: told(rows, drawer.labelled_positives(drawer.shared_loci(genome)), seed)
        for genome, rows in homologues.items()
    }
    measured = {genome: one for genome, one in found.items() if one is not None}
    if not measured:
        most = max((len(rows) for rows in homologues.values()), default=0)
        return _unmeasured("shortcut.genome", _TITLE_GENOME, why, most)
    above = [g for g, one in measured.items() if one.auroc_interval[0] > GENOME_AUROC]
    worst = max(measured, key=lambda genome: measured[genome].auroc)
    mark: Mark = "pass" if not above else ("warn" if source == "reference" else "note")
    return Finding(
        check="shortcut.genome",
        title=_TITLE_GENOME,
        mark=mark,
        summary=(
            f"{len(above)} of {len(measured)} target genomes are told from the labelled one at the "
            f"same loci (AUROC above {GENOME_AUROC:.2f} with its interval); the most, {worst}, "
            f"with AUROC {_span(measured[worst])}; 0.5 is chance."
        ),
        why=why,
        advice=(
            "See shortcut.pretraining for what it is worth to a network; with negatives.source "
            "lifted or both, genomes and classes are no longer the same."
            if mark == "warn"
            else ""
        ),
        numbers={
            "genomes": len(measured),
            "genomes_told": len(above),
            "threshold_auroc": GENOME_AUROC,
            **{f"{genome}_auroc": one.auroc for genome, one in measured.items()},
        },
        tables={
            "Target genome against labelled genome": FindingTable(
                columns=("genome", *_COLUMNS),
                rows=tuple((genome, *_cells(one)) for genome, one in found.items()),
                plot=("genome", "AUROC"),
            )
        },
    )


def _label(task: _Task, loci: int) -> Finding:
    why = (
        "What composition alone ranks is no evidence that a network has found a motif, and is the "
        "least that its AUPR must be compared with."
    )
    found = task.found
    if found is None:
        return _unmeasured("shortcut.label", _TITLE_LABEL, why, loci)
    warned = found.auroc_interval[0] > LABEL_WARN
    aupr_low, aupr_high = found.aupr_interval
    return Finding(
        check="shortcut.label",
        title=_TITLE_LABEL,
        mark="warn" if warned else "pass",
        summary=(
            f"Positives are told from negatives of the labelled genome with AUROC {_span(found)} "
            f"and AUPR {found.aupr:.3f} [{aupr_low:.3f}, {aupr_high:.3f}] at a prevalence of "
            f"{found.prevalence:.3f}."
        ),
        why=why,
        advice=(
            "Compare with the baseline kmer (training.baselines), and consider negatives of the "
            "composition of positives."
            if warned
            else ""
        ),
        numbers=_numbers("", found) | {"threshold_auroc": LABEL_WARN},
        tables={
            "Label from composition": FindingTable(
                columns=("rows", *_COLUMNS), rows=((task.name, *_cells(found)),)
            )
        },
    )


def _pretraining(label: _Task, tasks: Sequence[_Task], source: str, loci: int) -> Finding:
    why = (
        "What pre-training can learn from composition beyond what peaks are made of is the "
        "species, and fine-tuning has to unlearn it."
    )
    base = label.found
    used = next((task.found for task in tasks if task.name == source), None)
    if base is None or used is None:
        return _unmeasured("shortcut.pretraining", _TITLE_PRETRAINING, why, loci)
    above, low, high = excess(used, base)
    mark: Mark = "fail" if low > EXCESS_FAIL else "warn" if low > EXCESS_WARN else "pass"
    advice = ""
    if mark != "pass":
        advice = (
            "Build with negatives.source lifted or both, and compare the AUPR of ssl with its "
            "controls two-stage and ssl-shuffled."
            if source == "reference"
            else "Lifted negatives lie where homologues are found, which is not everywhere: "
            "compare the AUPR of ssl with its controls two-stage and ssl-shuffled."
        )
    numbers = {
        "excess_auroc": above,
        "excess_auroc_low": low,
        "excess_auroc_high": high,
        "threshold_warn": EXCESS_WARN,
        "threshold_fail": EXCESS_FAIL,
        "negatives": source,
        **_numbers("label_", base),
    }
    for task in tasks:
        numbers |= _numbers(f"{task.name}_", task.found)
    return Finding(
        check="shortcut.pretraining",
        title=_TITLE_PRETRAINING,
        mark=mark,
        summary=(
            f"With {source} negatives the classes of pre-training are told with AUROC "
            f"{_span(used)}, {above:+.3f} [{low:+.3f}, {high:+.3f}] of that of the labels."
        ),
        why=why,
        advice=advice,
        numbers=numbers,
        tables={
            "Classes of pre-training by source of the negatives": FindingTable(
                columns=("negatives", *_COLUMNS),
                rows=(
                    ("(labelled positives and negatives)", *_cells(base)),
                    *((task.name, *_cells(task.found)) for task in tasks),
                ),
                plot=("negatives", "AUROC"),
            )
        },
    )
