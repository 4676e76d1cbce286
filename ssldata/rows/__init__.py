"""Peaks to rows: bins, labels, splits, reference and homologue rows.

Imports: base, chains, genomes, liftover, project.
"""
