"""Sei from a checkpoint, as a model that reads base codes or one-hot and averages both strands."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from sslmodels.layers.sequence_model import SequenceModel
from sslmodels.sei.licence_notice import note_licence
from sslmodels.sei.sei_checkpoint import HeadChoice, read_sei
from sslmodels.sei.sei_network import assign_tensors, sei_network
from sslmodels.sei.sei_tensors import SeiSizes

_LOG = logging.getLogger(__name__)

#: Bases the published model reads.
PUBLISHED_LENGTH = 4096


def load_sei(
    path: Path | str | Sequence[Path | str],
    *,
    length: int = PUBLISHED_LENGTH,
    head: HeadChoice = "auto",
    profiles: int | None = None,
    sizes: SeiSizes | None = None,
) -> SequenceModel:
    """Build Sei and load its weights, strictly; the terms of the weights are logged once.

    Parameters
    ----------
    path
        A checkpoint file, several that belong together (trunk and head), or their folder; see
        :func:`sslmodels.sei.sei_checkpoint.sei_files`.
    length
        Bases the model reads, 32 or more; the splines adapt to it.
    head
        ``auto``: the head that the files hold, or none; ``none``: the trunk alone; ``full`` or
        ``low-rank``: a head that the files must hold.
    profiles
        Outputs the head must have, for example 21907; None: as many as it has.
    sizes
        Sizes of the trunk; the published ones by default.

    Returns
    -------
    SequenceModel
        Reads base codes, integer (B, length) with N = 4, or one-hot (B, length, 4) whose N is four
        zeros or four quarters. Returns probabilities (B, profiles), or features of the trunk
        (B, 15360), averaged over both strands; ``model.body`` reads one strand, as one-hot. It is
        not trainable.

    Raises
    ------
    MissingInputError
        No such file.
    InputError
        A tensor is missing, unexpected, of another shape, transposed, truncated or not finite; the
        message names it and its file. No code of a file is run.
    ConfigError
        `length` is too short.

    Examples
    --------
    >>> model = load_sei("sei.pth", length=600)
    >>> profiles = profiles_of(model, codes)  # float32 (n, 21907)
    """
    tensors = read_sei(path, head=head, profiles=profiles, sizes=sizes)
    body = sei_network(length, sizes=sizes, head=tensors.head)
    assign_tensors(body, tensors.values)
    body.trainable = False
    note_licence()
    _LOG.info("%s", tensors.report)
    return SequenceModel(body, both_strands=True, name="sei")
