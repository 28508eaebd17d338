"""Trainings with these losses beside the same ones with those of MMDetection."""
