"""Tables of sequences with labels: read, freed of duplicates, split, laid out as rows.

Imports: base, genomes, project, rows.
"""
