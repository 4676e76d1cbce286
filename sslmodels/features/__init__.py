"""Features of sequences by frozen models, stored by name: layers, embeddings, profiles, motifs.

Imports: ssldata, baselines, dnabert2, fit, layers, models, prediction, scores, sei.
"""
