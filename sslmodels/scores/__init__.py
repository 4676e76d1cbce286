"""Metrics, calibration, and scores of rows.

Imports: ssldata.
"""
