"""Intervals of one genome to where they lie in another.

Imports: base, chains.
"""
