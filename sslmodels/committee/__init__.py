"""Several kinds of evidence for one bin: network, motif, gapped k-mers, conservation; one score.

Imports: ssldata, baselines, scores.
"""
