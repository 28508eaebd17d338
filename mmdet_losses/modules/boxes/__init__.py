"""Losses of boxes: the IoU family, its modifiers, and what does not fit its sum."""
