"""Results of a grid of runs: tables, statistics and figures of the paper.

Imports: ssldata, evaluation, models, report, runs, scores.
"""
