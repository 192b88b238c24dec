"""The mask kinds; :data:`align_eval.patterns.base.MASK_KINDS` finds them."""
