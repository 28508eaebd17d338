"""Formulas of the losses for MathJax, by the name of the class.

They stand here and not in the docstrings, which are read as plain text: in a terminal, by ``help()``, in an editor and in
docs/reference.md. The symbols are those of the docstrings.
"""

from __future__ import annotations

FORMULAS: dict[str, str] = {
    "GIoULoss": r"1 - \mathrm{IoU} + \frac{C - U}{C}",
}
