"""What a trained model has learnt: attributions, motifs and their effects.

Imports: ssldata, baselines, evaluation, fit, layers, models, report, runs, scores.
"""
