"""What a trained model has learnt: attributions, motifs and their effects.

Imports: ssldata, layers, scores.
"""
