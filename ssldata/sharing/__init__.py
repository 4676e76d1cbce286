"""Cards, zips, the range server, exports and Icechunk.

Imports: base, genomes, rows, store.
"""
