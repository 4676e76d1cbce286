"""Simple models on stored features: which of them answer a question, and how well.

Imports: ssldata, report, scores.
"""
