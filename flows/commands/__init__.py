"""The command line: options, help, and one call into the libraries each.

Imports: ssldata, sslmodels, check_commands, options, output, prefect_flows, steps.
"""
