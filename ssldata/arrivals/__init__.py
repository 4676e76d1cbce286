"""Genomes that arrive: their registry, which of them are whole, and one append for each.

Imports: base, building, project.
"""
