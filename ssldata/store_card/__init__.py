"""The card of a store: what checks found, shown on one page.

Imports: base, checking, lift_checks, project, rows, sharing, store, trust.
"""
