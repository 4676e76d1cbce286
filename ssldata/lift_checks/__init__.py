"""How far lifted labels can be trusted: quality of the liftover, chains, measured peaks, copies.

Imports: base, building, conservation, genomes, liftover, project, rows, store, trust.
"""
