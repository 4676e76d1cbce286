"""Checks that take seconds: is the store whole, and does it have enough rows to learn and to test.

Both read columns; only a full check of the first decodes every sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ssldata.base.progress import Progress
from ssldata.checking.validate import Problem, validate_store
from ssldata.rows.splits import SPLIT_NAMES
from ssldata.store.store import HOMOLOGUES, RANGES, REFERENCE, Store
from ssldata.trust.findings import Finding, FindingTable, Mark

#: With fewer positives in the test a result is uncertain: at a recall of one half, 50 leave a 95 %
#: margin of 14 points (binomial), about what training regimes differ by.
FEW_POSITIVES = 50
#: Sentences that the card quotes; a damaged store can have thousands of problems.
_MOST_SHOWN = 20


def integrity_findings(
    store: Store, *, deep: bool = False, progress: Progress | None = None
) -> list[Finding]:
    """Return whether a store follows the rules of its format: ``crosslabel store validate``.

    Parameters
    ----------
    store
        The store.
    deep
        Decode every sequence and compare its checksum.
    progress
        Progress reporter.
    """
    report = validate_store(store, deep=deep, progress=progress)
    rows = sum(found["rows"] for found in report.rows.values())
    decoded = sum(found["sequences"] for found in report.rows.values())
    wrong = len(report.problems)
    numbers = {"rows": rows, "decoded_rows": decoded, "problems": wrong}
    share = f"{rows:,} rows were checked, {decoded:,} sequences decoded"
    rules = Finding(
        "integrity.format",
        "Rows, splits and checksums follow the rules of the format",
        "fail" if wrong else "pass",
        f"{wrong:,} problems: {report.problems[0].message}; {share}."
        if wrong
        else f"No problem: {share}.",
        "Damaged or misplaced rows are learnt like any others.",
        "Do not train on it. `crosslabel store validate STORE --deep` lists every problem, "
        "`crosslabel build PROJECT --repair` writes damaged groups again."
        if wrong
        else "",
        numbers,
        _quoted("Problems", report.problems),
    )
    notes = len(report.warnings)
    state = Finding(
        "integrity.state",
        "Nothing is unfinished or left over",
        "note" if notes else "pass",
        f"{notes:,} things to know: {report.warnings[0].message}."
        if notes
        else "Every genome is complete, and nothing is left over.",
        "What is unfinished or hidden is not read in training.",
        numbers={"notes": notes},
        tables=_quoted("What to know", report.warnings),
    )
    return [rules, state]


def _quoted(title: str, problems: list[Problem]) -> dict[str, FindingTable]:
    if not problems:
        return {}
    shown = problems[:_MOST_SHOWN]
    more = f" (the first {_MOST_SHOWN} of {len(problems):,})" if len(problems) > len(shown) else ""
    rows = tuple((one.group or "store", one.check, one.message) for one in shown)
    return {f"{title}{more}": FindingTable(("group", "rule", "what"), rows)}


def row_findings(store: Store) -> list[Finding]:
    """Return whether there are rows to learn from and to test with."""
    findings = [_labelled(store)]
    if store.genomes:
        findings += [_homologues(store), _classes(store)]
    return findings


def _labelled(store: Store) -> Finding:
    """Count the labelled positives of every experiment in every split."""
    rows = store.group(REFERENCE)
    label, split = rows.column("label"), rows.column("split")
    totals = np.bincount(split, minlength=len(SPLIT_NAMES))
    table, fewest = [], math.inf
    lacking: list[str] = []
    for number, experiment in enumerate(store.experiments):
        positive = np.bincount(
            split[label[:, number].astype(bool)], minlength=len(SPLIT_NAMES)
        ).tolist()
        table.append((experiment, *positive, positive[2] / max(1, int(totals[2]))))
        fewest = min(fewest, positive[2])
        lacking += [f"{experiment} in {SPLIT_NAMES[i]}" for i in (0, 2) if not positive[i]]
    mark: Mark = "fail" if lacking else "warn" if fewest < FEW_POSITIVES else "pass"
    if lacking:
        summary = f"No positives of {', '.join(lacking)}."
    else:
        margin = 100 * min(0.5, 1.96 * math.sqrt(0.25 / fewest))
        summary = (
            f"At least {fewest:,.0f} test positives for each experiment: a share of peaks found is "
            f"known to ± {margin:.0f} points at best (95 %, at one half)."
        )
    return Finding(
        "rows.labelled",
        "Labelled positives in training and test",
        mark,
        summary,
        f"With fewer than {FEW_POSITIVES} test positives, chance is as large as what training "
        "regimes differ by.",
        ""
        if mark == "pass"
        else "Hold out more contigs (split.test), or do not choose between models by this test.",
        {"fewest_test_positives": int(fewest), "test_rows": int(totals[2])},
        {
            "Labelled positives": FindingTable(
                (
                    "experiment",
                    *(f"{name} positives" for name in SPLIT_NAMES),
                    "share of test rows",
                ),
                tuple(table),
                plot=("experiment", "test positives"),
            )
        },
    )


def _homologues(store: Store) -> Finding:
    """Count the pseudo-positives of every genome."""
    labelled = _in_range(store, REFERENCE, "positive")
    found = {
        genome: _in_range(store, f"{HOMOLOGUES}/{genome}", "positive") for genome in store.genomes
    }
    shares = {genome: count / max(1, labelled) for genome, count in found.items()}
    empty = [genome for genome, count in found.items() if not count]
    mark: Mark = "warn" if empty else "pass"
    total = sum(found.values())
    few, many = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    return Finding(
        "rows.homologues",
        "Every genome gives training positives",
        mark,
        f"None from {', '.join(empty)}."
        if empty
        else f"{total:,} pseudo-positives beside {labelled:,} labelled ones; {shares[few]:.0%} "
        f"({few}) to {shares[many]:.0%} ({many}) of the labelled number for each genome.",
        "A genome without rows costs a build and adds nothing.",
        "Look at the liftover of these genomes, or leave them out." if empty else "",
        {"pseudo_positive_rows": total, "labelled_positive_rows": labelled},
        {
            "Training positives by genome": FindingTable(
                ("genome", "training positives", "of the labelled number"),
                tuple((genome, count, shares[genome]) for genome, count in found.items()),
                plot=("genome", "training positives"),
            )
        },
    )


def _classes(store: Store) -> Finding:
    """Say which genomes give negatives: positives of one and negatives of another tell apart."""
    negatives = {
        genome: _in_range(store, f"{HOMOLOGUES}/{genome}", "negative") for genome in store.genomes
    }
    name = store.attributes["reference"]["name"]
    without = [genome for genome, count in negatives.items() if not count]
    summary = (
        f"All target genomes give negatives ({sum(negatives.values()):,} rows)."
        if not without
        else f"{len(without)} of {len(negatives)} target genomes give positives alone; negatives "
        f"of pre-training come from {name}."
    )
    return Finding(
        "rows.classes",
        "Positives and negatives come from the same genomes",
        "note" if without else "pass",
        summary,
        "Where classes come from different genomes, a network can tell them apart by the genome; "
        "how far that goes here is measured in the chapter on shortcuts.",
        "Compare with `negatives: {source: both}`." if without else "",
        {"genomes_without_negatives": len(without)},
    )


def _in_range(store: Store, group: str, name: str) -> int:
    first, end = store.ledger[group]["ranges"].get(name, (0, 0))
    return int(end) - int(first)


def counts(store: Store) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield (genome, rows of each range) for the labelled genome and every complete target."""
    yield (
        str(store.attributes["reference"]["name"]),
        {name: _in_range(store, REFERENCE, name) for name in RANGES},
    )
    for genome in store.genomes:
        group = f"{HOMOLOGUES}/{genome}"
        yield genome, {name: _in_range(store, group, name) for name in RANGES}
