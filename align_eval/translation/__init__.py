"""Translations judged: sacrebleu, attention against gold under teacher forcing, words that nothing links."""
