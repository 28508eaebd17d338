"""Errors about options and reductions, of the types that both this package and MMDetection's callers expect."""

from __future__ import annotations

__all__ = ["OptionError", "ReductionError"]


class OptionError(ValueError, TypeError, AssertionError):
    """A constructor option that is unknown or has a wrong value.

    It is a ``ValueError``, and also what Python raises for an unknown keyword and MMDetection for a wrong value.
    """


class ReductionError(ValueError, AssertionError):
    """A reduction that does not exist; MMDetection raises ``AssertionError`` for it."""
