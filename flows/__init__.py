"""Command line and Prefect flows. They call :mod:`ssldata` and :mod:`sslmodels`, and hold no algorithm."""
