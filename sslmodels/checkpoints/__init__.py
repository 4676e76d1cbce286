"""Files of tensors that other programs wrote, read without running any code of theirs.

Imports: ssldata.
"""
