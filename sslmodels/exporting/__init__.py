"""Trained models as files for other programs, with a model card.

Imports: ssldata, baselines, committee, evaluation, fit, layers, models, runs, scores.
"""
