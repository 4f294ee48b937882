"""Words for models that read parts of speech."""
