"""What a person sees on the terminal.

Imports: ssldata, sslmodels, steps.
"""
