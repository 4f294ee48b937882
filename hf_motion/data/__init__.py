"""Motion from files and data sets."""
