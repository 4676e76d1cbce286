"""Test bins scored: metrics, curves, figures.

Imports: ssldata, fit, models, runs, scores.
"""
