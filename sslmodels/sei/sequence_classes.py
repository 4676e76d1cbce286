"""Sequence classes of Sei's profiles, and scores of variants. Arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import InputError

#: Projections that are named sequence classes; the file has 61, of which the rest are unnamed.
CLASSES = 40

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class SeiVariantScores:
    """What variants change.

    Attributes
    ----------
    classes
        Change of each sequence class after histone normalisation, float64 (n, 40).
    largest
        Largest absolute change among the classes, float64 (n,): the score of a variant.
    profiles
        Change of each profile, alternative − reference and not normalised, float64 (n, profiles).
    """

    classes: NDArray[np.float64]
    largest: NDArray[np.float64]
    profiles: NDArray[np.float64]


def class_scores(
    profiles: Floats, projections: Floats, *, classes: int = CLASSES
) -> NDArray[np.float64]:
    """Return the sequence-class scores of profiles, float64 (n, classes).

    A score is the length of the profile along the direction of the class.

    Parameters
    ----------
    profiles
        (n, profiles).
    projections
        (61, profiles), of which the first `classes` rows count.
    classes
        Number of classes.

    Raises
    ------
    InputError
        The shapes do not fit.
    """
    rows = np.asarray(profiles, np.float64)
    if rows.ndim != 2 or projections.ndim != 2 or rows.shape[1] != projections.shape[1]:
        raise InputError(
            f"sequence classes: profiles of shape {rows.shape} and projections of shape "
            f"{projections.shape}; expected as many columns in both"
        )
    if len(projections) < classes:
        raise InputError(
            f"sequence classes: {len(projections)} projections; expected at least {classes}"
        )
    directions = np.asarray(projections[:classes], np.float64)
    return np.asarray(rows @ directions.T / np.linalg.norm(directions, axis=1))


def histone_normalised(
    reference: Floats, alternative: Floats, histone: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both alleles' profiles with their histone profiles scaled to one sum, their mean.

    What moves all histone marks together is nucleosome occupancy, which is not what a class is
    about.

    Parameters
    ----------
    reference, alternative
        (n, profiles).
    histone
        Columns of the histone profiles.

    Raises
    ------
    InputError
        The shapes differ, a column does not exist, or an allele has a sum of zero.
    """
    ref, alt = (np.array(allele, np.float64) for allele in (reference, alternative))
    if ref.ndim != 2 or ref.shape != alt.shape:
        raise InputError(
            f"histone normalisation: reference {ref.shape}, alternative {alt.shape}; expected two "
            "arrays (variants, profiles) of one shape"
        )
    columns = np.asarray(histone)
    if columns.size and (columns.min() < 0 or columns.max() >= ref.shape[1]):
        raise InputError(
            f"histone normalisation: columns {columns.min()} to {columns.max()} of "
            f"{ref.shape[1]} profiles"
        )
    if not columns.size:
        return ref, alt
    sums = [allele[:, columns].sum(axis=1) for allele in (ref, alt)]
    if any((total <= 0).any() for total in sums):
        raise InputError("histone normalisation: histone profiles that sum to zero")
    mean = (sums[0] + sums[1]) / 2
    for allele, total in zip((ref, alt), sums, strict=True):
        allele[:, columns] *= (mean / total)[:, None]
    return ref, alt


def sei_variant_scores(
    reference: Floats,
    alternative: Floats,
    projections: Floats,
    histone: NDArray[np.integer[Any]],
) -> SeiVariantScores:
    """Return what variants change in the sequence classes and in the profiles.

    Parameters
    ----------
    reference, alternative
        Profiles of both alleles, (n, profiles), averaged over the strands.
    projections
        (61, profiles).
    histone
        Columns of the histone profiles.

    Raises
    ------
    InputError
        The shapes do not fit.
    """
    ref, alt = histone_normalised(reference, alternative, histone)
    classes = class_scores(alt, projections) - class_scores(ref, projections)
    return SeiVariantScores(
        classes=classes,
        largest=np.abs(classes).max(axis=1) if len(classes) else np.zeros(0),
        profiles=np.asarray(alternative, np.float64) - np.asarray(reference, np.float64),
    )


def variant_index(length: int, *, allele: int = 1) -> int:
    """Return at which base of a window the reference allele begins: 2047 of 4,096 for one base.

    Parameters
    ----------
    length
        Bases of the window.
    allele
        Bases of the reference allele; a longer one is centred.
    """
    return (length - 1) // 2 - allele // 2


def variant_window(position: int, length: int = 4096, *, allele: int = 1) -> tuple[int, int]:
    """Return the window [start, end) around a variant, 0-based; it may leave the contig.

    Parameters
    ----------
    position
        First base of the reference allele, 0-based.
    length
        Bases of the window.
    allele
        Bases of the reference allele.
    """
    start = position - variant_index(length, allele=allele)
    return start, start + length
