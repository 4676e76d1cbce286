"""Whether what a model is tested on is in what it was trained on: all checks of one store."""

from __future__ import annotations

from ssldata.base.errors import StoreError
from ssldata.base.progress import Progress
from ssldata.rows.splits import TEST, TRAIN
from ssldata.store.store import REFERENCE, Store
from ssldata.trust.claimed_loci import claimed_loci_finding
from ssldata.trust.findings import Finding
from ssldata.trust.repeated_windows import repeated_windows, repeats_findings
from ssldata.trust.residual_similarity import similarity_finding
from ssldata.trust.split_proof import SourceSplits, is_provable, source_split_finding


def leakage_findings(store: Store, *, progress: Progress | None = None) -> list[Finding]:
    """Check an opened store for leakage: what is proven first, then what is measured.

    Parameters
    ----------
    store
        The store; all of its complete genomes are read once.
    progress
        Progress reporter.

    Raises
    ------
    StoreError
        A column is damaged, so that nothing can be said.
    """
    _check_columns(store)
    splits = SourceSplits(store) if is_provable(store) else None
    return [
        source_split_finding(store, splits),
        claimed_loci_finding(store, splits),
        *repeats_findings(repeated_windows(store, progress=progress)),
        similarity_finding(store, progress=progress),
    ]


def _check_columns(store: Store) -> None:
    """Refuse splits and contigs that do not exist: everything below counts by them."""
    advice = "run `crosslabel store validate` first"
    sources, contigs = store.sources(), store.source_contigs()["contigs"]
    places = [("sources", sources["contig"], len(contigs), sources["split"])]
    for name in (REFERENCE, *(f"homologs/{genome}" for genome in store.genomes)):
        rows = store.group(name)
        places.append((name, rows.column("contig"), len(rows.contigs), rows.column("split")))
    for name, contig, count, split in places:
        if len(contig) and not 0 <= contig.min() <= contig.max() < count:
            raise StoreError(f"{store.location}/{name}/contig: no such contig; {advice}")
        if len(split) and not TRAIN <= split.min() <= split.max() <= TEST:
            raise StoreError(f"{store.location}/{name}/split: expected 0, 1 or 2; {advice}")
