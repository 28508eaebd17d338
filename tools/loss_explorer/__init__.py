"""The page of tools/explore.py: boxes to drag, and what every loss says of them."""
