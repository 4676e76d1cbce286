"""DNABERT-2: architecture, tokens, checkpoints, LoRA.

Imports: ssldata, layers.
"""
