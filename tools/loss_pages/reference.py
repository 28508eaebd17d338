"""The page of all losses, made from the registry: docstrings, options and facts."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Sequence

from mmdet_losses.modules import IoUTypeLoss, Loss
from mmdet_losses.registry import LOSSES

INTRODUCTION = """# Every loss

Made from the registry by `tools/list_losses.py --write`; a test says when it is out of date. The contract that
all of them keep is in [contract.md](contract.md), the differences from MMDetection in [deviations.md](deviations.md).
"""
SLOTS = {
    "bbox": "Box regression",
    "rbox": "Rotated boxes",
    "cls": "Classification",
    "dfl": "Distributions of distances",
    "mask": "Masks",
    "ld": "Distillation",
    "embedding": "Embeddings",
    "composite": "Objectives of grid detectors",
}
COMMON = ("reduction", "loss_weight", "debug", "fused")
MODIFIERS = ("power", "inner_ratio", "focaler", "focus")


def page() -> str:
    """All losses as Markdown, by slot and name."""
    names: dict[type[Loss], list[str]] = {}
    for name, cls in LOSSES.items():
        names.setdefault(cls, []).append(name)
    parts = [
        INTRODUCTION,
        option_list("Every loss takes", Loss, COMMON),
        option_list("Every member of the IoU family takes the modifiers", IoUTypeLoss, MODIFIERS),
    ]
    for slot, title in SLOTS.items():
        members = sorted((cls for cls in names if cls.slot == slot), key=lambda cls: cls.__name__)
        if members:
            parts.append(f"## {title}\n")
            parts += [entry(cls, [name for name in names[cls] if name != cls.__name__]) for cls in members]
    return "\n".join(parts)


def option_list(title: str, cls: type[Loss], names: Sequence[str]) -> str:
    """Options that many losses share."""
    described, options = described_options(cls), cls.options()
    return "\n".join([f"{title}\n", *(option(name, options[name], described) for name in names)]) + "\n"


def option(name: str, parameter: inspect.Parameter, described: dict[str, str]) -> str:
    """One option with its default, as an item of a list."""
    shown = name if parameter.default is parameter.empty else f"{name}={parameter.default!r}"
    return f"- `{shown}`: {described[name]}"


def entry(cls: type[Loss], aliases: list[str]) -> str:
    """One loss: what its docstring says, its facts and its own options."""
    text, _, _ = documentation(cls).partition("\nArgs:")
    lines = [f"### {cls.__name__}\n", markdown(text).strip(), ""]
    if aliases:
        lines += [f"Also registered as {', '.join(f'`{name}`' for name in aliases)}.", ""]
    lines += [facts(cls), ""]
    described = {name: value for base in reversed(cls.__mro__[:-1]) for name, value in described_options(base).items()}
    family = issubclass(cls, IoUTypeLoss)
    shared = COMMON + (MODIFIERS if family else ())
    options = cls.options()
    lines += [option(name, options[name], described) for name in options if name not in shared]
    if family:
        fixed = [f"`{name}`" for name in MODIFIERS if name not in options]
        lines.append("- the modifiers of the IoU family" + (f", except {', '.join(fixed)}" if fixed else ""))
    return "\n".join(lines).rstrip() + "\n"


def facts(cls: type[Loss]) -> str:
    """The facts of a class in a sentence."""
    low, high = cls.bounds
    upper = "infinity" if math.isinf(high) else f"{high:.4g}"
    best = "the target decides the least value" if cls.best is None else f"{cls.best:g} at a perfect match"
    said = [f"Values from {low:.4g} to {upper}, {best}"]
    said.append("invariant to scale" if cls.scale_invariant else "not invariant to scale")
    if cls.slot in ("bbox", "rbox"):
        said.append("symmetric" if cls.symmetric else "not symmetric")
    if not cls.fusible:
        said.append("not fused")
    return "; ".join(said) + "."


def documentation(cls: type) -> str:
    """The docstring of a class itself, without its example."""
    return inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("\nExample:")[0]


def described_options(cls: type) -> dict[str, str]:
    """What a docstring says of each option, one line each."""
    _, _, arguments = documentation(cls).partition("\nArgs:\n")
    items = re.split(r"(?m)^    (?=\*{0,2}\w+: )", arguments)
    pairs = (item.partition(": ") for item in items if item.strip())
    return {name.strip(): markdown(" ".join(text.split())) for name, _, text in pairs}


def markdown(text: str) -> str:
    """reStructuredText's inline marks as Markdown's.

    Indented paragraphs, which Markdown takes for code, are plain ones, and a formula is one line: one that went on
    with a plus would be a list.
    """
    text = re.sub(r"(?m)^ {4}(?=\S)", "", text)
    text = re.sub(r":\w+:`~?[\w.]*?(\w+)`", r"`\1`", text)
    return re.sub(r"`[^`]*`", lambda code: " ".join(code[0].split()), text.replace("``", "`"))
