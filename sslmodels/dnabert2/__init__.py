"""DNABERT-2: architecture, tokens, checkpoints, LoRA.

Imports: ssldata, checkpoints, layers.
"""
