"""Trained models used: scores of sequences, of rows and along genomes.

Imports: ssldata, layers, models, runs, scores.
"""
