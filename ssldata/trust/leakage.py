"""Whether what a model is tested on is in what it was trained on: all checks of one store."""

from __future__ import annotations

from ssldata.base.progress import Progress
from ssldata.store.store import Store
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
    """
    splits = SourceSplits(store) if is_provable(store) else None
    return [
        source_split_finding(store, splits),
        claimed_loci_finding(store, splits),
        *repeats_findings(repeated_windows(store, progress=progress)),
        similarity_finding(store, progress=progress),
    ]
