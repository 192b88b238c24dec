"""Statistical word aligners, trained without gold on the very text that they align: eflomal and fast_align."""
