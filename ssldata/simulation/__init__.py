"""Simulated clades: small projects whose every answer is known.

Imports: base.
"""
