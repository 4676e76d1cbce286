"""Number of threads of TensorFlow, on which the bits of a trained model depend.

Sums over a batch are split among the threads, and the rounding of a sum depends on the split. The
same number of threads gives the same bits, whatever else runs on the machine.
"""

from __future__ import annotations

import tensorflow as tf

from ssldata.base.errors import ConfigError


def limit_threads(count: int) -> None:
    """Set the number of threads of TensorFlow in this process.

    Raises
    ------
    ConfigError
        TensorFlow has already started with another number.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as exc:
        used = tf.config.threading.get_intra_op_parallelism_threads()
        raise ConfigError(
            f"{count} threads requested, but TensorFlow already uses {used or 'all cores'} in this "
            "process; restart it (or the Dask worker)"
        ) from exc
