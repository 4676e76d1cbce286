"""Plan and build: the one build loop, Dask workers, genomes in and out of a store.

Imports: base, chains, checking, genomes, labelled_sequences, liftover, project, rows, sharing,
store.
"""
