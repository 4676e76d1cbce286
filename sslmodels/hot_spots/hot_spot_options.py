"""Options of a search for motifs in hot spots, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ssldata.base.errors import ConfigError

Rows = Literal["test", "validation"]
Towards = Literal["own", "positive"]
Windows = Literal["merged", "single"]


@dataclass(frozen=True)
class HotSpotOptions:
    """What is looked at, and how. The defaults are the published settings where there are any.

    Attributes
    ----------
    known
        MEME file of the motifs.
    rows
        The split whose rows are read.
    output
        Experiment of the output; None: the only one of the model.
    confidence
        Rows count that are predicted correctly, their class with a larger probability than this.
    count
        Rows of each class at most, drawn with the seed.
    seed
        Of these draws.
    steps
        Points of the path of integrated gradients.
    towards
        ``own``: attributions of a row are those of its own class, so that hot spots of class 0
        speak for class 0; ``positive``: those of class 1 in both.
    hot
        Positions are hot whose attribution is above this share of the row's largest.
    width
        Bases of the window around a hot position.
    windows
        ``merged``: windows that overlap or touch are one hot spot; ``single``: every hot position
        has its own, as published.
    match
        Sites of a motif count from this share of its largest log-odds on.
    background
        Frequencies of A, C, G and T; None: those of the rows that are read. Both strands are
        scanned alike, so A and T count as their mean, and C and G.

    Raises
    ------
    ConfigError
        A value that means nothing.
    """

    known: Path
    rows: Rows = "test"
    output: str | None = None
    confidence: float = 0.8
    count: int = 1000
    seed: int = 0
    steps: int = 20
    towards: Towards = "own"
    hot: float = 0.7
    width: int = 32
    windows: Windows = "merged"
    match: float = 0.8
    background: Sequence[float] | None = None

    def __post_init__(self) -> None:
        for name, choices in (("rows", Rows), ("towards", Towards), ("windows", Windows)):
            if getattr(self, name) not in get_args(choices):
                expected = " or ".join(get_args(choices))
                raise ConfigError(f"{name}: {getattr(self, name)!r}; expected {expected}")
        if not 0.5 <= self.confidence < 1:
            raise ConfigError(
                f"confidence: {self.confidence:g}; expected at least 0.5 (a correct prediction) "
                "and less than 1"
            )
        for name in ("hot", "match"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"{name}: {getattr(self, name):g}; expected a share between 0 and 1"
                )
        for name in ("count", "steps", "width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)}; expected at least 1")
        self.frequencies()

    def frequencies(self) -> NDArray[np.float64] | None:
        """Return the given frequencies of both strands; None: they are measured."""
        if self.background is None:
            return None
        given = np.array(self.background, np.float64)
        if given.shape != (4,) or not np.all(given > 0) or abs(given.sum() - 1) > 0.01:
            raise _not_frequencies(",".join(f"{value:g}" for value in given.ravel()))
        both = given + given[::-1]
        return np.asarray(both / both.sum())

    def as_json(self) -> dict[str, Any]:
        """Return the options as plain values; of the motifs, the name of the file."""
        background = None if self.background is None else [float(x) for x in self.background]
        return {**asdict(self), "known": self.known.name, "background": background}


def background_of(text: str) -> list[float] | None:
    """Return base frequencies from ``measured`` (None), ``uniform`` or four numbers.

    Raises
    ------
    ConfigError
        The text is none of these.
    """
    if text == "measured":
        return None
    if text == "uniform":
        return [0.25] * 4
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise _not_frequencies(text) from None


def _not_frequencies(found: str) -> ConfigError:
    return ConfigError(
        f"background: {found}; expected measured, uniform, or four positive frequencies of A, C, "
        "G and T that sum to 1, for example 0.31,0.19,0.19,0.31"
    )
