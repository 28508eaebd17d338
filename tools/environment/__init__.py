"""The environment of `tools/run`. Standard library only: it runs before anything is installed."""
