"""The Zarr store: layout, reading, writing, remote places, weights.

Imports: base, genomes.
"""
