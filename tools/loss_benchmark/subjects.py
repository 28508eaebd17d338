"""How a head builds and calls each loss: options, kind of target, and mmdet's class of the same meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdet_losses.registry import LOSSES, STOCK

from .shapes import CLASSES, SHAPES, Shape, choose

FREQUENCY = [10.0 ** (-1 - 4 * i / CLASSES) for i in range(CLASSES)]


@dataclass(frozen=True)
class Subject:
    """A loss in the form in which it is measured.

    Attributes:
        name: What the table says: the class, with its form in brackets where it has several.
        loss: Registered name.
        group: Which shapes it has, see :mod:`.shapes`.
        target: Kind of target, see :mod:`.inputs`.
        options: Options of the constructor.
        extra: Columns beyond the classes.
        peer: mmdet's name of the same loss, empty where it has none.
        only: The one shape that it has, for losses whose cost grows faster than their input.
        weight: Form of the weight where the shape's own does not fit mmdet's class.
    """

    name: str
    loss: str
    group: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: int = 0
    peer: str = ""
    only: str = ""
    weight: str = ""

    def shapes(self, shapes: Iterable[Shape]) -> list[Shape]:
        """Those of ``shapes`` that the loss is called in."""
        standard = {shape.name for shape in SHAPES}
        return [
            shape
            for shape in shapes
            if shape.group == self.group and (not self.only or shape.name == self.only or shape.name not in standard)
        ]


SIGMOID = {"use_sigmoid": True}
# Not by slot alone: what differs from (boxes, deltas, labels) of the slot.
FORMS: dict[str, list[dict[str, Any]]] = {
    "QualityFocalLoss": [{"target": "quality"}, {"form": "dense", "target": "soft"}],
    "VarifocalLoss": [{"target": "soft"}],
    "CrossEntropyLoss": [
        {"form": "sigmoid", "options": SIGMOID},
        {"form": "softmax", "group": "roi", "extra": 1},
        {"form": "centerness", "group": "scalars", "target": "scalars", "options": SIGMOID},
    ],
    "CrossEntropyCustomLoss": [{"options": {**SIGMOID, "num_classes": CLASSES}}],
    "FocalCustomLoss": [{"options": {"num_classes": CLASSES}}],
    "EqualizedFocalLoss": [{"options": {"num_classes": CLASSES}}],
    "EqualizationLoss": [{"options": {"class_frequency": FREQUENCY}}],
    "SeesawLoss": [{"group": "roi", "extra": 2, "options": {"num_classes": CLASSES, "return_dict": False}}],
    "EQLV2Loss": [{"group": "roi", "extra": 1, "options": {"num_classes": CLASSES}}],
    "LabelSmoothLoss": [{"group": "roi", "extra": 1}],
    "Poly1CrossEntropyLoss": [{"group": "roi", "extra": 1}],
    "GaussianFocalLoss": [{"group": "heat", "target": "heat"}],
    # mmdet's cannot do without a weight
    "GHMC": [{"weight": "rows"}],
    # mmdet's has four values per row, and takes no weight per row
    "BoundedIoULoss": [{"weight": "boxes"}],
    "RankSortLoss": [{"only": "cls-fcos"}],
    "APLoss": [{"only": "cls-fcos"}],
}
PEERS = {"ExtendedIoULoss": "EIoULoss", "EIoULoss": ""}
"""mmdet's ``EIoULoss`` is Extended-IoU; the Efficient-IoU that has the name here is not in mmdet."""


def subjects() -> list[Subject]:
    """Every published loss, each form once; aliases are left out."""
    found = []
    for name, cls in LOSSES.items():
        if cls.__name__ != name:
            continue
        target = {"dfl": "distances", "composite": "maps", "cls": "labels"}.get(
            cls.slot, "boxes" if cls.boxes else "deltas"
        )
        group = "dense" if target == "labels" else target
        for form in FORMS.get(name, [{}]):
            label = f"{name} ({form['form']})" if "form" in form else name
            given = {key: value for key, value in form.items() if key != "form"}
            peer = PEERS.get(name, name)
            settings = {"group": group, "target": target, "peer": peer if peer in STOCK else "", **given}
            found.append(Subject(label, name, **settings))
    return found


def select(names: Sequence[str] | None) -> list[Subject]:
    """Subjects of some losses; raises for a name that is none."""
    every = subjects()
    chosen = choose(names, dict.fromkeys(name for one in every for name in (one.loss, one.name)), "loss")
    return [one for one in every if one.loss in chosen or one.name in chosen]
