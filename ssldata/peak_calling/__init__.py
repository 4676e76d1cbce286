"""Peaks of an experiment, called from reads by MACS3.

Imports: base, building, genomes, project, rows.
"""
