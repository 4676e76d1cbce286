"""What may mislead who learns from a store: a finding for each check.

Imports: base, checking, genomes, liftover, project, rows, store.
"""
