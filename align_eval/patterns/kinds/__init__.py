"""The mask kinds, one file each; found by :data:`align_eval.patterns.base.MASK_KINDS`."""
