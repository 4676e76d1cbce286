"""Features of Sei: its chromatin profiles, or those of its trunk where there is no head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssldata.base.array_types import ByteArray
from ssldata.base.cache_folder import file_digest
from ssldata.store.feature_store import FeatureColumns
from sslmodels.features.feature_model import Features
from sslmodels.features.network_layers import numbered
from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.sei.load_sei import PUBLISHED_LENGTH, load_sei
from sslmodels.sei.profiles import profiles_of
from sslmodels.sei.sei_checkpoint import sei_files


class SeiProfiles:
    """Outputs of a Sei, in the order of its list of targets.

    Parameters
    ----------
    model
        The network, with its weights.
    identity
        Of its files.
    """

    reads_both_strands = False

    def __init__(self, model: SequenceModel, identity: Mapping[str, Any]) -> None:
        self._model = model
        self.batch = int(model.score_batch)
        self.length: int | None = model.length
        count = int(model.body.output_shape[-1])
        head = _has_head(model)
        self.columns = FeatureColumns(
            names=numbered("profile" if head else "trunk", count),
            long_name="chromatin profile of Sei" if head else "spline features of Sei's trunk",
        )
        self.identity: Mapping[str, Any] = dict(identity)

    def compute(self, codes: ByteArray) -> Features:
        """Return the profiles (n, targets) of base codes of one strand."""
        return profiles_of(self._model, codes, strands="forward", batch_size=self.batch)


def _has_head(model: SequenceModel) -> bool:
    """Return whether the outputs are probabilities rather than features of the trunk."""
    activation = getattr(model.body.layers[-1], "activation", None)
    return getattr(activation, "__name__", "") == "sigmoid"


def sei_profiles(path: str, length: int | None) -> SeiProfiles:
    """Return what computes the profiles of a checkpoint of Sei.

    Parameters
    ----------
    path
        As of :func:`sslmodels.sei.sei_checkpoint.sei_files`.
    length
        Bases of the sequences; None: those of the published model.
    """
    files = sei_files(Path(path))
    identity = {"kind": "sei", "files": {file.name: file_digest(file) for file in files}}
    model = load_sei(list(files), length=length or PUBLISHED_LENGTH)
    return SeiProfiles(model, identity)
