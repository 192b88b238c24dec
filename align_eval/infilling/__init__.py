"""Masked target words: which are masked, what the model predicts for them, and how the attention of every row moves."""
