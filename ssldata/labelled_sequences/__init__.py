"""Tables of sequences with labels: read, freed of duplicates, split, and laid out as rows.

Imports: base, genomes, project, rows.
"""
