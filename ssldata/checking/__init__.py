"""Validation, repair and comparison of stores.

Imports: base, genomes, liftover, project, rows, sharing, store.
"""
