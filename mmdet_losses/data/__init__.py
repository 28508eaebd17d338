"""Data sets of the bundled configs, and the place where their files are."""
