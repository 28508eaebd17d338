"""Watching the losses of a training: figures in the log, and a report where a loss is not finite."""
