"""What each array of a store means: attributes that xarray and other readers of Zarr show.

The names are those of the CF conventions: ``long_name``, ``units`` (``bp`` are bases, ``1`` is a
number without a unit), ``comment``; of codes ``flag_values`` and ``flag_meanings``. Attributes
that would make xarray change values (``_FillValue``, ``missing_value``, ``scale_factor``) are left
out on purpose: −1 for "none" stays −1. No digest depends on an attribute of an array.

CF conventions, sections 3.1 to 3.5: https://cfconventions.org/cf-conventions/cf-conventions.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssldata.liftover.lift_result import Status
from ssldata.rows.splits import SPLIT_NAMES

_BASES = "bp"
_NUMBER = "1"


def _meaning(long_name: str, units: str = _NUMBER, **more: Any) -> dict[str, Any]:
    return {"long_name": long_name, "units": units, **more}


def _flags(long_name: str, flags: Mapping[str, int], **more: Any) -> dict[str, Any]:
    """Return the attributes of a code; units are for quantities, so it has none."""
    return {
        "long_name": long_name,
        "flag_values": list(flags.values()),
        "flag_meanings": " ".join(flags),
        **more,
    }


_SPLITS = {name: number for number, name in enumerate(SPLIT_NAMES)}
_STATUSES = {status.name.lower(): int(status) for status in Status}
_STRANDS = {"reverse": -1, "forward": 1}
_INDEX = "an index; -1 is none"
#: Arrays with an axis ``experiment``.
_WIDE = ("label", "coverage")
_HALF_OPEN = "0-based, half-open, on the forward strand"

#: Of the arrays of ``reference`` and ``homologs/<genome>``.
ROW_MEANINGS: dict[str, dict[str, Any]] = {
    "sequence": _meaning(
        "bases of the stored window, one-hot",
        comment="channels along base: A, C, G, T; four zeros are N",
    ),
    "sequence_codes": _flags(
        "bases of the stored window", {"A": 0, "C": 1, "G": 2, "T": 3, "N": 4}
    ),
    "label": _flags("label of the bin for each experiment", {"negative": 0, "positive": 1}),
    "coverage": _meaning("bases of the bin that peaks of the experiment cover", _BASES),
    "weight": _meaning("weight of the row in training", valid_range=[0.0, 1.0]),
    "contig": _meaning(
        "contig of the bin", comment="an index into the attribute contigs of the group"
    ),
    "start": _meaning("first base of the bin", _BASES, comment=_HALF_OPEN),
    "end": _meaning("base after the last of the bin", _BASES, comment=_HALF_OPEN),
    "strand": _flags(
        "strand of the sequence",
        _STRANDS,
        comment="reverse: the sequence is the reverse complement of the forward strand",
    ),
    "split": _flags("set that the row belongs to, that of its source interval", _SPLITS),
    "source": _meaning("source interval of the row", comment=f"{_INDEX}; of the group sources"),
    "locus": _meaning("merged peak of the labelled genome", comment=_INDEX),
    "aligned_fraction": _meaning("share of the source interval that is aligned to this genome"),
    "identity": _meaning("share of aligned bases of the source interval that are identical"),
}
#: Of the arrays of ``sources``.
SOURCE_MEANINGS: dict[str, dict[str, Any]] = {
    "contig": _meaning(
        "contig of the interval in the labelled genome",
        comment="an index into the attribute contigs of the group",
    ),
    "start": _meaning("first base of the interval", _BASES, comment=_HALF_OPEN),
    "end": _meaning("base after the last of the interval", _BASES, comment=_HALF_OPEN),
    "score": _meaning("score of the peak, as its file gives it"),
    "split": _flags("set that everything made of the interval belongs to", _SPLITS),
    "locus": _meaning("merged peak that the interval is part of", comment=_INDEX),
    "label": _flags("label of the interval for each experiment", {"negative": 0, "positive": 1}),
    "coverage": _meaning("bases of the interval that peaks of the experiment cover", _BASES),
}
#: Of the arrays of ``homologs/<genome>/liftover``, one value for each source interval.
LIFTOVER_MEANINGS: dict[str, dict[str, Any]] = {
    "status": _flags("what became of the source interval in this genome", _STATUSES),
    "contig": _meaning(
        "contig of the place in this genome",
        comment="an index into the attribute contigs of the group of the genome; -1 is none",
    ),
    "start": _meaning("first base of the place in this genome", _BASES, comment=_HALF_OPEN),
    "end": _meaning("base after the last of the place", _BASES, comment=_HALF_OPEN),
    "strand": _flags(
        "strand of this genome that the source interval is aligned to", _STRANDS | {"none": 0}
    ),
    "aligned": _meaning("bases of the source interval that are aligned", _BASES),
    "pieces": _meaning("aligned pieces"),
    "loci": _meaning("places that the pieces form"),
    "identity": _meaning("share of aligned bases that are identical"),
}


def with_experiments(
    meanings: Mapping[str, Mapping[str, Any]], experiments: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return meanings of arrays of which some have a value for each experiment, with their names.

    Parameters
    ----------
    meanings
        Name of an array → its attributes.
    experiments
        The label columns of the store, in order.
    """
    return {
        name: {**found, "experiments": list(experiments)} if name in _WIDE else dict(found)
        for name, found in meanings.items()
    }
