"""What a trained model has learnt: attributions, motifs and their effects.

Imports: ssldata, evaluation, fit, layers, models, report, runs, scores.
"""
