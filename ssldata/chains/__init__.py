"""Chain files parsed into a searchable, cached index.

Imports: base.
"""
