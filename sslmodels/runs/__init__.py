"""Training regimes, the rows they draw, and run folders.

Imports: ssldata, baselines, committee, dnabert2, fit, layers, models, scores, sei.
"""
