"""``crosslabel variants``: effects of variants, and their comparison with observed imbalance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.options.shared_options import command
from flows.output.console import Console


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    command(app)(variants)


def variants(
    console: Console,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, folders of runs, or .keras files; several are an ensemble.",
        ),
    ],
    *,
    vcf: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Variants: VCF (plain, gzip, bgzip), BCF, a table with chrom, pos, ref, alt, "
            "ADASTRA's or AlleleDB's.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Ends in .vcf.gz, .vcf, .tsv, .tsv.gz or .parquet."
        ),
    ] = None,
    genome: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="FASTA or 2bit. Default: that the runs learnt from."),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="paper, (p_alt − p_ref) · max(0, p_alt, p_ref), the default; difference; "
            "log-odds. May be repeated.",
        ),
    ] = None,
    shift: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Average over windows moved by N bases; may be repeated."),
    ] = None,
    one_strand: Annotated[
        bool,
        typer.Option("--one-strand", help="Do not average with the reverse complement."),
    ] = False,
    homologues: Annotated[
        bool,
        typer.Option(
            "--homologues", help="Average each substitution with its homologues in other genomes."
        ),
    ] = False,
    project: Annotated[
        Path | None,
        typer.Option(metavar="PROJECT", help="Default: the settings kept with the runs."),
    ] = None,
    factor: Annotated[
        str | None, typer.Option(metavar="NAME", help="The one to take of an AlleleDB table.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Of the INFO fields of a VCF.")] = "CL",
    observed: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Observed allelic imbalance (ADASTRA, AlleleDB, or a column `observed`): compare "
            "it with the effects that each model and regime predicts.",
        ),
    ] = None,
    comparison: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where points, correlations and figures of it go."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="EXPERIMENT", help="The one to compare, of runs of several."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the variants against the genome; write nothing."),
    ] = False,
) -> None:
    """Score variants: what the alternative allele does to a model's probability.

    SNVs, MNVs, insertions and deletions. Each reference allele is compared with the genome; every
    allele gets a status, and one that differs is never scored. Several runs are an ensemble.

    Example: `crosslabel variants my-project/runs/Reb1/cnn-27k/ssl --vcf in.vcf.gz --out out.vcf.gz`
    """
    from flows.commands import actions
    from flows.output import variants_view
    from flows.steps.quiet_tensorflow import muted_import
    from ssldata.base.errors import ConfigError

    wrong = None
    if vcf is None and observed is None:
        wrong = "nothing to score: name variants (--vcf) or a table of observed imbalance"
    elif vcf is not None and out is None and not dry_run:
        wrong = "--vcf: also name the file to write (--out)"
    elif dry_run and vcf is None:
        wrong = "--dry-run: it checks the variants of --vcf, which is missing"
    elif out is not None and vcf is None:
        wrong = "--out: it holds the variants of --vcf, which is missing"
    elif (observed is None) != (comparison is None):
        wrong = "--observed and --comparison: the table and the folder belong together"
    if wrong:
        raise ConfigError(wrong)
    folders = actions.models_of(runs)
    with muted_import(announce=console.draws):
        from sslmodels.variants.effect_scores import EffectOptions
        from sslmodels.variants.observed_imbalance import compare_observed
        from sslmodels.variants.variant_effects import annotate_variants
        from sslmodels.variants.variant_rows import VariantRows

    options = EffectOptions(
        scores=tuple(score or ["paper"]),
        shifts=tuple(shift or [0]),
        both_strands=not one_strand,
        homologues=homologues,
    )
    shared: dict[str, Any] = {
        "genome": genome,
        "options": options,
        "project": project,
        "progress": console,
    }
    value: dict[str, Any] = {}
    if vcf is not None:
        # With both inputs, the one without factors needs none.
        of_vcf = factor if observed is None or VariantRows(vcf).kind == "alleledb" else None
        value = annotate_variants(
            folders, vcf, None if dry_run else out, prefix=prefix, factor=of_vcf, **shared
        )
    if observed is not None and comparison is not None and not dry_run:
        value["observed"] = compare_observed(
            folders, observed, comparison, output=output, factor=factor, **shared
        )
    console.result(value, *variants_view.lines(value))
