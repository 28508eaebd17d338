"""Facts that a class states about its losses, and an object about itself where its options change them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class Fact(Generic[T]):
    """A class attribute that is computed for a class, and for an object of it.

    Args:
        of_class: What holds for the class, in its default form.
        of_object: What holds for an object with its options.
    """

    def __init__(self, of_class: Callable[[Any], T], of_object: Callable[[Any], T]) -> None:
        self.of_class = of_class
        self.of_object = of_object

    @overload
    def __get__(self, loss: None, cls: type) -> T: ...
    @overload
    def __get__(self, loss: object, cls: type) -> T: ...
    def __get__(self, loss: object | None, cls: type) -> T:
        return self.of_class(cls) if loss is None else self.of_object(loss)


def fact(value: T, of_object: Callable[[Any], T]) -> Fact[T]:
    """A fact with one value for the class."""
    return Fact(lambda cls: value, of_object)
