"""Options as declarations: ``beta: float = option(default=1.0, check=at_least(0))``, as a dataclass has fields.

A class that is decorated with :func:`declared`, or published, needs no ``__init__``: it takes the options of its body,
in their order, and behind them, by keyword, those of its bases. Type checkers read the same from
``dataclass_transform``.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import dataclass_transform

from .errors import OptionError
from .options import parameters_of, unknown_option

Class = TypeVar("Class", bound=type)


class Check(NamedTuple):
    """What a value of an option has to be.

    Attributes:
        holds: Whether a value is right; a ``TypeError`` says that it is not.
        expected: The same in words, behind "must be".
        numeric: Whether it is a number, which the words may not say.
        error: What is raised for another value.
    """

    holds: Callable[[Any], bool]
    expected: str
    numeric: bool = False
    error: type[ValueError] = OptionError


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, or a real tensor of one element, which may be learned; True is none."""
    if type(value) in (float, int):
        return math.isfinite(value)
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex() and value.dtype is not torch.bool
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number; True is none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def are_numbers(values: Any) -> bool:
    """Whether a value is a row of finite numbers, one or more, as a sequence, an array or a tensor."""
    if isinstance(values, Tensor):
        return values.ndim == 1 and values.numel() > 0 and bool(values.isfinite().all())
    return not isinstance(values, str | Mapping) and len(values) > 0 and all(map(is_number, values))


def at_least(low: float) -> Check:
    """``low`` or more."""
    return Check(lambda value: is_number(value) and value >= low, f"{low} or more", numeric=True)


def more_than(low: float) -> Check:
    """More than ``low``."""
    return Check(lambda value: is_number(value) and value > low, f"more than {low}", numeric=True)


def between(low: float, high: float) -> Check:
    """From ``low`` to ``high``, both included."""
    return Check(lambda value: is_number(value) and low <= value <= high, f"from {low} to {high}", numeric=True)


def one_of(values: Collection[Any]) -> Check:
    """One of some values; True is not the number 1."""
    return Check(
        lambda value: not isinstance(value, bool) and value in values, f"one of {', '.join(map(repr, values))}"
    )


def none_or(check: Check) -> Check:
    """None, or what ``check`` asks for."""
    return Check(lambda value: value is None or check.holds(value), f"None or {check.expected}", check.numeric)


def whole(low: int) -> Check:
    """A whole number of ``low`` or more."""
    return Check(lambda value: is_whole(value) and value >= low, f"a whole number, {low} or more")


LESS_THAN_1 = Check(lambda value: is_number(value) and 0 <= value < 1, "0 or more and less than 1", numeric=True)
SHARE = Check(lambda value: is_number(value) and 0 < value <= 1, "more than 0 and at most 1", numeric=True)
TRUE = Check(lambda value: value is True, "True")
FALSE = Check(lambda value: value is False, "False")
BOOLEAN = Check(lambda value: isinstance(value, bool), "True or False")
LOSS_WEIGHT = Check(
    lambda value: is_number(value) and (isinstance(value, Tensor) or value >= 0),
    "0 or more",
    numeric=True,
)

NUMBER = Check(is_number, "a number")
WHOLE = Check(is_whole, "a whole number")
FLAG = Check(lambda value: isinstance(value, int) and value in (0, 1), "True or False")
KINDS = {
    "float": NUMBER,
    "float | None": none_or(NUMBER),
    "int": WHOLE,
    "int | None": none_or(WHOLE),
    "bool": FLAG,
}
"""What a value has to be by the annotation of its option, where the option has no check of its own."""


class Option(NamedTuple):
    """A declared option.

    Attributes:
        default: Its default.
        check: What its values have to be; None takes any.
        kw_only: Whether it is given by keyword only.
        alias: Its name as a parameter, where that differs from the attribute's.
        convert: What the attribute holds of a value, where that is not the value itself.
        frozen: Why the attribute cannot be set after construction; empty where it can.
        kind: What its annotation says, which counts where neither the class nor a base of it has a check.
    """

    default: Any = None
    check: Check | None = None
    kw_only: bool = False
    alias: str | None = None
    convert: Callable[[Any], Any] | None = None
    frozen: str = ""
    kind: Check | None = None


def option(
    *,
    default: Any,
    check: Check | None = None,
    kw_only: bool = False,
    alias: str | None = None,
    convert: Callable[[Any], Any] | None = None,
    frozen: str = "",
) -> Any:
    """Declare an option in the body of a class, see :class:`Option`."""
    return Option(default, check, kw_only, alias, convert, frozen)


def not_a_number(value: Any) -> str:
    """Why a value is none, where the words of a check only say which numbers are right."""
    return ", which is not finite" if isinstance(value, float) else ", which is no number"


def check_value(name: str, value: Any, check: Check | None) -> None:
    """Raise for a value that an option does not take."""
    if check is not None:
        try:
            holds = bool(check.holds(value))
        except (TypeError, ValueError, RuntimeError, LookupError):
            holds = False
        if not holds:
            note = not_a_number(value) if check.numeric and not is_number(value) else ""
            raise check.error(f"{name} must be {check.expected}, got {value!r}{note}.")


def taken(name: str, value: Any, rule: Option | None) -> Any:
    """What an attribute holds of a value, which is checked."""
    if rule is None:
        return value
    check_value(rule.alias or name, value, rule.check)
    return value if rule.convert is None else rule.convert(value)


class Configured(nn.Module):
    """Base of modules with options: plain attributes that ``forward`` reads.

    Setting one checks the value as the constructor does, and takes effect in the next call; what the module was built
    around cannot be set, and an ``AttributeError`` says so. Other attributes are free to set.
    """

    declared_options: ClassVar[dict[str, Option]] = {}
    rules: ClassVar[dict[str, Option]] = {}
    """What holds for options of a constructor written by hand, as declarations say it of the others."""

    def __setattr__(self, name: str, value: Any) -> None:
        rule = rules_of(type(self)).get(name)
        if rule is None:
            super().__setattr__(name, value)
            return
        value = taken(name, value, rule)
        if name not in self.__dict__ and name not in self.__dict__.get("_modules", ()):
            if computed(type(self), name):
                raise AttributeError(f"{name} of {type(self).__name__} comes from its other options: set those.")
            super().__setattr__(name, value)
            return
        held = getattr(self, name)
        if rule.frozen and value != held:
            shown = rule.alias or name
            raise AttributeError(
                f"{shown} of {type(self).__name__} cannot change, since {rule.frozen}: build the loss again, with "
                f"{shown}={value!r}."
            )
        super().__setattr__(name, value)
        try:
            self.check_options()
        except Exception:
            super().__setattr__(name, held)
            raise

    def check_options(self) -> None:
        """Raise for options that do not go together; called by the constructor, and after one of them was set."""


@cache
def rules_of(cls: type) -> dict[str, Option]:
    """What holds for the options of a class and its bases, by attribute; of each, the first that says it."""
    rules: dict[str, Option] = {}
    for base in cls.__mro__:
        own = {**vars(base).get("declared_options", {}), **vars(base).get("rules", {})}
        for name, found in own.items():
            rule = rules.get(name, found)
            rules[name] = rule._replace(
                check=rule.check or found.check,
                convert=rule.convert or found.convert,
                frozen=rule.frozen or found.frozen,
                kind=rule.kind or found.kind,
            )
    return {name: rule._replace(check=rule.check or rule.kind) for name, rule in rules.items()}


def computed(cls: type, name: str) -> bool:
    """Whether a class computes an option of its bases, which is then neither kept nor set."""
    found = getattr(cls, name, None)
    return isinstance(found, property) and found.fset is None


def take_options(cls: type, given: dict[str, Any]) -> dict[str, Any]:
    """Take the options that a class declares out of the keywords of its constructor, defaults filled in."""
    return {name: given.pop(name, declaration.default) for name, declaration in cls.declared_options.items()}


def keep_options(module: Configured, values: dict[str, Any]) -> None:
    """Set the attributes of options in a constructor, which checks their values, each alone."""
    rules = rules_of(type(module))
    for name, value in values.items():
        if not computed(type(module), name):
            # past Configured's own, which is about what is held already
            super(Configured, module).__setattr__(name, taken(name, value, rules.get(name)))


def with_kind(declaration: Option, annotation: Any) -> Option:
    """An option without a check of its own, checked for what its annotation says, if its default is that."""
    kind = KINDS.get(annotation.__name__ if isinstance(annotation, type) else str(annotation))
    if declaration.check is not None or kind is None or not kind.holds(declaration.default):
        return declaration
    return declaration._replace(kind=kind)


def own_options(cls: type) -> dict[str, Option]:
    """Take the options out of the body of a class, where their defaults would hide submodules and buffers."""
    found = {}
    for name, annotation in inspect.get_annotations(cls).items():
        if name in vars(cls) and "ClassVar" not in str(annotation):
            value = vars(cls)[name]
            found[name] = with_kind(value if isinstance(value, Option) else Option(value), annotation)
            delattr(cls, name)
    return found


@dataclass_transform(eq_default=False, field_specifiers=(option,))
def declared(cls: Class) -> Class:
    """Class decorator: reads the options of a class body, and writes the constructor where the class has none.

    That constructor hands on to its base what the base takes, checks and keeps the other options, and then calls the
    class's own ``__post_init__``, if there is one, and ``check_options``.
    """
    cls.declared_options = own_options(cls)
    if cls.declared_options:
        if "__init__" not in vars(cls):
            cls.__init__ = constructor(cls)
        cls.__init__.__signature__ = signature_of(cls)
    return cls


def constructor(cls: type) -> Callable[..., None]:
    """The constructor of a class that declares its options."""
    options = {declaration.alias or name: (name, declaration) for name, declaration in cls.declared_options.items()}
    positional = [parameter for parameter, (_, declaration) in options.items() if not declaration.kw_only]
    of_bases = parameters_of(cls.__mro__[1:])
    handed = {parameter: name for parameter, (name, _) in options.items() if name in of_bases}
    if renamed := tuple(name for parameter, name in handed.items() if parameter != name):
        cls.fixed = (*cls.fixed, *renamed)

    def __init__(self: nn.Module, *args: Any, **given: Any) -> None:
        if len(args) > len(positional):
            raise OptionError(
                f"{cls.__name__} takes at most {len(positional)} options by position, {', '.join(positional)}, "
                f"got {len(args)}: write the others by name."
            )
        for parameter, value in zip(positional, args, strict=False):
            if parameter in given:
                raise OptionError(f"{cls.__name__} got {parameter} twice, by position and by name: leave one out.")
            given[parameter] = value
        own = {}
        for parameter, (name, declaration) in options.items():
            value = given.pop(parameter, declaration.default)
            (given if parameter in handed else own)[name] = value
        if given and not of_bases:
            raise unknown_option(cls, next(iter(given)))
        super(cls, self).__init__(**given)
        keep_options(self, own)
        if "__post_init__" in vars(cls):
            vars(cls)["__post_init__"](self)
        cls.check_options(self)

    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    __init__.__module__ = cls.__module__
    return __init__


def signature_of(cls: type) -> inspect.Signature:
    """Signature of a constructor with the options that its class declares, which may come to it as ``**keywords``."""
    written = inspect.signature(cls.__init__).parameters.values()
    left_out = {inspect.Parameter.VAR_POSITIONAL}
    if not parameters_of(cls.__mro__[1:]):
        left_out.add(inspect.Parameter.VAR_KEYWORD)
    parameters = {parameter.name: parameter for parameter in written if parameter.kind not in left_out}
    annotations = inspect.get_annotations(cls)
    for name, declaration in cls.declared_options.items():
        kind = inspect.Parameter.KEYWORD_ONLY if declaration.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
        shown = declaration.alias or name
        option = inspect.Parameter(shown, kind, default=declaration.default, annotation=annotations[name])
        parameters.setdefault(shown, option)
    return inspect.Signature(sorted(parameters.values(), key=lambda parameter: parameter.kind))
