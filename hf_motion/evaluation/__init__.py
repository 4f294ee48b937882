"""One protocol for numbers that can be compared; see `README.md` of this folder."""
