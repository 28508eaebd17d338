"""The reliability suite: which properties hold for which losses, with counts and largest errors.

Everything is driven by the cases (``tests/cases``) and by what the classes say of themselves, so a new loss with a case
is measured without an edit here. ``tests/contract/test_reliability.py`` asserts it, ``tools/reliability.py`` writes the
table.
"""

from . import bad_inputs, elsewhere, invariance, kinks, motion, precision, rows, values  # noqa: F401  fill PROPERTIES
from .core import ALL_CASES, PROPERTIES, Elsewhere, NotShown, Property, Tally, measured_properties
from .exceptions import EXCEPTIONS, RARE, rare, reason

__all__ = [
    "ALL_CASES",
    "EXCEPTIONS",
    "PROPERTIES",
    "RARE",
    "Elsewhere",
    "NotShown",
    "Property",
    "Tally",
    "measured_properties",
    "rare",
    "reason",
]
