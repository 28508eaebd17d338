"""The bundle of `tools/bundle.py`: how it is made, and how it is set up on a machine without a network."""
