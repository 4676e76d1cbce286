"""The catalogue of models, their builders, and saved models.

Imports: ssldata, dnabert2, layers, sei.
"""
