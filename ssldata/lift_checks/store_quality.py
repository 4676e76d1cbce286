"""Everything that is known of the liftover behind a store, as findings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError, InputError
from ssldata.base.progress import NoProgress, Progress
from ssldata.building.build_inputs import TargetInputs, open_labelled, open_target
from ssldata.lift_checks.chain_identity import chain_finding, chain_identity
from ssldata.lift_checks.effective_size import (
    bounds_of_identity,
    copies_of,
    effective_finding,
    measured_similarity,
    similarity_of_distance,
    tree_distances,
)
from ssldata.lift_checks.lift_findings import lift_findings
from ssldata.lift_checks.lift_quality import measure_lift
from ssldata.lift_checks.motif_retention import motif_retention, retention_finding
from ssldata.project.project_file import Project
from ssldata.store.store import HOMOLOGUES, Store
from ssldata.trust.findings import Finding

Matrices = Mapping[str, NDArray[np.float64]]


def quality_findings(
    store: Store,
    project: Project | None = None,
    *,
    motifs: Matrices | None = None,
    tree: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Finding]:
    """Return the findings on the liftover of every complete genome of a store.

    Parameters
    ----------
    store
        The store.
    project
        Its project, whose genomes and chains are read; None: only what the store has recorded.
    motifs
        Experiment → (width, 4) probabilities of A, C, G, T, searched in the genomes of `project`.
    tree
        Newick tree of the genomes and the reference, for the effective sample size.
    seed
        Of the samples.
    progress
        Told of every genome.

    Raises
    ------
    CrosslabelError
        A file is missing, the tree lacks a genome, or `project` is not that of the store.
    """
    names = sorted(store.genomes)
    if not names:
        return [
            Finding(
                "quality.mapped",
                "What became of the sources in each genome",
                "note",
                "not checked: the store has no target genomes",
                "a store of one genome has no pseudo-labels",
            )
        ]
    targets, refused = _open(store, project, names)
    with (progress or NoProgress()).task("quality", len(names)) as advance:
        measured, chains, motifs_kept = [], [], []
        for name in names:
            target = targets.get(name)
            measured.append(measure_lift(store, name, target=target))
            if target is not None:
                chains.append(chain_identity(target, seed=seed))
                motifs_kept += [
                    motif_retention(
                        matrix,
                        store.sources(),
                        store.homologues(name).liftover(),
                        target,
                        experiment=experiment,
                        number=store.experiments.index(experiment),
                        seed=seed,
                    )
                    for experiment, matrix in (motifs or {}).items()
                    if experiment in store.experiments
                ]
            advance(1)
    found = lift_findings(measured)
    if project is not None:
        found.append(chain_finding(chains, refused))
        found.append(_same_files(store, targets))
    if motifs_kept:
        found.append(retention_finding(motifs_kept))
    identity = {q.genome: q.mean_identity for q in measured}
    found.append(_effective(store, names, targets, identity, tree, seed))
    return found


def _open(
    store: Store, project: Project | None, names: list[str]
) -> tuple[dict[str, TargetInputs], dict[str, str]]:
    """Open the genomes of a project; those whose chain does not fit, with the reason."""
    if project is None:
        return {}, {}
    listed = {genome.name for genome in project.genomes}
    if lacking := [name for name in names if name not in listed]:
        raise ConfigError(
            f"{project.file or 'project'}: it lists no {', '.join(lacking)}, which "
            f"{store.location} has; is it the project of this store?"
        )
    reference = open_labelled(project)
    if reference.digest != store.attributes["reference"]["digest"]:
        raise ConfigError(
            f"{project.file or 'project'}: its reference is not the one that {store.location} was "
            "built from"
        )
    targets, refused = {}, {}
    for name in names:
        try:
            targets[name] = open_target(project, name, reference=reference)
        except InputError as exc:
            refused[name] = " ".join(str(exc).split())
    return targets, refused


def _same_files(store: Store, targets: Mapping[str, TargetInputs]) -> Finding:
    """Return whether the genomes and chains read are those that the rows were made of."""
    other = []
    for name, target in targets.items():
        inputs = store.ledger[f"{HOMOLOGUES}/{name}"].get("inputs", {})
        for what, digest in (("sequence", target.genome.digest), ("chain", target.index.digest)):
            if inputs.get(what, digest) != digest:
                other.append(f"{name} ({what})")
    return Finding(
        "quality.files",
        "The files read are those the rows were made of",
        "warn" if other else "pass",
        f"changed since the build: {', '.join(other)}"
        if other
        else f"sequences and chains of {len(targets)} genomes are unchanged",
        "what is said here of a genome is said of its present files",
        "run `crosslabel build`" if other else "",
        {"changed_files": len(other)},
    )


def _effective(
    store: Store,
    names: list[str],
    targets: Mapping[str, TargetInputs],
    identity: Mapping[str, float | None],
    tree: Path | None,
    seed: int,
) -> Finding:
    """Return the effective sample size, by the best distances there are."""
    reference = str(store.attributes["reference"]["name"])
    copies = copies_of(store, names)
    if tree is not None:
        similarity = similarity_of_distance(tree_distances(tree, [reference, *names]))
        similarities, how = {"size": similarity}, "distances of the tree"
    elif len(targets) == len(names):
        opened = [targets[name] for name in names]
        measured = measured_similarity(store.sources(), opened, seed=seed)
        similarities, how = {"size": measured}, "distances measured between the lifted sequences"
    else:
        low, high = bounds_of_identity([identity[name] or 0.25 for name in names])
        similarities = {"lowest": low, "highest": high}
        how = "bounds from identity with the reference; --project or --tree gives one number"
    return effective_finding(copies, similarities, [reference, *names], how=how, seed=seed)
