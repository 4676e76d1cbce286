"""Sei: architecture, checkpoints, profiles, sequence classes, variant scores.

``load_sei.load_sei`` builds the model from a checkpoint; ``profiles.profiles_of`` applies it.

Imports: ssldata, checkpoints, layers.
"""
