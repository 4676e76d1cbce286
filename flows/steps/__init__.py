"""What commands and Prefect flows both do.

Imports: ssldata, sslmodels.
"""
