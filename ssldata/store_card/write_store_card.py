"""Check a store and write its card: the page, the findings, and what travels with every store.

Slow checks are made only when asked for. What they found is kept in ``findings.json`` beside the
page, under the digest of the rows, and shown as long as the rows are the same. It is kept there and
not in the cache because it belongs to the store: it travels in a zip to people who have neither the
cache nor the hours. A change of rows deletes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssldata.base.errors import InputError, StoreError
from ssldata.base.progress import Progress
from ssldata.project.project_file import Project
from ssldata.sharing.card import FINDINGS, PAGE, card_files, write_texts
from ssldata.sharing.croissant_file import NO_FACTS, Facts, facts_of
from ssldata.store.remote_stores import is_url
from ssldata.store.store import Store, open_store
from ssldata.store.store_writer import writer_lock
from ssldata.store_card.all_checks import checks, slow_chapters
from ssldata.store_card.card_page import card_page
from ssldata.store_card.findings_file import findings_text, read_findings
from ssldata.trust.findings import Finding, worst


def write_store_card(
    location: str,
    *,
    out: Path | None = None,
    facts: Facts = NO_FACTS,
    full: bool = False,
    genomes: Project | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Check a store and write its card.

    Parameters
    ----------
    location
        As :func:`ssldata.store.store.open_store` takes it.
    out
        The folder to write; default: the store itself, which must be a local folder then.
    facts
        Licence, date and citation; those not given are those of an earlier card.
    full
        Make slow checks too.
    genomes
        The project that made the store, for checks that read genomes and chains.
    progress
        Progress reporter.

    Returns
    -------
    dict
        ``changed`` files, ``mark`` (the worst), ``findings`` as JSON.

    Raises
    ------
    InputError
        There is no `out`, and the store cannot be written to.
    StoreError
        Other rows were written while these were checked.
    """
    store = open_store(location)
    inside = out is None
    folder = _own_folder(location) if out is None else out
    # A copy elsewhere keeps what the store's own card says, until it says so itself.
    earlier = [folder, *([] if inside or is_url(location) else [Path(location)])]
    for place in earlier:
        facts = facts.or_else(facts_of(place))
    known = next((found for p in earlier if (found := read_findings(p, store.digest))), [])
    findings = checks(
        store, genomes=genomes, progress=progress, full=full, known=slow_chapters(known)
    )
    texts = _texts(store, findings, facts)
    if inside:
        with writer_lock(folder):
            if open_store(location).digest != store.digest:
                raise StoreError(f"{location}: its rows changed while they were checked; again")
            changed = write_texts(folder, texts)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        changed = write_texts(folder, texts)
    return {
        "changed": changed,
        "mark": worst(findings),
        "findings": [one.as_json() for one in findings],
    }


def _texts(store: Store, findings: list[Finding], facts: Facts) -> dict[str, str]:
    plain = [one.as_json() for one in findings]
    return {
        FINDINGS: findings_text(findings, digest=store.digest),
        **card_files(store, facts=facts, findings=plain),
        PAGE: card_page(store, findings, facts=facts),
    }


def _own_folder(location: str) -> Path:
    """Return the folder of a store that can be written to; refuse another place in one line."""
    if is_url(location) or not Path(location).is_dir():
        raise InputError(f"{location}: no folder to write a card into; pass --out FOLDER")
    folder = Path(location)
    try:
        with writer_lock(folder):
            pass
    except OSError as exc:
        raise InputError(
            f"{location}: cannot be written to ({exc.strerror}); pass --out FOLDER"
        ) from exc
    return folder
