"""Results of a grid of runs: tables, statistics and figures of the paper.

Imports: ssldata, evaluation, report, runs, scores.
"""
