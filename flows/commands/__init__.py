"""The command line: options, help, and one call into the libraries each.

Imports: ssldata, sslmodels, options, output, prefect_flows, steps.
"""
