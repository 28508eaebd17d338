"""A loss that somebody names in text: a registered name, or a line of a config. Text is read, never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from tool_runtime.errors import ToolError

from mmdet_losses.modules import Loss
from mmdet_losses.registry import LOSSES

SCOPE = "mmdet_losses."
EXAMPLE = "dict(type='SIoULoss', power=3.0)"


@dataclass(frozen=True)
class Chosen:
    """A loss by its config.

    Attributes:
        name: Registered name.
        options: Its options, nested losses and focuses as dictionaries.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def cls(self) -> type[Loss]:
        return LOSSES[self.name]

    @property
    def label(self) -> str:
        """For legends: ``SIoULoss(power=3.0)``."""
        said = ", ".join(f"{key}={written(value)}" for key, value in self.options.items())
        return f"{self.name}({said})" if said else self.name

    @property
    def line(self) -> str:
        """The line of a config, which :func:`choose` reads again."""
        return written({"type": self.name, **self.options})

    def build(self, **options: Any) -> Loss:
        """The loss itself; what is passed replaces its own options.

        Raises:
            ToolError: Where its options are wrong or some are missing.
        """
        try:
            return self.cls(**{**self.options, **options})
        except (ValueError, TypeError, KeyError) as error:
            raise ToolError(f"{self.line}: {error}") from None


def choose(text: str) -> Chosen:
    """Read a loss.

    Args:
        text: ``CIoULoss``, ``mmdet_losses.CIoULoss`` or ``dict(type='SIoULoss', power=3.0)``; also with braces.

    Raises:
        ToolError: Where it is neither, the name is unknown, or the loss cannot be built.
    """
    text = text.strip()
    chosen = from_config({"type": text}) if text.replace(".", "").isidentifier() else from_config(read(text))
    chosen.build()
    return chosen


def choose_all(texts: Sequence[str]) -> list[Chosen]:
    """Read several, each once."""
    return list({chosen.line: chosen for chosen in map(choose, texts)}.values())


def from_config(config: Any) -> Chosen:
    """A loss from its dictionary.

    Raises:
        ToolError: Where it names none.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("type"), str):
        raise ToolError(f"a loss is a name or a line like {EXAMPLE}, got {config!r}")
    name = config["type"].removeprefix(SCOPE)
    if name not in LOSSES:
        near = close_to(name)
        raise ToolError(
            f"unknown loss {name!r}; "
            + (f"did you mean {' or '.join(near)}?" if near else "tools/list_losses.py lists them all")
        )
    return Chosen(name, {str(key): value for key, value in config.items() if key != "type"})


def close_to(name: str) -> list[str]:
    """Registered names that look like a wrong one."""
    lower = {known.lower(): known for known in LOSSES}
    return [lower[near] for near in get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]


def read(text: str) -> Any:
    """The value of a literal in which ``dict(...)`` may stand for braces.

    Raises:
        ToolError: Where there is anything else in it.
    """
    try:
        return value_of(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise ToolError(f"cannot read {text!r}: a loss is a name or a line like {EXAMPLE}") from None


def value_of(node: ast.expr) -> Any:
    """The value of a part of a literal."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        keys = [keyword.arg for keyword in node.keywords]
        if None in keys:
            raise ValueError
        return {keyword.arg: value_of(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {value_of(key): value_of(value) for key, value in zip(node.keys, node.values, strict=True)}  # type: ignore[arg-type]
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [value_of(item) for item in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    return ast.literal_eval(node)


def written(value: Any) -> str:
    """A value as configs write it; the inverse of :func:`read`."""
    if isinstance(value, Mapping):
        return f"dict({', '.join(f'{key}={written(item)}' for key, item in value.items())})"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(written, value))}{',' if len(value) == 1 else ''})"
    return repr(value)
