"""What may mislead who learns from a store: a finding for each check.

Imports: base, genomes, store.
"""
