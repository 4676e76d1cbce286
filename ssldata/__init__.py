"""Data engine: intervals, liftover, windows, genomes, stores and the reader.

Coordinates are 0-based and half-open everywhere. Nothing in this package imports Prefect;
TensorFlow is imported only by :mod:`ssldata.reader`.
"""
