"""The project file, the list of genomes, and public files with checksums.

Imports: base, genomes.
"""
