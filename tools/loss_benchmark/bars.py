"""Speeds to reach, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SLACK = 0.9
"""Least speed of eager in every shape, of mmdet's: up to 1/0.9 of its time."""


@dataclass(frozen=True)
class Bar:
    """Least speed-up of a loss over mmdet, forward plus backward.

    Attributes:
        losses: Names as in the table.
        shape: Name of the shape.
        least: The factor.
        providers: Which providers have to reach it.
    """

    losses: tuple[str, ...]
    shape: str
    least: float
    providers: tuple[str, ...] = ("fused",)


OTHERS = ("DIoULoss", "CIoULoss", "ExtendedIoULoss", "SIoULoss", "BoundedIoULoss")
BARS = (
    Bar(("FocalLoss",), "cls-50k", 6.0),
    Bar(("QualityFocalLoss", "VarifocalLoss", "CrossEntropyLoss (sigmoid)"), "cls-50k", 4.0),
    Bar(("DistributionFocalLoss",), "dfl-20k", 1.5),
    Bar(("IoULoss",), "boxes-100k", 2.0),
    Bar(("GIoULoss",), "boxes-100k", 3.0),
    Bar(OTHERS, "boxes-100k", 3.5),
    Bar(("IoULoss", "GIoULoss", *OTHERS), "boxes-500", 1.3),
    Bar(("CIoULoss", "SIoULoss"), "boxes-retinanet", 10.0, ("eager", "fused")),
    Bar(
        ("IoULoss", "GIoULoss", "DIoULoss", "ExtendedIoULoss", "BoundedIoULoss"),
        "boxes-retinanet",
        7.0,
        ("eager", "fused"),
    ),
)


def times_as_fast(case: Mapping[str, Any], provider: str, mode: str = "both", peer: str = "mmdet") -> float | None:
    """Return the peer's median over the provider's; None where either was not measured."""
    own, theirs = (case["providers"].get(name, {}).get(mode) for name in (provider, peer))
    return theirs["median"] / own["median"] if own and theirs and own["median"] else None


@dataclass(frozen=True)
class Verdict:
    """A bar of one loss, and the factor measured; None without a measurement."""

    loss: str
    shape: str
    provider: str
    least: float
    measured: float | None

    @property
    def reached(self) -> bool | None:
        """Whether the bar is reached; None without a measurement."""
        return None if self.measured is None else self.measured >= self.least


def judge(cases: list[Mapping[str, Any]]) -> list[Verdict]:
    """Return the bars of a run's cases, eager's in every shape included."""
    by_name = {(case["name"], case["shape"]): case for case in cases}
    found = []
    for bar in BARS:
        for name in bar.losses:
            if (name, bar.shape) in by_name:
                case = by_name[name, bar.shape]
                for provider in bar.providers:
                    measured = times_as_fast(case, provider)
                    found.append(Verdict(name, bar.shape, provider, bar.least, measured))
    asked = {(one.loss, one.shape) for one in found if one.provider == "eager"}
    for case in cases:
        measured = times_as_fast(case, "eager")
        if measured is not None and (case["name"], case["shape"]) not in asked:
            found.append(Verdict(case["name"], case["shape"], "eager", SLACK, measured))
    return found


@dataclass(frozen=True)
class Slower:
    """A provider of this package that is slower than a peer."""

    loss: str
    shape: str
    provider: str
    peer: str
    mode: str
    factor: float


def slower(cases: list[Mapping[str, Any]], peers: tuple[str, ...] = ("mmdet", "mmcv", "torchvision")) -> list[Slower]:
    """Return all that is slower than a peer, slowest first."""

    def pairs() -> Iterator[Slower]:
        for case in cases:
            for provider in ("eager", "fused"):
                for peer in peers:
                    for mode in ("both", "forward"):
                        factor = times_as_fast(case, provider, mode, peer)
                        if factor is not None and factor < 1:
                            yield Slower(case["name"], case["shape"], provider, peer, mode, factor)

    return sorted(pairs(), key=lambda one: one.factor)
