"""Tensor sizes with which the four COCO-scale heads call their losses, on images of 800 x 1333 pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from tool_runtime.errors import ToolError

LEVELS = (16800, 4200, 1050, 273, 77)
"""Cells of the five pyramid levels of an image of 800 x 1333, padded to 800 x 1344: 22,400 in all."""
CLASSES = 80
BINS = 17
IMAGES = {"cpu": 1, "cuda": 2}
"""Images per batch."""


@dataclass(frozen=True)
class Shape:
    """Size of a measured unit: one call of a loss, or one per level for heads that go by levels.

    Attributes:
        name: Name for ``--shapes``.
        group: Losses that are called with it.
        rows: Rows of each call.
        columns: Elements per row.
        per_image: Whether ``rows`` are those of one image.
        weighted: Share of rows with a nonzero weight.
        weight: ``'rows'`` for ``(n,)``, ``'boxes'`` for ``(n, 4)``, empty where the head gives none.
        tensor_divisor: Whether ``avg_factor`` is a tensor, as in FCOS, and not a number.
        unreduced: Whether the head asks for the unreduced loss, and sums it.
        about: Which head calls it so.
    """

    name: str
    group: str
    rows: tuple[int, ...]
    columns: int
    per_image: bool = False
    weighted: float = 1.0
    weight: str = "rows"
    tensor_divisor: bool = False
    unreduced: bool = False
    about: str = ""

    def of(self, images: int) -> Shape:
        """Return the shape of a batch."""
        return replace(self, rows=tuple(n * images for n in self.rows), per_image=False) if self.per_image else self

    @property
    def total(self) -> int:
        """Number of rows in all calls."""
        return sum(self.rows)


def dense(name: str, *rows: int, **more: object) -> Shape:
    """Return a shape of class logits, of which most rows are weighted."""
    return Shape(name, "dense", rows, CLASSES, **{"weighted": 0.995, **more})


SHAPES = (
    dense("cls-50k", 50_000, about="50,000 anchors, one call"),
    dense("cls-retinanet", 9 * sum(LEVELS), per_image=True, about="RetinaNet, 9 anchors per cell"),
    dense("cls-fcos", sum(LEVELS), per_image=True, weight="", weighted=1.0, tensor_divisor=True, about="FCOS"),
    dense("cls-levels", *LEVELS, per_image=True, about="ATSS and GFL, a call per level"),
    Shape("roi-512", "roi", (512,), CLASSES, per_image=True, about="a two-stage head"),
    Shape("boxes-100k", "boxes", (100_000,), 4, about="100,000 pairs, all weighted"),
    Shape("boxes-500", "boxes", (500,), 4, about="500 pairs, all weighted"),
    Shape(
        "boxes-retinanet", "boxes", (200_000,), 4, weighted=0.005, weight="boxes",
        about="RetinaNet with decoded boxes: every anchor, 0.5 % weighted, weight (n, 4)",
    ),
    Shape("boxes-fcos", "boxes", (1_000,), 4, per_image=True, tensor_divisor=True, about="FCOS's positives"),
    Shape("boxes-levels", "boxes", (60, 40, 24, 12, 4), 4, per_image=True, about="ATSS's and GFL's positives by level"),
    Shape("deltas-20k", "deltas", (20_000,), 4, weight="boxes", about="20,000 rows, all weighted"),
    Shape("deltas-500", "deltas", (500,), 4, weight="boxes", about="a two-stage head's positives"),
    Shape(
        "deltas-retinanet", "deltas", (200_000,), 4, weighted=0.005, weight="boxes",
        about="RetinaNet: every anchor, 0.5 % weighted, weight (n, 4)",
    ),
    Shape("dfl-20k", "distances", (20_000,), BINS, about="20,000 sides"),
    Shape("dfl-levels", "distances", (240, 160, 96, 48, 16), BINS, per_image=True, about="GFL's positives by level"),
    Shape("ld-20k", "bins", (20_000,), BINS, about="20,000 sides"),
    Shape("ld-levels", "bins", (240, 160, 96, 48, 16), BINS, per_image=True, about="LD's positives by level"),
    Shape(
        "masks-condinst", "masks", (64,), LEVELS[0] * 4, per_image=True, weight="", unreduced=True,
        about="CondInst: 64 masks of a quarter of the image's sides",
    ),
    Shape(
        "masks-mask2former", "masks", (20,), 12_544, per_image=True, weight="", tensor_divisor=True,
        about="Mask2Former: 12,544 points of each matched mask",
    ),
    Shape(
        "pairs-qdtrack", "pairs", (128,), 256, per_image=True, weighted=0.75,
        about="QDTrack: positives against the boxes of another frame",
    ),
    Shape("identities-reid", "identities", (32,), 128, per_image=True, weight="", about="ReID: 4 of each identity"),
    Shape("corners-cornernet", "corners", (1,), 1, per_image=True, weight="", about="CornerNet, 128 x 128 cells"),
    Shape("centerness-fcos", "scalars", (1_000,), 1, per_image=True, weight="", tensor_divisor=True, about="FCOS"),
    Shape("heat-centernet", "heat", (1,), CLASSES, per_image=True, weight="", about="CenterNet, 128 x 128 cells"),
    Shape("maps-640", "maps", (1,), CLASSES, per_image=True, weight="", about="YOLO's maps of 640 x 640 pixels"),
)  # fmt: skip
SWEPT = ("dense", "roi", "boxes", "deltas", "distances", "bins", "scalars", "pairs", "identities")
"""Groups with a free number of rows."""
GROUPS = tuple(dict.fromkeys(shape.group for shape in SHAPES))


def choose(names: Sequence[str] | None, known: Iterable[str], what: str) -> list[str]:
    """Return ``names`` in the order of ``known``, all where there are none; raise for an unknown one."""
    known = list(known)
    if not names:
        return known
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}? Known" if close else "known"
            raise ToolError(f"unknown {what} {name!r}; {hint}: {', '.join(known)}.")
    return [name for name in known if name in names]


def select(names: Sequence[str] | None = None, sizes: Sequence[int] = (), images: int = 1) -> list[Shape]:
    """Return the shapes of a batch.

    Args:
        names: Names of shapes or groups; all by default, unless there are ``sizes``.
        sizes: Numbers of rows of further shapes, one for each of :data:`SWEPT`, all rows weighted.
        images: Images in the batch.
    """
    if any(size < 0 for size in sizes):
        raise ToolError(f"sizes are 0 or more, got {min(sizes)}.")
    chosen = [] if sizes and not names else choose(names, [*(shape.name for shape in SHAPES), *GROUPS], "shape")
    found = [shape.of(images) for shape in SHAPES if shape.name in chosen or shape.group in chosen]
    found += [of_size(group, size) for size in sizes for group in SWEPT]
    return found


def of_size(group: str, rows: int) -> Shape:
    """Return the shape of one call with a number of rows, all weighted."""
    like = next(shape for shape in SHAPES if (shape.group == group and not shape.per_image) or shape.group == group)
    name = f"{group}-{rows}"
    return replace(like, name=name, rows=(rows,), per_image=False, weighted=1.0, about="a size of the sweep")
