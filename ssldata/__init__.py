"""Data engine: liftover, stores of pseudo-labelled rows, and the reader.

::

    import ssldata as sd

    store = sd.open_store("store/Reb1.zarr")
    dataset, steps = sd.dataset(store, sd.mixture_of(store), batch_size=256)

The names in ``__all__`` are the public surface; they are loaded when they are first used, so that
``import ssldata`` takes milliseconds. Everything else can be imported from its folder, and may move
between releases. Coordinates are 0-based and half-open everywhere. Nothing here imports Prefect.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from ssldata.base.errors import (
    ClusterError,
    ConfigError,
    CrosslabelError,
    FetchError,
    InputError,
    MissingInputError,
    RunsFailedError,
    StoreError,
    UnreachableError,
)
from ssldata.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from ssldata.base.versions import VERSION as __version__
    from ssldata.building.build_store import build_project as build
    from ssldata.chains.chain_index import load_chain
    from ssldata.genomes.genome import open_genome
    from ssldata.genomes.onehot import encode
    from ssldata.liftover.lift import lift
    from ssldata.project.project_file import load_project
    from ssldata.reading.mixture import mixture_of
    from ssldata.reading.reader import training_dataset as dataset
    from ssldata.simulation.clade import simulate_clade as simulate
    from ssldata.store.store import open_store

__all__ = [
    "ClusterError",
    "ConfigError",
    "CrosslabelError",
    "FetchError",
    "InputError",
    "MissingInputError",
    "RunsFailedError",
    "StoreError",
    "UnreachableError",
    "__version__",
    "build",
    "dataset",
    "encode",
    "lift",
    "load_chain",
    "load_project",
    "mixture_of",
    "open_genome",
    "open_store",
    "simulate",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "__version__": "ssldata.base.versions:VERSION",
        "build": "ssldata.building.build_store:build_project",
        "dataset": "ssldata.reading.reader:training_dataset",
        "encode": "ssldata.genomes.onehot:encode",
        "lift": "ssldata.liftover.lift:lift",
        "load_chain": "ssldata.chains.chain_index:load_chain",
        "load_project": "ssldata.project.project_file:load_project",
        "mixture_of": "ssldata.reading.mixture:mixture_of",
        "open_genome": "ssldata.genomes.genome:open_genome",
        "open_store": "ssldata.store.store:open_store",
        "simulate": "ssldata.simulation.clade:simulate_clade",
    },
)

if os.environ.get("KERAS_BACKEND") == "torch":
    # Part of torch where it has CUDA. Both it and TensorFlow hold an LLVM, and the process ends
    # when triton's is the second to be loaded.
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401 - loaded for its order alone

if "NUMBA_CACHE_DIR" not in os.environ and not os.access(__path__[0], os.W_OK):
    # Numba keeps compiled code beside its module, else in the home folder; without either it fails.
    import ssldata.base.cache_folder as _cache_folder

    with contextlib.suppress(ConfigError):
        os.environ["NUMBA_CACHE_DIR"] = str(_cache_folder.cache_dir("numba"))
