"""The terms of Sei's weights, logged once."""

from __future__ import annotations

import logging

_LOG = logging.getLogger(__name__)

NOTICE = (
    "Sei weights (Chen et al. 2022) are licensed for academic and research use only, and so may be "
    "what is derived from them; commercial use needs a licence of their authors"
)

_given: list[bool] = []


def note_licence() -> None:
    """Log the terms of the weights, the first time in a process."""
    if not _given:
        _given.append(True)
        _LOG.warning("%s", NOTICE)
