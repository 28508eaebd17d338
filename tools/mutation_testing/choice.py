"""Which mutants a run tries."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from .record import Verdict
from .switch import Function, Mutant


@dataclass(frozen=True)
class Choice:
    """By default those of functions that the record does not know as they are.

    Attributes:
        commit: The one that is checked out; functions that were tried at it are not tried again.
        everything: Those of all functions.
        changed: Those of these functions.
        survivors: Only those that are known to survive.
    """

    commit: str
    everything: bool = False
    changed: Set[Function] | None = None
    survivors: bool = False

    def takes(self, mutant: Mutant, known: Verdict | None) -> bool:
        """Whether to try a mutant, of whose function this is known."""
        if self.changed is not None and mutant[:2] not in self.changed:
            return False
        if known is None:
            return not self.survivors
        if self.survivors:
            return mutant.number in known.survivors
        return (self.everything or self.changed is not None) and known.commit != self.commit
