"""Losses to look at: what a command line or a page names, as values and gradients that the classes themselves give."""
