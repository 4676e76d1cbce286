"""Trained models used: scores of sequences, of rows and along genomes.

Imports: ssldata, committee, evaluation, fit, layers, models, runs, scores.
"""
