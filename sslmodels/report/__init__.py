"""The HTML report of a project.

Imports: ssldata, scores.
"""
