"""Errors about options and reductions, of the types that both this package and MMDetection's callers expect."""

from __future__ import annotations

__all__ = ["FormError", "OptionError", "ReductionError", "WeightError"]


class OptionError(ValueError, TypeError, AssertionError):
    """A constructor option that is unknown or has a wrong value.

    It is a ``ValueError``, and also what Python raises for an unknown keyword and MMDetection for a wrong value.
    """


class ReductionError(ValueError, AssertionError):
    """A reduction that does not exist; MMDetection raises ``AssertionError`` for it."""


class FormError(OptionError, NotImplementedError):
    """A form of a loss that does not exist; MMDetection raises ``NotImplementedError`` for it."""


class WeightError(ValueError, AssertionError):
    """A weight whose shape does not fit; MMDetection raises ``AssertionError`` for some."""
