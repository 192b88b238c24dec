"""What figures say, computed: summaries; and the offline page to explore score matrices."""
