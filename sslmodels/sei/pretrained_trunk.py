"""The weights of Sei's trunk, loaded into a model that begins with it."""

from __future__ import annotations

from typing import Any

import keras

from sslmodels.sei.licence_notice import note_licence
from sslmodels.sei.sei_checkpoint import read_sei
from sslmodels.sei.sei_network import assign_tensors, sizes_of
from sslmodels.sei.sei_options import SeiOptions


def load_pretrained_trunk(network: keras.Model, options: SeiOptions) -> dict[str, Any]:
    """Load the trunk of a network, strictly; a head in the files is ignored.

    Parameters
    ----------
    network
        A functional model that begins with a :class:`sslmodels.sei.sei_network.TrunkBuilder`.
    options
        Where the weights are.

    Returns
    -------
    dict
        What was loaded, as JSON-able values, for the record of a run.

    Raises
    ------
    ConfigError, MissingInputError, FetchError
        No weights are named, or other ones than expected.
    InputError
        They are not those of the trunk; every tensor that differs is named.
    """
    identity = options.identity()
    files = options.files()
    if not files:
        return {**identity, "checkpoint": None}
    found = read_sei(files, head="none", sizes=sizes_of(network))
    assign_tensors(network, found.values)
    note_licence()
    return {**identity, "checkpoint": found.report.as_dict()}
