"""How many threads TensorFlow computes with: part of what decides the bits of a model.

Sums over a batch are split among the threads, and floating-point sums depend on how they are
split. The same number of threads gives the same bits, in whichever process and however many
processes train beside it.
"""

from __future__ import annotations

import tensorflow as tf

from ssldata.base.errors import ConfigError


def limit_threads(count: int) -> None:
    """Let TensorFlow compute with so many threads in this process.

    Raises
    ------
    ConfigError
        It computed already, with another number.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as exc:
        used = tf.config.threading.get_intra_op_parallelism_threads()
        raise ConfigError(
            f"{count} threads asked for, but TensorFlow computes with {used or 'all cores'} in "
            "this process already; start it (or the Dask worker) anew"
        ) from exc
