"""Layers and losses that saved models need, and augmentation.

Imports: nothing of ours.
"""
