"""Hiding words of the target: what the model fills in, and how the attention of every row moves.

:mod:`~align_eval.infilling.probe` runs a model on a pair with chosen words hidden; :mod:`~align_eval.infilling.results`
is what it gives, numpy alone.
"""
