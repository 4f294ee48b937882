"""AdaQF's text and motion extractors."""
