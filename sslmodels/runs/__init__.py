"""Training regimes, the rows they draw, and run folders.

Imports: ssldata, dnabert2, fit, layers, models, scores.
"""
