"""One fit: options, callback, checkpoint, devices.

Imports: ssldata, layers, scores.
"""
