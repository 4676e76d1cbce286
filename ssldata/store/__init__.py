"""The Zarr store: layout, reading, writing, remote places, weights.

Imports: base, genomes.
"""

from ssldata.base.lazy_names import lazy_names

# The README that travels with every shared store imports it from here.
__getattr__, __dir__ = lazy_names(__name__, {"open_store": "ssldata.store.store:open_store"})
