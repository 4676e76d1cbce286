"""Errors, atomic files, locks, the cache folder, keyed random numbers, progress, text, YAML.

Imports: nothing of ours.
"""
