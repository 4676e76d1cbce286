"""Errors, atomic files, locks, the cache folder, keyed random numbers, progress, YAML text.

Imports: nothing of ours.
"""
