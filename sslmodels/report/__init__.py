"""The HTML report of a project.

Imports: ssldata, evaluation, runs, scores.
"""
