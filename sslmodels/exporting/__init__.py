"""Trained models as files for other programs, with a model card.

Imports: ssldata, evaluation, fit, layers, models, runs, scores.
"""
