"""Known motifs in the hot spots of a trained model, tested between classes.

Imports: ssldata, baselines, evaluation, fit, interpretation, layers, models, prediction, report, \
runs, scores.
"""
