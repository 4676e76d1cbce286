"""FASTA and 2bit files to contig sizes and fast gathers of windows; base codes and one-hot.

Imports: base.
"""
