"""T2M-GPT: a language model of motion tokens."""
