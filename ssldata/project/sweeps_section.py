"""The section ``training.sweeps`` of the project file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ssldata.project.section import Section


class SweepsOfModel(Section):
    """Series of runs of one model; null: as in ``training.sweeps``."""

    nearest: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None, description="Numbers of nearest genomes; ssl."
    )
    labelled_peaks: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None, description="Numbers of labelled loci."
    )
    iterations: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None, description="Of the noisy student; ssl-ns."
    )
    noise_sd: list[Annotated[float, Field(ge=0)]] | None = Field(
        default=None, description="Of the noisy student; ssl-ns."
    )


class Sweeps(Section):
    """Series of runs beside the grid, for ``--report paper``; empty: none.

    Each value is one more run of every experiment, model and seed of the grid, in the regimes that
    the key concerns; a value that the grid itself has needs no more runs.
    """

    models: list[str] = Field(
        default_factory=list,
        description="Models of the grid that are swept over the lists below; empty: all.",
    )
    nearest: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=list, description="Numbers of nearest genomes; ssl."
    )
    labelled_peaks: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=list,
        description="Numbers of labelled loci, where an experiment has that many; the regimes of "
        "the grid except ssl-ns.",
    )
    iterations: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=list,
        description="Of the noisy student; ssl-ns. A run takes the students of one with another "
        "number, so that none is trained twice.",
    )
    noise_sd: list[Annotated[float, Field(ge=0)]] = Field(
        default_factory=list, description="Of the noisy student; ssl-ns."
    )
    per_model: dict[str, SweepsOfModel] = Field(
        default_factory=dict,
        description="Name of a model of the grid: lists of its own in place of those above, for "
        "example deepbind: {nearest: [5, 10]}; [] is none.",
    )

    def values(self, key: str, model: str) -> list[float]:
        """Return the values of a series that a model of the grid is trained with."""
        own = self.per_model.get(model)
        if own is not None and getattr(own, key) is not None:
            return list(getattr(own, key))
        return list(getattr(self, key)) if not self.models or model in self.models else []
