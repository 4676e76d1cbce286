"""Predicted effects of variants against the allelic imbalance that was observed.

Observed values are positive where the alternative allele is bound more.

- ADASTRA (Abramov et al. 2021): rows with FDR < 0.1 on either allele; the allele with the smaller
  FDR, its effect size, negated if it is the reference allele. With equal FDRs (both may be 0) the
  larger effect size decides.
- AlleleDB (Chen et al. 2016): log2 of (reads with the alternative + 1) / (reads with the
  reference + 1), the reads of all individuals added up.
- Any other table: its column ``observed``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from ssldata.base.errors import ConfigError, InputError
from ssldata.base.files import atomic_path, write_text_atomic
from ssldata.base.keyed_random import uniform_rows
from ssldata.base.progress import NoProgress, Progress
from ssldata.genomes.genome import Genome
from ssldata.project.project_file import Project
from sslmodels.prediction.trained_model import Ensemble, TrainedModel, load_model
from sslmodels.runs.run_folder import complete_record
from sslmodels.variants.effect_scores import EffectOptions
from sslmodels.variants.imbalance_figures import draw_bars, draw_scatter
from sslmodels.variants.variant_alleles import VariantStatus
from sslmodels.variants.variant_effects import variant_effects
from sslmodels.variants.variant_rows import ADASTRA, COUNTS, FIXED, VariantRows

#: The columns that name a variant in tables of points.
VARIANT = ["chrom", "pos", "ref", "alt"]
_MODEL = ["experiment", "model", "regime"]
_FDR = 0.1
_RESAMPLES = 2000


def read_observed(path: Path | str, *, factor: str | None = None) -> tuple[pd.DataFrame, int]:
    """Read observed allelic imbalance.

    Parameters
    ----------
    path
        ADASTRA's ``<FACTOR>_HUMAN.tsv``, AlleleDB's table, or a table with chrom, pos, ref, alt,
        observed.
    factor
        The one to read of an AlleleDB table.

    Returns
    -------
    tuple
        chrom, pos (1-based), ref, alt and observed, one line per variant in the order of the file;
        and the number of rows it was made of.

    Raises
    ------
    InputError
        Not such a table, a row that cannot be read, or no value in it.
    ConfigError
        An AlleleDB table without `factor`, or another one with it.
    """
    file = VariantRows(path, factor=factor)
    observed = {"adastra": _adastra, "alleledb": _alleledb, "tsv": _column}.get(file.kind)
    if observed is None:
        raise InputError(f"{path}: holds no observed imbalance; expected a table, see --help")
    if file.kind == "alleledb" and factor is None:
        raise ConfigError(f"{path}: has rows of several factors; name one (--factor)")
    rows = []
    for line, fields in file:
        try:
            rows.append(_observed_row(fields, file.columns, observed))
        except (ValueError, KeyError) as exc:
            raise InputError(
                f"{path}:{line}: cannot be read ({exc}); correct or remove it"
            ) from exc
    table = pd.DataFrame(rows, columns=[*VARIANT, "observed", "ref_reads", "alt_reads"])
    if file.kind == "alleledb":
        table = table.groupby(VARIANT, sort=False, as_index=False).sum()
        table["observed"] = np.log2((table["alt_reads"] + 1) / (table["ref_reads"] + 1))
    table = table[[*VARIANT, "observed"]].dropna().reset_index(drop=True)
    if table.empty:
        raise InputError(
            f"{path}: no observed imbalance in its {len(rows)} rows"
            + (f" of {factor}" if factor else "")
        )
    if table.duplicated(VARIANT).any():
        twice = table[table.duplicated(VARIANT)].iloc[0]
        raise InputError(
            f"{path}: {twice['chrom']}:{twice['pos']} {twice['ref']}>{twice['alt']} occurs twice; "
            "expected one row per variant"
        )
    return table, len(rows)


def _observed_row(
    fields: Sequence[str],
    columns: Sequence[str],
    observed: Callable[[dict[str, str], str, str], tuple[float, int, int]],
) -> tuple[Any, ...]:
    if not fields or "," in fields[4]:
        raise ValueError("expected contig, position, and one reference and alternative allele")
    chrom, pos, _, ref, alt = fields[:5]
    values = dict(zip(columns, fields[len(FIXED) :], strict=True))
    return chrom, int(pos), ref.upper(), alt.upper(), *observed(values, ref, alt)


def _adastra(values: dict[str, str], ref: str, alt: str) -> tuple[float, int, int]:
    del ref, alt
    es_ref, es_alt, fdr_ref, fdr_alt = (_number(values[name]) for name in ADASTRA)
    # What was not tested is no evidence.
    fdr_ref, fdr_alt = (1.0 if math.isnan(fdr) else fdr for fdr in (fdr_ref, fdr_alt))
    if min(fdr_ref, fdr_alt) >= _FDR:
        return math.nan, 0, 0
    by_reference = fdr_ref < fdr_alt or (fdr_ref == fdr_alt and es_ref > es_alt)
    return (-es_ref if by_reference else es_alt), 0, 0


def _number(text: str) -> float:
    return math.nan if text.strip().lower() in ("", ".", "na", "nan", "none") else float(text)


def _alleledb(values: dict[str, str], ref: str, alt: str) -> tuple[float, int, int]:
    return 0.0, int(values[COUNTS[ref.upper()]]), int(values[COUNTS[alt.upper()]])


def _column(values: dict[str, str], ref: str, alt: str) -> tuple[float, int, int]:
    del ref, alt
    if "observed" not in values:
        raise ValueError("there is no column 'observed'")
    return _number(values["observed"]), 0, 0


def score_observed(
    runs: Sequence[Path | str],
    observed: pd.DataFrame,
    *,
    genome: Genome | Path | str | None = None,
    options: EffectOptions | None = None,
    project: Project | Path | str | None = None,
    output: str | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score observed variants with every model and regime among some runs.

    Runs that differ in their seed are an ensemble.

    Parameters
    ----------
    runs
        Folders of complete runs.
    observed
        Of :func:`read_observed`.
    genome, options, project
        As of :func:`~sslmodels.variants.variant_effects.annotate_variants`; the first of the
        scores is compared.
    output
        The experiment to compare, for runs of several.
    progress
        Advanced by the models.

    Returns
    -------
    pandas.DataFrame
        ``experiment``, ``model``, ``regime``, ``seeds``, the columns of `observed`, ``status``
        and ``predicted`` (NaN where the status is not ``scored``).
    """
    options = options or EffectOptions()
    groups: dict[tuple[str, ...], list[TrainedModel]] = {}
    for run in runs:
        record = complete_record(Path(run))
        groups.setdefault(tuple(record[key] for key in _MODEL), []).append(load_model(run))
    parts = []
    with (progress or NoProgress()).task("observed variants", total=len(groups)) as advance:
        for cell, models in groups.items():
            names = models[0].outputs
            wanted = output or (names[0] if len(names) == 1 else None)
            if wanted not in names:
                raise ConfigError(
                    f"{models[0].run}: predicts {', '.join(names)}; name one of them (--output)"
                )
            table = variant_effects(
                Ensemble(models), observed, genome=genome, options=options, project=project
            )
            column = options.scores[0] + f".{wanted}" * (len(names) > 1)
            known = observed.assign(status=table["status"], predicted=table[column])
            for place, (key, value) in enumerate(zip(_MODEL, cell, strict=True)):
                known.insert(place, key, value)
            known.insert(len(_MODEL), "seeds", len(models))
            parts.append(known)
            advance(1)
    return pd.concat(parts, ignore_index=True)


def correlations(points: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's correlation of predicted and observed for every model and regime.

    Parameters
    ----------
    points
        Of :func:`score_observed`; several of them may be concatenated.

    Returns
    -------
    pandas.DataFrame
        ``experiment``, ``model``, ``regime``, ``variants``, ``n`` (of them scored), ``spearman``,
        ``low`` and ``high`` (95 % interval, percentiles of 2,000 bootstrap resamples of the
        variants), ``p`` (two-sided); NaN with fewer than three points or without spread.
    """
    rows = []
    for cell, part in points.groupby(_MODEL, sort=False):
        scored = part[part["status"] == VariantStatus.SCORED.label]
        x, y = (scored[name].to_numpy(np.float64) for name in ("predicted", "observed"))
        rho, low, high, p = spearman(x, y)
        names = dict(zip(_MODEL, cell, strict=True))
        numbers = {"spearman": rho, "low": low, "high": high, "p": p}
        rows.append({**names, "variants": len(part), "n": len(scored), **numbers})
    return pd.DataFrame(rows)


def spearman(
    x: NDArray[np.float64], y: NDArray[np.float64], *, resamples: int = _RESAMPLES
) -> tuple[float, float, float, float]:
    """Return Spearman's correlation, its 95 % bootstrap interval, and the two-sided p value.

    The resamples depend on the number of points alone.
    """
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan, math.nan, math.nan, math.nan
    points = np.arange(len(x))
    drawn = np.empty(resamples)
    for number in range(resamples):
        rows = (uniform_rows(points, "spearman", number) * len(x)).astype(np.int64)
        drawn[number] = _rank_correlation(x[rows], y[rows])
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return _rank_correlation(x, y), float(low), float(high), float(spearmanr(x, y).pvalue)


def _rank_correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    a, b = rankdata(x) - (len(x) + 1) / 2, rankdata(y) - (len(y) + 1) / 2
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else math.nan


def write_comparison(points: pd.DataFrame, folder: Path | str) -> pd.DataFrame:
    """Write ``points.csv``, ``correlations.csv``, ``scatter.png`` and ``bars.png``.

    Parameters
    ----------
    points
        Of :func:`score_observed`.
    folder
        Made if needed; files of these names are replaced.

    Returns
    -------
    pandas.DataFrame
        Of :func:`correlations`.
    """
    folder = Path(folder)
    table = correlations(points)
    for name, frame in (("points", points), ("correlations", table)):
        text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text_atomic(folder / f"{name}.csv", text)
    scored = points[points["status"] == VariantStatus.SCORED.label]
    with atomic_path(folder / "scatter.png") as temporary:
        draw_scatter(temporary, scored, table)
    with atomic_path(folder / "bars.png") as temporary:
        draw_bars(temporary, table)
    return table


def compare_observed(
    runs: Sequence[Path | str],
    observed: Path | str,
    folder: Path | str,
    *,
    genome: Genome | Path | str | None = None,
    options: EffectOptions | None = None,
    project: Project | Path | str | None = None,
    factor: str | None = None,
    output: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare predicted with observed allelic imbalance, and write tables and figures.

    Parameters
    ----------
    runs, genome, options, project, output, progress
        As of :func:`score_observed`.
    observed, factor
        As of :func:`read_observed`.
    folder
        As of :func:`write_comparison`.

    Returns
    -------
    dict
        ``rows`` of the table, ``variants`` with an observed value, ``status`` (their number by
        status), and ``correlations``, one dictionary per model and regime.
    """
    table, rows = read_observed(observed, factor=factor)
    points = score_observed(
        runs,
        table,
        genome=genome,
        options=options,
        project=project,
        output=output,
        progress=progress,
    )
    first = points.head(len(table))
    if not (first["status"] == VariantStatus.SCORED.label).any():
        raise InputError(
            f"{observed}: none of its {len(table)} variants can be scored, "
            f"{first['status'].mode()[0]}; is --genome their assembly?"
        )
    found = write_comparison(points, folder)
    return {
        "observed": str(observed),
        "folder": str(folder),
        "rows": rows,
        "variants": len(table),
        "status": first["status"].value_counts().to_dict(),
        # NaN is no JSON.
        "correlations": found.astype(object).where(found.notna(), None).to_dict("records"),
    }
