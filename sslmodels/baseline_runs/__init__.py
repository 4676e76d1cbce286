"""Baselines of a project: trained and scored like runs, kept beside them.

Imports: ssldata, baselines, evaluation, runs.
"""
