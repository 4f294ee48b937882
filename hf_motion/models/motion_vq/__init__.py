"""Motion as discrete tokens: vector quantised autoencoders."""
