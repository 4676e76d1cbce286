"""`crosslabel liftover`, the drop-in for the UCSC tool; no other folder imports it.

Imports: base, chains, liftover.
"""
