"""Plots of a run over losses, legible without colour by markers, hatches and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .bars import times_as_fast

SHOWN = ("cls-50k", "cls-retinanet", "dfl-20k", "boxes-100k", "boxes-500", "boxes-retinanet", "deltas-20k")
"""Shapes to draw, where a run has them."""
SHOWN_MEMORY = ("cls-50k", "dfl-20k", "boxes-100k", "boxes-retinanet")
MARKS = {
    "mmdet": {"marker": "x", "fillstyle": "full"},
    "eager": {"marker": "o", "fillstyle": "none"},
    "fused": {"marker": "s", "fillstyle": "full"},
    "mmcv": {"marker": "^", "fillstyle": "none"},
    "torchvision": {"marker": "v", "fillstyle": "none"},
}
HATCHES = {"mmdet": "", "eager": "///", "fused": "xxx", "mmcv": "...", "torchvision": "\\\\\\"}
Cases = Sequence[Mapping[str, Any]]


def pyplot() -> Any:
    """Return Matplotlib's pyplot, which draws into files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def draw(content: Mapping[str, Any], stem: str) -> list[tuple[str, Path]]:
    """Draw the plots that a run has data for, and return descriptions and files."""
    cases = content["cases"]
    done = []
    for name, about, function in (
        ("speed", "Times as fast as mmdet, forward plus backward", draw_speed),
        ("memory", "Peak memory in gradient-sized buffers", draw_memory),
        ("sizes", "Time over number of rows", draw_sizes),
    ):
        figure = function(cases)
        if figure is not None:
            file = Path(f"{stem}-{name}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file, dpi=100)
            pyplot().close(figure)
            done.append((about, file))
    return done


def panels(groups: Mapping[str, Cases], width: float = 7.0, share: bool = False) -> tuple[Any, list[Any]]:
    """Return a figure with a panel per group, each with a row per loss."""
    heights = [1.0 + 0.3 * len(cases) for cases in groups.values()]
    figure, axes = pyplot().subplots(
        len(groups),
        1,
        figsize=(width, sum(heights) + 0.4),
        squeeze=False,
        sharex=share,
        gridspec_kw={"height_ratios": heights},
    )
    return figure, list(axes[:, 0])


def by_shape(cases: Cases, keep: Any, shown: Sequence[str] = SHOWN) -> dict[str, list[Mapping[str, Any]]]:
    """Return the shown shapes, each with the cases that ``keep`` accepts."""
    groups = {shape: [case for case in cases if case["shape"] == shape and keep(case)] for shape in shown}
    return {shape: members for shape, members in groups.items() if members}


def draw_speed(cases: Cases) -> Any:
    """Draw the speed-ups over mmdet, a row per loss, with a number at each mark."""
    from matplotlib import ticker

    groups = by_shape(cases, lambda case: times_as_fast(case, "eager") or times_as_fast(case, "fused"))
    if not groups:
        return None
    figure, axes = panels(groups, share=True)
    names: dict[str, Any] = {}
    for axis, (shape, members) in zip(axes, groups.items(), strict=True):
        for row, case in enumerate(members):
            for name in ("eager", "fused"):
                value = times_as_fast(case, name)
                if value is not None:
                    (names[name],) = axis.plot(value, row, color="black", linestyle="none", **MARKS[name])
                    up = 7 if name == "fused" else -11
                    axis.annotate(
                        f"{value:.2g}", (value, row), (0, up), textcoords="offset points", ha="center", fontsize=7
                    )
        axis.axvline(1, color="black", linewidth=0.8)
        axis.annotate(
            "mmdet", (1, 1), (2, -9), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=7
        )
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_yticks(range(len(members)), [case["name"] for case in members], fontsize=8)
        axis.set_ylim(len(members) - 0.4, -0.6)
        axis.margins(x=0.1)
        axis.set_title(shape, fontsize=9, loc="left")
        axis.grid(alpha=0.3, axis="x")
        axis.tick_params(labelbottom=True, labelsize=8)
    axes[-1].set_xlabel("times as fast as mmdet (log scale)")
    axes[0].legend(names.values(), names, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    figure.tight_layout()
    return figure


def buffers(case: Mapping[str, Any], name: str) -> float | None:
    """Return the peak memory of forward plus backward, in units of the gradient."""
    size = case["providers"].get(name, {}).get("memory", {}).get("both")
    return size / case["gradient_bytes"] if size is not None and case["gradient_bytes"] else None


def draw_memory(cases: Cases) -> Any:
    """Draw a bar per loss and provider, hatched by provider, with a number at its end."""
    pairs = ("mmdet", "eager")
    groups = by_shape(cases, lambda case: all(buffers(case, name) is not None for name in pairs), SHOWN_MEMORY)
    if not groups:
        return None
    figure, axes = panels({shape: [*members, *members] for shape, members in groups.items()})
    for axis, (shape, members) in zip(axes, groups.items(), strict=True):
        names = [name for name in HATCHES if any(buffers(case, name) is not None for case in members)]
        height = 0.8 / len(names)
        for number, name in enumerate(names):
            for row, case in enumerate(members):
                value = buffers(case, name)
                if value is not None:
                    at = row + height * (number - (len(names) - 1) / 2)
                    label = None if row else name
                    axis.barh(at, value, height, color="white", edgecolor="black", hatch=HATCHES[name], label=label)
                    axis.annotate(
                        f"{name} {value:.2g}", (value, at), (3, 0), textcoords="offset points", va="center", fontsize=6
                    )
        axis.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axis.set_yticks(range(len(members)), [case["name"] for case in members], fontsize=8)
        axis.set_ylim(len(members) - 0.4, -0.6)
        axis.margins(x=0.2)
        axis.set_title(shape, fontsize=9, loc="left")
    axes[-1].set_xlabel("peak memory beyond the input, in gradient-sized buffers")
    figure.tight_layout()
    return figure


def draw_sizes(cases: Cases) -> Any:
    """Draw time over rows of losses measured at three sizes or more, a labelled line per provider."""
    swept: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        if len(case["rows"]) == 1 and case["shape"] == f"{case['group']}-{case['rows'][0]}" and case["rows"][0]:
            swept.setdefault(case["name"], []).append(case)
    swept = {name: members for name, members in swept.items() if len(members) >= 3}
    if not swept:
        return None
    columns = min(3, len(swept))
    rows = -(-len(swept) // columns)
    figure, axes = pyplot().subplots(rows, columns, figsize=(3.6 * columns, 2.8 * rows), squeeze=False)
    for axis in axes.flat[len(swept) :]:
        axis.set_visible(False)
    for axis, (title, members) in zip(axes.flat, swept.items(), strict=False):
        members = sorted(members, key=lambda case: case["rows"][0])
        for name in MARKS:
            points = [
                (case["rows"][0], case["providers"][name]["both"]["median"])
                for case in members
                if case["providers"].get(name, {}).get("both")
            ]
            if points:
                axis.plot(*zip(*points, strict=True), color="black", linewidth=1, markersize=5, **MARKS[name])
                axis.annotate(name, points[-1], (4, 0), textcoords="offset points", va="center", fontsize=7)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.margins(x=0.2)
        axis.set_title(title, fontsize=8)
        axis.set_xlabel("rows", fontsize=8)
        axis.set_ylabel("ms", fontsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    return figure
