"""Effects of variants: alleles scored, and compared with observed allelic imbalance.

Imports: ssldata, prediction, runs.
"""
