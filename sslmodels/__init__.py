"""Keras models, training regimes, evaluation and reports built on :mod:`ssldata` stores."""
