"""The HTML report of a project.

Imports: ssldata, runs, scores.
"""
