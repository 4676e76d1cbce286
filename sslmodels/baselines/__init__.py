"""Models without a network: motif scans, motifs found by EM, k-mer and gapped k-mer regression.

Imports: ssldata.
"""
