"""Parts of pages that are made from the registry: tables of losses, and lists of them, between marks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import Any

import torch
from torch import Tensor

from mmdet_losses.modules import Loss, RankingLoss
from mmdet_losses.registry import LOSSES

from .notes import NOTES
from .reference import SLOTS, documentation, page

PAGES = ("README.md", "docs/catalogue.md", "docs/choose.md", "docs/losses.md", "docs/fused.md")
"""Pages with parts that are made here, see :func:`filled`."""
ROOMS = ("mmdet_losses.modules.", "mmdet_losses.rotated.", "mmdet_losses.yolo.")
MARKED = re.compile(r"(<!-- losses: ([\w ]+) -->).*?(<!-- end -->)", re.DOTALL)
MOST_USED = (
    "SmoothL1Loss",
    "IoULoss",
    "GIoULoss",
    "DIoULoss",
    "CIoULoss",
    "EIoULoss",
    "SIoULoss",
    "NWDLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "QualityFocalLoss",
    "DistributionFocalLoss",
)
"""What the README shows of all losses."""
DETR_LINE = "DETR family; GFL, RTMDet, TOOD, VFNet, YOLOX"
HEADS = {
    "APLoss": "FCOS, VFNet",
    "AssociativeEmbeddingLoss": "CornerNet, CentripetalNet",
    "CrossEntropyCustomLoss": "two-stage, V3Det",
    "CrossEntropyLoss": "all; centerness, mask",
    "DiceLoss": "MaskFormer, Mask2Former, SOLO, CondInst, RTMDet-Ins",
    "DistributionFocalLoss": "GFL, LD",
    "EMASlideLoss": DETR_LINE,
    "EQLV2Loss": "two-stage heads; long-tailed data",
    "EqualizationLoss": "RetinaNet, FCOS, ATSS; two-stage with `two_stage=True`",
    "EqualizedFocalLoss": "RetinaNet, FCOS, ATSS; long-tailed data",
    "FocalCustomLoss": "one-stage, V3Det",
    "FocalLoss": "RetinaNet, FCOS, ATSS; two-stage with `use_sigmoid=False`",
    "GaussianFocalLoss": "CenterNet, CenterNet2, CornerNet",
    "IABCELoss": DETR_LINE,
    "KnowledgeDistillationKLDivLoss": "LD",
    "L1Loss": "RetinaNet, RPN, two-stage heads (deltas); CenterNet",
    "L2Loss": "QDTrack",
    "LabelSmoothLoss": "all, as `CrossEntropyLoss(label_smoothing=...)`",
    "MarginL2Loss": "QDTrack",
    "MatchabilityAwareLoss": DETR_LINE,
    "MSELoss": "RetinaNet, RPN, two-stage heads (deltas); YOLOv3 sizes",
    "MultiPosCrossEntropyLoss": "QDTrack",
    "Poly1CrossEntropyLoss": "all",
    "PositionSupervisedLoss": DETR_LINE,
    "QualityFocalLoss": "DETR family; GFL, LD, RTMDet, TOOD",
    "RankSortLoss": "VFNet, FCOS",
    "RTDETRVarifocalLoss": DETR_LINE,
    "SeesawLoss": "two-stage heads; long-tailed data",
    "SlideLoss": DETR_LINE,
    "TripletLoss": "re-identification",
    "VarifocalLoss": "VFNet",
    "GridObjectnessLoss": "a map of cells: [more](yolo/grid.md)",
    "YOLOv1Loss": "a map of cells: [more](yolo/v1.md)",
    "YOLOv2Loss": "maps of anchors: [more](yolo/v2.md)",
    "YOLOv3Loss": "maps of anchors, as YOLOv3's head emits: [more](yolo/v3.md)",
    "YOLOv4Loss": "maps of anchors, as YOLOv3's head emits: [more](yolo/v4.md)",
}
"""Heads of losses that are not for all heads of their kind, see :func:`heads`."""
SHOWN: dict[str, dict[str, Any]] = {
    "AlphaIoULoss": {"alpha": 3.0, "base": "ciou"},
    "AsymmetricLoss": {"gamma_neg": 4.0, "gamma_pos": 1.0},
    "BoundedIoULoss": {"beta": 0.2},
    "CrossEntropyCustomLoss": {"num_classes": 80},
    "DistributionFocalLoss": {"loss_weight": 0.25},
    "EQLV2Loss": {"num_classes": 1203},
    "EqualizationLoss": {"class_frequency": [0.9, 0.05, 0.001]},
    "EqualizedFocalLoss": {"num_classes": 1203},
    "FocalCustomLoss": {"num_classes": 80},
    "FocalEIoULoss": {"gamma": 0.5},
    "FocalerIoULoss": {"d": 0.0, "u": 0.95, "base": "ciou"},
    "GDLoss": {"loss_type": "kld", "tau": 1, "sqrt": False, "loss_weight": 5.5},
    "GHMC": {"bins": 30, "momentum": 0.75},
    "GHMR": {"momentum": 0.7, "loss_weight": 10.0},
    "GridObjectnessLoss": {"stride": 32, "loss_box": {"type": "CIoULoss"}},
    "InnerIoULoss": {"ratio": 0.7, "base": "ciou"},
    "GWDLoss": {"loss_weight": 5.0},
    "JDLoss": {"loss_weight": 5.5},
    "KFIoULoss": {"fun": "ln", "loss_weight": 5.0},
    "KLDLoss": {"sqrt": False, "loss_weight": 5.5},
    "LabelSmoothLoss": {"label_smooth_val": 0.1},
    "MPDIoULoss": {"img_shape": (800, 1333)},
    "NWDLoss": {"constant": 12.8},
    "Poly1CrossEntropyLoss": {"use_sigmoid": False, "epsilon": 1.0},
    "Poly1FocalLoss": {"epsilon": 1.0},
    "SumLoss": {"losses": [{"type": "CIoULoss", "loss_weight": 0.5}, {"type": "NWDLoss", "loss_weight": 0.5}]},
    "PowerfulIoULoss": {"version": 2},
    "RotatedIoULoss": {"mode": "linear", "loss_weight": 2.0},
    "SeesawLoss": {"num_classes": 1203},
    "ShapeIoULoss": {"scale": 0.0},
    "SmoothL1Loss": {"beta": 1.0},
    "UnifiedIoULoss": {"base": "ciou"},
    "WIoULoss": {"version": 3},
    "YOLOv1Loss": {"stride": 64, "boxes": 2},
    "YOLOv2Loss": {"flavor": "darknet"},
    "YOLOv3Loss": {"flavor": "darknet"},
    "YOLOv4Loss": {"loss_box": {"type": "CIoULoss"}},
}
"""Options of a line of a config that are worth showing, or needed."""
NO_SIGMOID = ("EQLV2Loss", "GaussianFocalLoss", "SeesawLoss")
"""Classification losses whose heads do not read ``use_sigmoid``."""
SLOT_NAMES = {
    "GaussianFocalLoss": "loss_center_heatmap",
    "L2Loss": "loss_track_aux",
    "MarginL2Loss": "loss_track_aux",
    "MultiPosCrossEntropyLoss": "loss_track",
    "TripletLoss": "loss_triplet",
}


def documents(root: Path) -> dict[Path, str]:
    """Every page that is made here, or has parts that are, with its text."""
    marked = {root / name: filled((root / name).read_text()) for name in PAGES}
    return {root / "docs/reference.md": page(), **marked}


def filled(text: str) -> str:
    """A page with what stands between ``<!-- losses: NAME -->`` and ``<!-- end -->`` made anew, see :data:`PARTS`."""
    return MARKED.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}{found[3]}", text)


def by_class() -> dict[type[Loss], list[str]]:
    """Every class with its names."""
    names: dict[type[Loss], list[str]] = {}
    for name, cls in LOSSES.items():
        names.setdefault(cls, []).append(name)
    return {cls: sorted(found, key=lambda name: name != cls.__name__) for cls, found in names.items()}


def in_file_order() -> list[type[Loss]]:
    """Every class by slot, file and line: boxes before coordinates, what belongs together together."""

    def place(cls: type[Loss]) -> tuple[int, str, int]:
        # what is registered of two losses is a subclass that lies elsewhere
        own = next(base for base in cls.__mro__ if base.__module__.startswith(ROOMS))
        return list(SLOTS).index(cls.slot), own.__module__, inspect.getsourcelines(own)[1]

    return sorted(by_class(), key=place)


def overview() -> str:
    """The catalogue: names, slot, heads, what it is with its paper, and a line of a config."""
    names = by_class()
    rows = []
    for cls in in_file_order():
        aliases = ", ".join(f"`{name}`" for name in names[cls][1:])
        named = linked(cls) + (f" (alias {aliases})" if aliases else "")
        rows.append((named, cls.slot, heads(cls), titled(cls), f"`{config_line(cls)}`"))
    return table(("loss", "slot", "heads", "what it is", "config line"), rows)


def most_used() -> str:
    """The README's table: heads, what it is with its paper, and a line of a config."""
    rows = [(f"`{cls.__name__}`", heads(cls), titled(cls), f"`{config_line(cls)}`") for cls in chosen(MOST_USED)]
    return table(("loss", "heads", "what it is", "config line"), rows)


def noted() -> str:
    """What every loss is good and bad at, but for those whose note comes with the release."""
    notes = [(linked(cls), NOTES.get(cls.__name__)) for cls in in_file_order()]
    rows = [(name, note.good, note.bad) for name, note in notes if note]
    return table(("loss", "good at", "bad at"), rows)


def usual_weights() -> str:
    """What losses of boxes are worth over typical pairs, with the weight in place of GIoU's, and of which pairs."""
    from loss_views import typical  # which reads SHOWN of this file

    return "\n".join(["", typical.table().rstrip("\n"), "", *wrap(typical.about(), 120), ""])


def chosen(names: Sequence[str]) -> list[type[Loss]]:
    return [LOSSES[name] for name in names]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, on lines of its own."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join(["", lines[0], f"|{'---|' * len(header)}", *lines[1:], ""])


def linked(cls: type[Loss]) -> str:
    """The name of a loss, which links to its entry in the reference."""
    return f"[`{cls.__name__}`](reference.md#{cls.__name__.lower()})"


def titled(cls: type[Loss]) -> str:
    """What a loss is, in a few words that link to its paper."""
    title = re.split(r"[:.(,]", documentation(cls).replace("\n", " "))[0].strip()
    return f"[{title}]({cls.paper})" if cls.paper else title


def heads(cls: type[Loss]) -> str:
    """Heads that a loss is for."""
    if cls.__name__ in HEADS:
        return HEADS[cls.__name__]
    if cls.slot == "rbox":
        return "MMRotate's that decode: [more](rotated.md)"
    if cls.boxes:
        return "any that decodes to pixels" if cls.unit else "any that decodes"
    return "RetinaNet, RPN, two-stage heads (deltas)" if cls.slot == "bbox" else "RetinaNet, FCOS, ATSS"


def config_line(cls: type[Loss]) -> str:
    """A line of a config that builds it, with the weight that is usual in its slot, for boxes in one-stage heads."""
    name, shown = cls.__name__, SHOWN.get(cls.__name__, {})
    options = {"use_sigmoid": True} if cls.slot == "cls" and name not in NO_SIGMOID else {}
    weight = {} if cls.slot == "composite" else {"loss_weight": weights_of_boxes().get(name, 1.0)}
    slot = SLOT_NAMES.get(name) or {"composite": "loss", "rbox": "loss_bbox"}.get(cls.slot, f"loss_{cls.slot}")
    return f"{slot}={as_config({'type': name} | options | shown | weight | shown)}"


@cache
def weights_of_boxes() -> dict[str, float]:
    """Of every loss of boxes the weight that :func:`usual_weights` has in place of GIoU's, and GIoU's own where the
    gradients are alike."""
    from loss_views import typical  # which reads SHOWN of this file

    return {row.name: typical.USUAL_WEIGHT if row.alike else round(row.weight, 1) for row in typical.typical()}


def as_config(value: Any) -> str:
    """A value as configs write it."""
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key}={as_config(item)}' for key, item in value.items())})"
    return f'"{value}"' if isinstance(value, str) else repr(value)


PRED = torch.zeros(6, 4)
LABELS = torch.arange(6) % 5
"""Labels of four classes, and of background."""
NEEDED = {"num_classes": 4, "class_frequency": [0.1] * 4}
"""What a user has to say of the data, where a loss has such an option."""


def takers(pred: Tensor, target: Any, **options: Any) -> str:
    """The classification losses, ranking aside, that take such input, found by trying."""
    return listed(call for cls in in_file_order() if (call := example(cls, pred, target, options)))


def example(cls: type[Loss], pred: Tensor, target: Any, options: dict[str, Any]) -> str:
    """How a loss that takes the input is written; empty where it does not, or its head predicts other channels."""
    if cls.slot != "cls" or issubclass(cls, RankingLoss) or not set(options) <= set(cls.option_names()):
        return ""
    own = cls.options()
    logits = {"activated": False} if "activated" in own and own["activated"].default else {}
    for more in ({}, {name: value for name, value in NEEDED.items() if name in own}):
        try:
            loss = cls(**options, **logits, **more)
            loss(pred, target)
        except (ValueError, TypeError):
            continue
        said = ", ".join([*(f"{name}=False" for name in logits), *(f"{name}=..." for name in more)])
        return "" if channels(loss, 4) != 4 else cls.__name__ + (f"({said})" if said else "")
    return ""


def channels(loss: Loss, classes: int) -> int:
    """How many logits the head of a loss predicts, where the loss decides it."""
    return loss.get_cls_channels(classes) if getattr(loss, "custom_cls_channels", False) else classes


def listed(names: Iterator[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def of_slot(slot: str, boxes: bool = False) -> str:
    return listed(cls.__name__ for cls in in_file_order() if cls.slot == slot and cls.boxes is boxes)


PARTS: dict[str, Callable[[], str]] = {
    "all": overview,
    "most used": most_used,
    "notes": noted,
    "typical": usual_weights,
    "of labels": lambda: takers(PRED, LABELS, use_sigmoid=True),
    "of a softmax": lambda: takers(torch.zeros(6, 5), LABELS, use_sigmoid=False),
    "of labels and qualities": lambda: takers(PRED, (LABELS, torch.full((6,), 0.5))),
    "of boxes": lambda: of_slot("bbox", True),
    "of rotated boxes": lambda: of_slot("rbox"),
    "of deltas": lambda: of_slot("bbox"),
    "of distances": lambda: of_slot("dfl"),
    "composite": lambda: of_slot("composite"),
    "not fused": lambda: listed(cls.__name__ for cls in in_file_order() if not cls.fusible),
}
"""What is made, by its name in the pages."""
