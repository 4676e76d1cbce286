"""How similar the test rows of the labelled genome are to training rows, once per store content.

What :func:`ssldata.trust.shared_kmers.most_similar` finds for the rows of one genome is kept in the
cache, named by the content of both groups: a genome that is added is all that is compared then.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssldata.base.array_types import ByteArray
from ssldata.base.cache_folder import cache_dir, cached
from ssldata.base.files import atomic_path, digest_of
from ssldata.base.progress import NoProgress, Progress
from ssldata.store.store import HOMOLOGUES, REFERENCE, RowGroup, Store
from ssldata.trust.findings import Finding, FindingTable, Mark
from ssldata.trust.repeated_windows import blocks
from ssldata.trust.shared_kmers import FEW, MANY, Similarity, most_similar
from ssldata.trust.window_kernels import K

_LOG = logging.getLogger(__name__)
#: Incremented when the same rows give other numbers.
_FORMAT = 1
#: Bins of similarity: name, least share of 16-mers in the most similar training row. 0.1 is some
#: 87 % identity over a whole window, 0.5 some 96 %, or half of a window that is the same.
BINS: tuple[tuple[str, float], ...] = (
    *(("below 0.05", 0.0), ("0.05 to 0.1", 0.05), ("0.1 to 0.2", 0.1), ("0.2 to 0.5", 0.2)),
    *(("0.5 to 1", 0.5), ("identical", 1.0)),
)
#: Rows that cannot be placed: too few k-mers, or almost only repeats.
NOT_MEASURED = "not measured"
#: A test row is close to training from here on.
CLOSE = 0.5
#: Shares of test positives that are close to training. If the model knows them by heart, AUPR rises
#: by about this share: 0.01 is what seeds differ by, 0.05 what regimes do.
WARN_SHARE, FAIL_SHARE = 0.01, 0.05
#: Fewer close positives than this pass: a share of few says nothing, and among ten positives one
#: true paralogue would already be 10 %.
LEAST_POSITIVES = 5


def bins_of(share: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of the bin of each row in :data:`BINS`; what is not measured comes last."""
    edges = np.array([low for _, low in BINS[1:]])
    found = np.searchsorted(edges, share, side="right").astype(np.int64)
    return np.where(np.isnan(share), len(BINS), found)


def bin_names() -> list[str]:
    """Return the names of the bins, in the order of :func:`bins_of`."""
    return [*(name for name, _ in BINS), NOT_MEASURED]


def similarity_to_training(
    store: Store, groups: Sequence[str] | None = None, *, progress: Progress | None = None
) -> dict[str, Similarity]:
    """Compare the test rows of the labelled genome with the training rows of each genome.

    Parameters
    ----------
    store
        The store.
    groups
        ``reference``, ``homologs/<genome>``; default: all. Not complete ones are left out.
    progress
        Progress reporter, advanced by training rows compared.
    """
    every = [REFERENCE, *(f"{HOMOLOGUES}/{genome}" for genome in store.genomes)]
    names = [name for name in every if groups is None or name in groups]
    test = store.group(REFERENCE).ranges.get("test", (0, 0))
    paths = {name: _name(store, name) for name in names}
    known = {name: _read(paths[name], test[1] - test[0]) for name in names}
    found = {name: of for name, of in known.items() if of is not None}
    missing = [name for name in names if name not in found]
    if missing:
        rows = store.group(REFERENCE)
        asked = [np.empty((0, rows.length), np.uint8), *blocks(rows, *test)]
        total = sum(_train(store.group(name))[1] for name in missing)
        with (progress or NoProgress()).task("similarity of test rows", max(total, 1)) as advance:

            def of(name: str) -> Iterable[ByteArray]:
                group = store.group(name)
                for block in blocks(group, *_train(group)):
                    yield block
                    advance(len(block))

            others = {name: partial(of, name) for name in missing}
            made = most_similar(np.concatenate(asked), others)
        for name, similarity in made.items():
            _write(paths[name], similarity)
        found |= made
    return {name: found[name] for name in names}


def most_similar_of(found: Mapping[str, Similarity]) -> Similarity:
    """Return what is most similar in any genome; ``row`` is the number in its genome."""
    first, *others = found.values()
    best, row = first.best, first.row
    for one in others:
        row = np.where(one.best > best, one.row, row)
        best = np.maximum(best, one.best)
    return Similarity(first.kmers, first.repeats, best, row)


def _train(group: RowGroup) -> tuple[int, int]:
    """Return the range of the training rows: positives and negatives, which come first."""
    spans = [group.ranges[key] for key in ("positive", "negative") if key in group.ranges]
    return min((a for a, _ in spans), default=0), max((b for _, b in spans), default=0)


def _name(store: Store, name: str) -> str:
    ledger = store.ledger
    facts = [ledger[REFERENCE]["content"], ledger[name]["content"], K, MANY, FEW, _FORMAT]
    return f"{digest_of(facts)}.npz"


def _read(name: str, rows: int) -> Similarity | None:
    path = cached("similarity", name)
    if path is None:
        return None
    try:
        # Opened here: NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file) as held:
            found = Similarity(*(held[key] for key in ("kmers", "repeats", "best", "row")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # deleted, or damaged: it is made again
    return found if all(len(x) == rows for x in (found.kmers, found.best, found.row)) else None


def _write(name: str, found: Similarity) -> None:
    try:
        path = Path(cache_dir("similarity"), name)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file, kmers=found.kmers, repeats=found.repeats, best=found.best, row=found.row
            )
    except OSError as exc:  # it need not be kept
        _LOG.warning("the similarity of test rows is not cached: %s", exc)


def similarity_finding(store: Store, *, progress: Progress | None = None) -> Finding:
    """Measure how similar test rows of the labelled genome are to training rows of all genomes.

    Parameters
    ----------
    store
        The store.
    progress
        Progress reporter, advanced by training rows compared.
    """
    check, title = "leakage.similarity", "Test rows resemble no training row"
    why = (
        "Paralogues and repeats on other chromosomes are similar to test rows without being equal; "
        "models do better on such rows, so AUPR over all of them promises too much for new ones."
    )
    rows = store.group(REFERENCE)
    first, end = rows.ranges.get("test", (0, 0))
    found = similarity_to_training(store, progress=progress)
    if first == end:
        return Finding(check, title, "note", "Not measured: there are no test rows.", why)
    share = most_similar_of(found).share
    positive = rows.column("label")[first:end].any(axis=1)
    number = bins_of(share)
    lines = tuple(
        (name, int((number == i).sum()), int((positive & (number == i)).sum()))
        for i, name in enumerate(bin_names())
    )
    genomes = []
    for name, one in found.items():
        near = one.share >= CLOSE
        counts = int(near.sum()), int((near & positive).sum())
        genomes.append((name.removeprefix("homologs/"), *counts))
    close = share >= CLOSE
    positives = int(positive.sum())
    close_positives = int((close & positive).sum())
    of_positives = close_positives / max(positives, 1)
    mark: Mark = "pass"
    if close_positives >= LEAST_POSITIVES and of_positives > WARN_SHARE:
        mark = "fail" if of_positives > FAIL_SHARE else "warn"
    return Finding(
        check,
        title,
        mark,
        f"{int(close.sum()):,} of {end - first:,} test rows, {close_positives:,} of "
        f"{positives:,} positives ({of_positives:.1%}), share at least half of their 16-mers with "
        f"one training row; {int(np.isnan(share).sum()):,} have too few to tell.",
        why,
        ""
        if mark == "pass"
        else "Report AUPR by bin of similarity (similarity.csv of every evaluation), and that of "
        "'below 0.05' as what to expect of new sequences.",
        {
            "k": K,
            "test_rows": end - first,
            "test_positives": positives,
            "close_rows": int(close.sum()),
            "close_positives": close_positives,
            "close_positives_fraction": of_positives,
            "not_measured_rows": int(np.isnan(share).sum()),
        },
        {
            "Test rows by similarity to training": FindingTable(
                ("share of 16-mers in the most similar training row", "test rows", "positives"),
                lines,
                plot=("share of 16-mers in the most similar training row", "test rows"),
            ),
            "Close test rows by genome of the training row": FindingTable(
                ("genome", "test rows", "positives"), tuple(genomes)
            ),
        },
    )
