"""Results of a grid of runs: tables, statistics and figures of the paper.

Imports: ssldata, baseline_runs, evaluation, report, runs, scores.
"""
