"""Cross-entropy in its three forms, softmax, independent sigmoids and masks, and with smoothed labels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import Unpack

from ... import functional as F
from ...functional.reduce import all_between, may_select
from ..base import check_floating, published
from ..declared import FLAG, LESS_THAN_1, Option, between, check_value, keep_options, none_or, one_of, option, whole
from ..errors import OptionError
from ..facts import fact
from ..inputs import (
    as_labels,
    as_labels_or_dense,
    check_not_labels,
    check_rows,
    check_same_shape,
    element_weight,
    row_weight,
)
from ..options import Shared, check_option
from .base import ClassificationLoss
from .per_class import WEIGHTS, is_one_for_all, kept_numbers, numbers_beside

__all__ = ["CrossEntropyLoss", "LabelSmoothLoss"]

NO_LABEL = -100
"""torch's default for labels to be ignored."""

SMOOTHING_MODES = ("binary", "uniform")
"""What smoothing pulls the target of a sigmoid towards: 1 / 2, or 1 over the number of classes."""

Aligned = tuple[tuple[Tensor, ...], Tensor | None, Tensor | None]


@published()
class CrossEntropyLoss(ClassificationLoss):
    """Cross-entropy: softmax over classes, independent sigmoids, or masks.

    Shapes:
        Softmax: ``pred`` logits ``(n, c)`` or ``(n, c, *)``; ``target`` labels ``(n,)`` or ``(n, *)``, or
        probabilities of pred's shape; weight of the labels' shape; ``'none'`` gives the labels' shape.

        Sigmoid: ``pred`` logits ``(n, c)`` with labels ``(n,)``, any label of ``c`` or more being background, or any
        shape with a dense target of that shape; negative labels are ignored; weight ``(n,)``, or of pred's rank with
        each axis equal to pred's or 1; ``'none'`` gives pred's shape.

        Mask: ``pred`` logits ``(n, c, *)``, ``target`` masks ``(n, *)``, and as third argument the class ``(n,)``
        that picks each mask; ``'none'`` gives ``(n, *)``.

    A match of a soft target costs its entropy.

    Differs from mmdet: masks take every reduction, an empty batch of them gives 0 (NaN there), their result is a scalar
    (shape ``(1,)`` there), and ``class_weight`` weighs a mask by its class; labels can be smoothed; see also "All
    losses" in docs/deviations.md.

    Args:
        use_sigmoid: Independent sigmoids instead of a softmax; default as mmdet. Heads read this from the config.
        use_mask: The mask form; default as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet. The mean is not divided by the
            class weights, as in mmdet and unlike torch.
        class_weight: Weight of each class ``(c,)``; of its positive term in the sigmoid form, as mmdet.
        ignore_index: Label of what counts nothing; None is -100, as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        avg_non_ignore: Whether the mean without ``avg_factor`` leaves out ignored elements; default as mmdet.
        label_smoothing: Share ``e`` of label smoothing (https://arxiv.org/abs/1512.00567), from 0 to 1; 0.0, which
            smooths nothing, as mmdet, which has no such option.
        smoothing_mode: What a target ``y`` becomes. ``'uniform'``: ``(1 - e) y + e / c``, with ``c`` channels of
            ``pred``; always so for a softmax, and for sigmoids what mmdet's YOLOV3Head does with ``one_hot_smoother``.
            ``'binary'``: ``(1 - e) y + e / 2``, as darknet and the YOLOs, for sigmoids. None is the first for a
            softmax and the second for sigmoids. A background row is smoothed like any other.
        debug: Names the first row with a label outside the classes or a value that is not finite. The softmax form
            always does so for labels on a CPU; on a GPU a bad label is torch's device-side assert.

    Example:
        >>> import torch
        >>> from mmdet_losses import CrossEntropyLoss
        >>> CrossEntropyLoss()(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.1698)
    """

    tame = True
    per_class = ("class_weight",)

    best = fact(0.0, lambda loss: None if loss.label_smoothing else 0.0)

    use_sigmoid: bool = False
    use_mask: bool = False
    reduction: str = "mean"
    class_weight: Sequence[float] | Tensor | None = option(default=None, check=WEIGHTS, convert=kept_numbers)
    ignore_index: int | None = None
    loss_weight: float = 1.0
    avg_non_ignore: bool = False
    label_smoothing: float = option(default=0.0, check=between(0, 1), kw_only=True)
    smoothing_mode: str | None = option(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.ignore_index is not None and not self.avg_non_ignore and self.reduction == "mean":
            warnings.warn(
                "ignore_index without avg_non_ignore=True: the mean divides by ignored elements too, as mmdet's does "
                "and torch's does not.",
                stacklevel=3,
            )

    def check_options(self) -> None:
        super().check_options()
        allowed = SMOOTHING_MODES if self.use_sigmoid else ("uniform",)
        expected = " or ".join(map(repr, allowed)) + f" with use_sigmoid={self.use_sigmoid!r}"
        check_option("smoothing_mode", self.smoothing_mode, self.smoothing_mode in (None, *allowed), expected)
        if self.use_mask and self.label_smoothing:
            raise OptionError(f"label_smoothing does not go with use_mask, got {self.label_smoothing!r}: leave it out.")
        if self.use_sigmoid and self.use_mask:
            raise OptionError("use_sigmoid and use_mask are two forms of the loss, got both: set one of them.")
        if self.use_mask and self.ignore_index is not None:
            raise OptionError(f"ignore_index does not go with use_mask, got {self.ignore_index!r}: leave it out.")
        if is_one_for_all(self.class_weight) and not self.use_sigmoid:
            raise OptionError(
                f"class_weight must be None or one number per class with use_sigmoid=False, got {self.class_weight!r}."
            )

    @property
    def smoothing_form(self) -> str:
        """``smoothing_mode``, or what None stands for."""
        return self.smoothing_mode or ("binary" if self.use_sigmoid else "uniform")

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = None,
    ) -> Tensor:
        """Loss of a batch, see :meth:`Loss.forward <mmdet_losses.modules.base.Loss.forward>`.

        Args:
            weight: Weight; with ``use_mask`` the class of each mask.
            ignore_index: Ignored label of this call.
        """
        reduction = self.resolve_reduction(reduction_override, avg_factor)
        check_floating("pred", pred)
        if self.use_mask:
            if ignore_index is not None:
                raise ValueError(f"ignore_index does not go with use_mask, got {ignore_index!r}: leave it out.")
            return self.evaluate_aligned(*self.align_masks(pred, target, weight), avg_factor, reduction)

        ignored = self.ignore_index if ignore_index is None else ignore_index
        ignored = NO_LABEL if ignored is None else ignored
        inputs, weight, valid = (self.align_sigmoid if self.use_sigmoid else self.align_softmax)(
            pred, target, weight, ignored
        )
        if valid is not None:
            if avg_factor is None and self.avg_non_ignore and reduction == "mean":
                avg_factor = valid.expand(pred.shape if self.use_sigmoid else valid.shape).sum()
            if weight is None or not (may_select(valid) and (valid | (weight == 0)).all()):
                weight = torch.where(valid, 1.0 if weight is None else weight, 0.0)
        loss = self.evaluate_aligned(inputs, weight, avg_factor, reduction)
        return loss if self.use_sigmoid or loss.ndim == 0 else loss.reshape(pred.shape[:1] + pred.shape[2:])

    def align_softmax(self, pred: Tensor, target: Tensor, weight: Tensor | None, ignored: int) -> Aligned:
        """Rows of logits with their labels or probabilities, the rows' weight, and which rows count."""
        if pred.ndim < 2:
            raise ValueError(f"pred must have shape (n, c) or (n, c, *), got {tuple(pred.shape)}.")
        self.check_per_class(pred, 1)
        classes, lead = pred.shape[1], pred.shape[:1] + pred.shape[2:]
        weight = row_weight(weight, lead)
        logits = pred if pred.ndim == 2 else pred.movedim(1, -1).flatten(0, -2)
        if isinstance(target, Tensor) and target.is_floating_point():
            check_not_labels(pred, target)
            check_same_shape(pred, target)
            return (logits, target.movedim(1, -1).flatten(0, -2)), weight, None
        label = as_labels("target", target, lead)
        label = label if label.ndim == 1 else label.reshape(-1)
        if not 0 <= ignored < classes and all_between(label, 0, classes - 1):
            return (logits, label), weight, None
        valid = label != ignored
        if may_select(label):
            known = (label >= 0) & (label < classes)
            check_rows(
                f"{type(self).__name__}: target", label, ~valid | known, weight, f"labels from 0 to {classes - 1}"
            )
            # what is left has weight 0, and only has to be a label
            label = torch.where(known, label, 0)
        return (logits, label), weight, valid

    def align_sigmoid(self, pred: Tensor, target: Tensor, weight: Tensor | None, ignored: int) -> Aligned:
        """Logits with labels or a dense target, the elements' weight, and which elements count."""
        target = as_labels_or_dense(pred, target)
        self.check_per_class(pred, axes=1)
        if self.label_smoothing and self.smoothing_form == "uniform" and pred.ndim < 2:
            raise ValueError(
                f"pred must have shape (*, c) with smoothing_mode 'uniform', which counts classes, "
                f"got {tuple(pred.shape)}."
            )
        weight = element_weight(weight, pred)
        if ignored < 0 and all_between(target, 0, math.inf):
            return (pred, target), weight, None
        # Not (target >= 0): that would drop a NaN without a word.
        valid = ~((target < 0) | (target == ignored))
        valid = valid.unsqueeze(-1) if target.ndim < pred.ndim else valid
        return (pred, target), weight, valid

    def align_masks(
        self, pred: Tensor, target: Tensor, label: Tensor | None
    ) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        """The mask of each row's class with its target, and the weight of that class."""
        if label is None:
            raise ValueError("weight must be the class of each mask, (n,), with use_mask=True, got None.")
        label = as_labels("weight (the class of each mask)", label, pred.shape[:1])
        self.check_per_class(pred, 1)
        mask = pred[torch.arange(len(pred), device=pred.device), label]
        check_same_shape(mask, target)
        weight = self.class_weight
        weight = None if weight is None else numbers_beside("class_weight", weight, (mask,))[label]
        return (mask, target), element_weight(weight, mask)

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        # Labels of the softmax form have been looked at; the base class knows a background label.
        known = not self.use_sigmoid and not inputs[1].is_floating_point()
        super().check_values(inputs[:1] if known else inputs, weight)

    @property
    def function(self) -> Callable[..., Tensor]:
        return F.sigmoid_cross_entropy if self.use_sigmoid or self.use_mask else F.softmax_cross_entropy

    def arguments(self) -> dict[str, Any]:
        if self.use_mask:
            return {}
        weight = self.class_weight
        weight = [weight] if isinstance(weight, (int, float)) else weight
        options = {"class_weight": weight, "label_smoothing": self.label_smoothing}
        return {**options, "smoothing_mode": self.smoothing_form} if self.use_sigmoid else options


SHARES: dict[str, Callable[[float], float]] = {
    "original": lambda e: e,
    "classy_vision": lambda e: e / (1 + e),
    "multi_label": lambda e: 2 * e,
}
"""Label smoothing of :class:`CrossEntropyLoss` that each mode of :class:`LabelSmoothLoss` is."""


@published()
class LabelSmoothLoss(CrossEntropyLoss):
    """Cross-entropy with smoothed labels, under mmpretrain's name and with its options.

    A target ``y`` becomes ``(1 - e) y + e / c`` (mode ``'original'``), ``(y + e / c) / (1 + e)``
    (``'classy_vision'``) or ``(1 - 2 e) y + e`` (``'multi_label'``), with ``c`` channels of ``pred``.
    ``CrossEntropyLoss(label_smoothing=...)`` is the same: ``e``, ``e / (1 + e)``, and ``2 e`` with
    ``smoothing_mode='binary'``.

    Shapes, weights and ``'none'``: those of :class:`CrossEntropyLoss`. The least value is the entropy of the smoothed
    target.

    Paper: https://arxiv.org/abs/1512.00567. mmdet has none. Differs from mmpretrain: ``'multi_label'`` needs sigmoids
    (a warning there), and mixes targets between 0 and 1 (there 1 counts wherever they are above 0).

    Args:
        label_smooth_val: ``e``; 0.1 as the paper and mmpretrain's configs. Less than 1, in ``'multi_label'`` at most
            0.5.
        num_classes: Number of channels that ``pred`` must have; None takes any, as mmpretrain.
        use_sigmoid: Independent sigmoids instead of a softmax; None is True in ``'multi_label'`` and else False, as
            mmpretrain. Heads read this from the config, so write it there.
        mode: ``'original'``, ``'classy_vision'`` or ``'multi_label'``; default as mmpretrain.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        debug: As in :class:`CrossEntropyLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import LabelSmoothLoss
        >>> LabelSmoothLoss(0.1)(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.3365)
    """

    paper = "https://arxiv.org/abs/1512.00567"
    best = None
    fixed = ("use_mask", "class_weight", "ignore_index", "avg_non_ignore", "label_smoothing", "smoothing_mode")

    rules: ClassVar = {
        "label_smooth_val": Option(check=LESS_THAN_1),
        "num_classes": Option(check=none_or(whole(1))),
        "mode": Option(check=one_of(SHARES), frozen="it decides the form of the loss"),
    }

    def __init__(
        self,
        label_smooth_val: float = 0.1,
        num_classes: int | None = None,
        use_sigmoid: bool | None = None,
        mode: str = "original",
        reduction: str = "mean",
        loss_weight: float = 1.0,
        **shared: Unpack[Shared],
    ) -> None:
        # first, since options of the base are computed from them
        keep_options(self, {"label_smooth_val": label_smooth_val, "num_classes": num_classes, "mode": mode})
        check_value("use_sigmoid", use_sigmoid, none_or(FLAG))
        if use_sigmoid is None:
            use_sigmoid = mode == "multi_label"
        self.check_mode(use_sigmoid)
        super().__init__(use_sigmoid, reduction=reduction, loss_weight=loss_weight, **shared)

    def check_mode(self, use_sigmoid: bool) -> None:
        """Raise for what does not go with the mode."""
        if self.mode == "multi_label":
            fits = self.label_smooth_val <= 0.5
            check_option("label_smooth_val", self.label_smooth_val, fits, "from 0 to 0.5 with mode 'multi_label'")
            if not use_sigmoid:
                raise OptionError("mode 'multi_label' smooths sigmoids, got use_sigmoid=False: leave it out.")

    def check_options(self) -> None:
        self.check_mode(self.use_sigmoid)
        super().check_options()

    @property
    def label_smoothing(self) -> float:
        """The share of :class:`CrossEntropyLoss` that is the same."""
        return SHARES[self.mode](self.label_smooth_val)

    @property
    def smoothing_mode(self) -> str:
        """The mode of :class:`CrossEntropyLoss` that is the same."""
        return "binary" if self.mode == "multi_label" else "uniform"

    def forward(self, pred: Tensor, *args: Any, **call: Any) -> Tensor:
        """Loss of a batch, see :meth:`CrossEntropyLoss.forward`."""
        if self.num_classes is not None and isinstance(pred, Tensor) and pred.shape[1:2] != (self.num_classes,):
            raise ValueError(
                f"pred must have {self.num_classes} channels, as num_classes says, got shape {tuple(pred.shape)}."
            )
        return super().forward(pred, *args, **call)
