"""Options that commands share, and what the shell may complete them with.

Imports: ssldata, output, steps.
"""
