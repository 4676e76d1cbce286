"""Which rows in which order, and their batches as tf.data.

Imports: base, genomes, project, store.
"""
