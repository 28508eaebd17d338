"""Scalar reference of the losses, written from the papers in plain Python floats.

Nothing here imports torch, numpy or the package under test. Every function takes numbers or
:class:`~oracle.dual.Dual` numbers, so that the same text gives the value and the exact gradient.
"""
