"""Effects of the variants of a file or a table: read, checked, scored and written in batches."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssldata.base.errors import ConfigError, InputError
from ssldata.base.progress import NoProgress, Progress
from ssldata.base.versions import VERSION
from ssldata.building.build_inputs import open_labelled
from ssldata.genomes.genome import Genome, open_genome
from ssldata.genomes.onehot import decode
from ssldata.project.project_file import Project, load_project
from sslmodels.prediction.trained_model import Ensemble, TrainedModel
from sslmodels.runs.run_folder import RunFolder
from sslmodels.variants.effect_scores import EffectOptions, Effects, EffectScorer
from sslmodels.variants.variant_alleles import ContigNames, VariantStatus, read_alleles
from sslmodels.variants.variant_homologues import VariantHomologues
from sslmodels.variants.variant_output import Batch, check_output, effect_table, effects_file
from sslmodels.variants.variant_rows import Row, VariantRows, rows_of_frame, survey

_LOG = logging.getLogger(__name__)

#: Rows scored at once: enough for the model, a few megabytes.
BATCH_ROWS = 4096

#: Examples of each status that a summary names.
_EXAMPLES = 5
#: A larger share of mismatches suggests another assembly.
_FEW = 0.1

Runs = Ensemble | TrainedModel | Path | str | Sequence[TrainedModel | Path | str]


def annotate_variants(
    runs: Runs,
    variants: Path | str,
    out: Path | str | None,
    *,
    genome: Genome | Path | str | None = None,
    options: EffectOptions | None = None,
    project: Project | Path | str | None = None,
    factor: str | None = None,
    prefix: str = "CL",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score the variants of a file, and write them with their scores.

    Rows keep their order; no more than some thousands of them are in memory.

    Parameters
    ----------
    runs
        One run, or several whose scores are averaged: folders, or loaded models.
    variants
        VCF (plain, gzip, bgzip), BCF, a table with chrom, pos, ref, alt, ADASTRA's or AlleleDB's.
    out
        A name that ends in .vcf.gz, .vcf, .tsv, .tsv.gz or .parquet; None: check the variants
        against the genome, and score and write nothing.
    genome
        FASTA or 2bit of the assembly of the variants; default: the labelled genome of the runs.
    options
        Which scores, shifts, strands and homologues; default: the paper's score, unshifted, both
        strands, no homologues.
    project
        What names the genomes; default: the settings kept with the runs.
    factor
        Of an AlleleDB table: only rows of this factor.
    prefix
        Of the INFO fields of a VCF.
    progress
        Advanced by the rows.

    Returns
    -------
    dict
        Counts of ``rows``, ``alleles``, and of alleles by ``status``; see docs/variants.md.

    Raises
    ------
    InputError
        The file cannot be read, or none of its alleles could be scored.
    MissingInputError
        A run, file or genome does not exist.
    ConfigError
        Wrong options, or runs that do not fit each other.
    """
    options = options or EffectOptions()
    file = VariantRows(variants, factor=factor)
    if out is not None:
        out = Path(out)
        check_output(out, file.path)
    effects = _VariantScorer(runs, genome, options, project)
    progress = progress or NoProgress()
    found = survey(file)
    tally = VariantTally(effects.genome)
    sizes = {name: effects.size_of(name) for name in found.contigs}
    said: dict[str, str] = {}
    with progress.task(f"variants of {file.path.name}", total=found.rows) as advance:
        if out is None:
            for rows in _batches(file):
                tally.add(effects.checked(rows))
                advance(len(rows))
        else:
            with effects_file(
                out,
                file,
                found,
                outputs=effects.models.outputs,
                prefix=prefix,
                sizes={name: size for name, size in sizes.items() if size},
                made_by=effects.made_by(),
            ) as (write, said):
                for rows in _batches(file):
                    batch = effects.scored(rows)
                    tally.add(batch)
                    write(batch)
                    advance(len(rows))
                tally.require_scored(file.path)
    tally.warn(file.path)
    return {
        "variants": str(file.path),
        "format": file.kind,
        "genome": str(effects.genome.path),
        "runs": [str(model.run) for model in effects.models.members if model.run],
        "out": None if out is None else str(out),
        **tally.summary(effects.contigs),
        "other_factors": file.others,
        "sorted": found.is_sorted,
        **said,
    }


def variant_effects(
    runs: Runs,
    variants: Path | str | pd.DataFrame,
    *,
    genome: Genome | Path | str | None = None,
    options: EffectOptions | None = None,
    project: Project | Path | str | None = None,
    factor: str | None = None,
) -> pd.DataFrame:
    """Return the scores of variants as a table, one line per alternative allele.

    Parameters
    ----------
    runs, genome, options, project, factor
        As of :func:`annotate_variants`.
    variants
        A file, or a table with the columns chrom, pos (1-based), ref, alt.

    Returns
    -------
    pandas.DataFrame
        ``line`` (of the file, or row of the table, from 1), ``chrom``, ``pos``, ``id``, ``ref``,
        ``alt``, ``status``, ``window_n``, ``p_ref``, ``p_alt`` and the scores; NaN where the status
        is not ``scored``. Errors are those of :func:`annotate_variants`, but for a table without
        any scored allele, which is returned.

    Examples
    --------
    >>> table = pd.DataFrame({"chrom": ["chr1"], "pos": [1001], "ref": ["A"], "alt": ["G"]})
    >>> variant_effects("runs/Reb1/cnn-27k/ssl/seed-0", table)["paper"]
    """
    rows: Iterable[Row]
    if isinstance(variants, pd.DataFrame):
        rows = rows_of_frame(variants)
    else:
        rows = VariantRows(variants, factor=factor)
    effects = _VariantScorer(runs, genome, options or EffectOptions(), project)
    parts = [effect_table(effects.scored(part), effects.models.outputs) for part in _batches(rows)]
    return pd.concat(parts, ignore_index=True)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield consecutive rows; an empty list if there are none at all."""
    left = iter(rows)
    batch = list(islice(left, BATCH_ROWS))
    yield batch
    while batch := list(islice(left, BATCH_ROWS)):
        yield batch


class _VariantScorer:
    """Models and a genome, ready to score rows."""

    def __init__(
        self,
        runs: Runs,
        genome: Genome | Path | str | None,
        options: EffectOptions,
        project: Project | Path | str | None,
    ) -> None:
        if isinstance(runs, TrainedModel | Path | str):
            runs = [runs]
        self.models = runs if isinstance(runs, Ensemble) else Ensemble(runs)
        self.options = options
        options.check(self.models.length)
        runs_of = [model.run for model in self.models.members]
        if genome is None:
            genome = open_labelled(_project_of(runs_of, project))
        self.genome = genome if isinstance(genome, Genome) else open_genome(genome)
        self.contigs = ContigNames(self.genome)
        homologues = None
        if options.homologues:
            project = _project_of(runs_of, project)
            homologues = VariantHomologues(project, self.genome, self.models.length)
        self._scorer = EffectScorer(self.models, self.genome, options, homologues)

    def size_of(self, name: str) -> int:
        """Return the bases of a contig as a file names it, 0 if it is unknown."""
        index = self.contigs.find(name)
        return int(self.genome.sizes[index]) if index >= 0 else 0

    def checked(self, rows: Sequence[Row]) -> Batch:
        """Return rows with their alleles, and without effects."""
        alleles = read_alleles(rows, self.genome, self.contigs, length=self.models.length)
        return Batch(rows, alleles, Effects({}, {"window_n": np.zeros(len(alleles), np.int64)}))

    def scored(self, rows: Sequence[Row]) -> Batch:
        """Return rows with their alleles and the effects of these."""
        alleles = self.checked(rows).alleles
        return Batch(rows, alleles, self._scorer.score(alleles))

    def made_by(self) -> str:
        """Return one line about the origin of the scores."""
        runs = ", ".join(str(model.run or "a model in memory") for model in self.models.members)
        strands = "both strands" if self.options.both_strands else "one strand"
        return (
            f"crosslabel {VERSION}; runs {runs}; genome {self.genome.path}; "
            f"shifts {', '.join(map(str, self.options.shifts))}; {strands}"
            + "; homologues"
            * self.options.homologues
        )


def _project_of(runs: Sequence[Path | None], given: Project | Path | str | None) -> Project:
    """Return the project given, or that of the runs, which must share the labelled genome."""
    if given is not None:
        return given if isinstance(given, Project) else load_project(given)
    found = {}
    for run in runs:
        config = RunFolder(run).config if run is not None else None
        if config is None or not config.is_file():
            raise ConfigError(
                f"{run or 'a model without its run'}: keeps no project file, which would name the "
                "genomes; add --genome, or --project"
            )
        project = load_project(config)
        found[project.reference.sequence] = project
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise ConfigError(
            f"the runs were trained on several genomes ({names}); add --genome, or --project"
        )
    return next(iter(found.values()))


class VariantTally:
    """Counts of alleles by status, and the first few of each that is not scored."""

    def __init__(self, genome: Genome) -> None:
        self._genome = genome
        self.rows = 0
        self.with_n = 0
        self.counts: Counter[VariantStatus] = Counter()
        self.examples: dict[VariantStatus, list[str]] = {}

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        self.rows += len(batch.rows)
        self.with_n += int((batch.effects.counts["window_n"] > 0).sum())
        counts = np.bincount(batch.alleles.status, minlength=len(VariantStatus))
        for status in VariantStatus:
            self.counts[status] += int(counts[status])
            named = self.examples.setdefault(status, [])
            if status and len(named) < _EXAMPLES:
                of_status = np.flatnonzero(batch.alleles.status == status)
                named += [self._named(batch, i) for i in of_status[: _EXAMPLES - len(named)]]

    def _named(self, batch: Batch, allele: int) -> str:
        alleles = batch.alleles
        line, fields = batch.rows[alleles.row[allele]]
        text = f"line {line}"
        if alleles.status[allele] == VariantStatus.MALFORMED:
            return text
        ref = alleles.reference[allele]
        text += f" {fields[0]}:{fields[1]} {_short(ref)}>{_short(alleles.alternative[allele])}"
        if alleles.status[allele] == VariantStatus.REFERENCE_MISMATCH:
            start = int(alleles.position[allele])
            found = self._genome.codes(int(alleles.contig[allele]), start, start + len(ref))
            text += f" (the genome has {_short(decode(found))})"
        return text

    def require_scored(self, path: Path) -> None:
        """Refuse a file with variants, none of which could be scored."""
        if self.rows and not self.counts[VariantStatus.SCORED]:
            worst = max(VariantStatus, key=lambda status: self.counts[status])
            raise InputError(
                f"{path}: none of its {self.counts.total()} alleles can be scored, "
                f"{self.counts[worst]} are {worst.label} ({self.examples[worst][0]}); "
                "is --genome the assembly of the variants?"
            )

    def warn(self, path: Path) -> None:
        """Log a line for every status that kept alleles from being scored."""
        for status, examples in self.examples.items():
            if examples:
                _LOG.warning(
                    "%s: %d not scored, %s: %s%s",
                    *(path, self.counts[status], status.label, "; ".join(examples)),
                    "; …" if self.counts[status] > len(examples) else "",
                )
        wrong = self.counts[VariantStatus.REFERENCE_MISMATCH]
        if wrong > _FEW * (wrong + self.counts[VariantStatus.SCORED]):
            _LOG.warning(
                "%s: %d reference alleles differ from %s: is that the assembly of the variants?",
                *(path, wrong, self._genome.path),
            )

    def summary(self, contigs: ContigNames) -> dict[str, Any]:
        """Return the counts, the contigs that go by another name, and those that are unknown."""
        names = contigs.found.items()
        return {
            "rows": self.rows,
            "alleles": self.counts.total(),
            "scored": self.counts[VariantStatus.SCORED],
            "with_n": self.with_n,
            "status": {status.label: self.counts[status] for status in VariantStatus},
            "examples": {s.label: examples for s, examples in self.examples.items() if examples},
            "contigs_renamed": {name: own for name, own in names if own and own != name},
            "contigs_unknown": sorted(name for name, own in names if own is None),
        }


def _short(allele: str) -> str:
    return allele if len(allele) <= 20 else f"{allele[:17]}…"
