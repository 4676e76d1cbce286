"""Test bins scored: metrics, curves, figures.

Imports: ssldata, committee, fit, models, runs, scores.
"""
