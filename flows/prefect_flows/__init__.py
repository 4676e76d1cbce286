"""The Prefect flows, and what Prefect records of them.

Imports: ssldata, sslmodels, steps.
"""
