"""Commands that ask how far a store can be trusted.

Imports: ssldata, sslmodels, options, output.
"""
