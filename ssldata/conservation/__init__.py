"""How the bases around a bin are aligned to, and differ from, those of the target genomes.

Imports: base, building, chains, genomes, liftover, project, rows.
"""
