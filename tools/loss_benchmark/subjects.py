"""Forms in which heads build and call each loss: options, kind of target, and mmdet's counterpart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdet_losses.registry import LOSSES, STOCK

from .shapes import CLASSES, SHAPES, Shape, choose

FREQUENCY = [10.0 ** (-1 - 4 * i / CLASSES) for i in range(CLASSES)]


@dataclass(frozen=True)
class Subject:
    """A loss in a form that is measured.

    Attributes:
        name: Name in tables: the class, with its form in brackets where it has several.
        loss: Registered name.
        group: Group of its shapes, see :mod:`.shapes`.
        target: Kind of target, see :mod:`.inputs`.
        options: Options of the constructor.
        extra: Columns beyond the classes.
        peer: mmdet's name of the same loss; empty without one.
        only: Its only shape, for losses whose cost grows faster than their input.
        weight: Form of the weight, where the shape's own does not fit mmdet's class.
        written: Whether mmdet's class writes into its arguments; then each provider gets copies.
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
    written: bool = False

    def shapes(self, shapes: Iterable[Shape]) -> list[Shape]:
        """Return those of ``shapes`` that the loss is called with."""
        standard = {shape.name for shape in SHAPES}
        return [
            shape
            for shape in shapes
            if shape.group == self.group and (not self.only or shape.name == self.only or shape.name not in standard)
        ]


SIGMOID = {"use_sigmoid": True}
BY_CLASS = {"class_weight": [0.5 + i / CLASSES for i in range(CLASSES)]}
SAMPLED = {"neg_pos_ub": 3, "pos_margin": 0, "neg_margin": 0.1, "hard_mining": True}
HALVES = [{"type": "CIoULoss", "loss_weight": 0.5}, {"type": "NWDLoss", "loss_weight": 0.5}]
FORMS: dict[str, list[dict[str, Any]]] = {
    "QualityFocalLoss": [
        {"target": "quality"},
        {"form": "dense", "target": "soft"},
        {"form": "class weights", "target": "quality", "options": BY_CLASS, "peer": ""},
    ],
    "VarifocalLoss": [
        {"target": "soft"},
        {"form": "class weights", "target": "soft", "options": BY_CLASS, "peer": ""},
    ],
    "MatchabilityAwareLoss": [{"target": "quality"}],
    "RTDETRVarifocalLoss": [{"target": "quality"}],
    "IABCELoss": [{"target": "quality"}],
    "PositionSupervisedLoss": [{"target": "quality"}],
    "SlideLoss": [{"target": "quality"}],
    "EMASlideLoss": [{"target": "quality"}],
    "CrossEntropyLoss": [
        {"form": "sigmoid", "options": SIGMOID},
        {"form": "sigmoid class weights", "options": {**SIGMOID, **BY_CLASS}},
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
    # mmdet's requires a weight
    "GHMC": [{"weight": "rows"}],
    # mmdet's has a value per coordinate, and takes no weight per row
    "BoundedIoULoss": [{"weight": "boxes"}],
    "GDLoss": [{"options": {"loss_type": "kld"}}],
    "SumLoss": [{"options": {"losses": HALVES}}],
    "DiceLoss": [{}, {"form": "naive", "options": {"naive_dice": True, "eps": 1.0}}],
    # mmdet's have the weight of a row in the target, or none
    "MarginL2Loss": [{"weight": "none", "options": SAMPLED, "written": True}],
    "L2Loss": [{"weight": "none", "options": SAMPLED, "written": True}],
    "TripletLoss": [{"group": "identities", "target": "identities"}],
    "AssociativeEmbeddingLoss": [{"group": "corners", "target": "corners"}],
    "RankSortLoss": [{"only": "cls-fcos"}],
    "APLoss": [{"only": "cls-fcos"}],
}
"""What differs from the group and target that follow from a loss's slot."""
TARGETS = {
    "dfl": "distances",
    "ld": "bins",
    "composite": "maps",
    "cls": "labels",
    "rbox": "rotated",
    "mask": "masks",
    "embedding": "pairs",
}
"""Kinds of target by slot."""
PEERS = {"ExtendedIoULoss": "EIoULoss", "EIoULoss": ""}
"""mmdet's ``EIoULoss`` is Extended-IoU; mmdet has no Efficient-IoU, which has that name here."""


def subjects() -> list[Subject]:
    """Return every form of every published loss, without aliases."""
    found = []
    for name, cls in LOSSES.items():
        if cls.__name__ != name:
            continue
        target = TARGETS.get(cls.slot, "boxes" if cls.boxes else "deltas")
        group = {"labels": "dense", "rotated": "boxes"}.get(target, target)
        for form in FORMS.get(name, [{}]):
            label = f"{name} ({form['form']})" if "form" in form else name
            given = {key: value for key, value in form.items() if key != "form"}
            peer = PEERS.get(name, name)
            settings = {"group": group, "target": target, "peer": peer if peer in STOCK else "", **given}
            if target == "rotated":
                settings["weight"] = "rows"
            found.append(Subject(label, name, **settings))
    return found


def select(names: Sequence[str] | None) -> list[Subject]:
    """Return the forms of some losses; raise for an unknown name."""
    every = subjects()
    chosen = choose(names, dict.fromkeys(name for one in every for name in (one.loss, one.name)), "loss")
    return [one for one in every if one.loss in chosen or one.name in chosen]
