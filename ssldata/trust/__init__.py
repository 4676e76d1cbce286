"""What may mislead who learns from a store: one finding for each check.

Imports: base, store.
"""
