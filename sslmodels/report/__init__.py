"""The HTML report of a project.

Imports: ssldata, baseline_runs, evaluation, runs, scores.
"""
