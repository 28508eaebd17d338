"""Cross-entropy in its three forms: softmax, independent sigmoids, masks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import functional as F
from ..functional.reduce import may_select
from .base import check_floating, check_rows, check_same_shape, element_weight, published, row_weight
from .classification import ClassificationLoss, check_labels, check_labels_or_dense
from .errors import OptionError

NO_LABEL = -100
"""torch's default for labels to be ignored."""

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

    Range: [0, inf), 0 at a perfect match of a hard target.

    Differs from mmdet: masks take every reduction, an empty batch of them gives 0 (NaN there), their result is a
    scalar (shape ``(1,)`` there), and ``class_weight`` weighs a mask by its class; see also the ledger, general part.

    Args:
        use_sigmoid: Independent sigmoids instead of a softmax; default as mmdet. Heads read this from the config.
        use_mask: The mask form; default as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet. The mean is not divided by the
            class weights, as in mmdet and unlike torch.
        class_weight: Weight of each class ``(c,)``; of its positive term in the sigmoid form, as mmdet.
        ignore_index: Label of what counts nothing; None is -100, as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        avg_non_ignore: Whether the mean without ``avg_factor`` leaves out ignored elements; default as mmdet.
        debug: Names the first row with a label outside the classes or a value that is not finite. The softmax form
            always does so for labels on a CPU; on a GPU a bad label is torch's device-side assert.

    Example:
        >>> import torch
        >>> from mmdet_losses import CrossEntropyLoss
        >>> CrossEntropyLoss()(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.1698)
    """

    def __init__(
        self,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        reduction: str = "mean",
        class_weight: Sequence[float] | Tensor | None = None,
        ignore_index: int | None = None,
        loss_weight: float = 1.0,
        avg_non_ignore: bool = False,
        *,
        debug: bool = False,
    ) -> None:
        super().__init__(reduction, loss_weight, debug=debug)
        if use_sigmoid and use_mask:
            raise OptionError("use_sigmoid and use_mask are two forms of the loss, got both: set one of them.")
        if use_mask and ignore_index is not None:
            raise OptionError(f"ignore_index does not go with use_mask, got {ignore_index!r}: leave it out.")
        if ignore_index is not None and not avg_non_ignore and reduction == "mean":
            warnings.warn(
                "ignore_index without avg_non_ignore=True: the mean divides by ignored elements too, as mmdet's does "
                "and torch's does not.",
                stacklevel=2,
            )
        self.use_sigmoid = use_sigmoid
        self.use_mask = use_mask
        self.class_weight = class_weight
        self.ignore_index = ignore_index
        self.avg_non_ignore = avg_non_ignore
        # Beside the option, so that a GPU need not be waited for in each call.
        per_class = None if class_weight is None else torch.as_tensor(class_weight, dtype=torch.float32)
        self.register_buffer("per_class", per_class, persistent=False)

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
            pred: Logits.
            target: Labels, dense target or masks.
            weight: Weight; with ``use_mask`` the class of each mask.
            avg_factor: Divisor of reduction ``'mean'``.
            reduction_override: Reduction of this call.
            ignore_index: Ignored label of this call.
        """
        reduction = self.resolve_reduction(reduction_override, avg_factor)
        check_floating("pred", pred)
        if self.use_mask:
            if ignore_index is not None:
                raise ValueError(f"ignore_index does not go with use_mask, got {ignore_index!r}: leave it out.")
            return self.evaluate_aligned(*self.align_masks(pred, target, weight), avg_factor, reduction)

        ignored = next(label for label in (ignore_index, self.ignore_index, NO_LABEL) if label is not None)
        inputs, weight, valid = (self.align_sigmoid if self.use_sigmoid else self.align_softmax)(
            pred, target, weight, ignored
        )
        if valid is not None:
            if avg_factor is None and self.avg_non_ignore and reduction == "mean":
                avg_factor = valid.expand(pred.shape if self.use_sigmoid else valid.shape).sum()
            weight = torch.where(valid, 1.0 if weight is None else weight, 0.0)
        loss = self.evaluate_aligned(inputs, weight, avg_factor, reduction)
        return loss if self.use_sigmoid or loss.ndim == 0 else loss.reshape(pred.shape[:1] + pred.shape[2:])

    def align_softmax(self, pred: Tensor, target: Tensor, weight: Tensor | None, ignored: int) -> Aligned:
        """Rows of logits with their labels or probabilities, the rows' weight, and which rows count."""
        if pred.ndim < 2:
            raise ValueError(f"pred must have shape (n, c) or (n, c, *), got {tuple(pred.shape)}.")
        classes, lead = pred.shape[1], pred.shape[:1] + pred.shape[2:]
        weight = row_weight(weight, lead)
        logits = pred.movedim(1, -1).reshape(-1, classes)
        if isinstance(target, Tensor) and target.is_floating_point():
            check_same_shape(pred, target)
            return (logits, target.movedim(1, -1).reshape(-1, classes)), weight, None
        check_labels("target", target, lead)
        label = target.reshape(-1)
        valid = label != ignored
        if may_select(label):
            good = ~valid | ((label >= 0) & (label < classes))
            check_rows(f"{type(self).__name__}: target", label, good, weight, f"labels from 0 to {classes - 1}")
        return (logits, label), weight, valid

    def align_sigmoid(self, pred: Tensor, target: Tensor, weight: Tensor | None, ignored: int) -> Aligned:
        """Logits with labels or a dense target, the elements' weight, and which elements count."""
        check_labels_or_dense(pred, target)
        # Not (target >= 0): that would drop a NaN without a word.
        valid = ~((target < 0) | (target == ignored))
        valid = valid.unsqueeze(-1) if target.ndim < pred.ndim else valid
        return (pred, target), element_weight(weight, pred), valid

    def align_masks(
        self, pred: Tensor, target: Tensor, label: Tensor | None
    ) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        """The mask of each row's class with its target, and the weight of that class."""
        if label is None:
            raise ValueError("weight must be the class of each mask, (n,), with use_mask=True, got None.")
        check_labels("weight (the class of each mask)", label, pred.shape[:1])
        mask = pred[torch.arange(len(pred), device=pred.device), label]
        check_same_shape(mask, target)
        weight = None if self.per_class is None else self.per_class.to(label.device)[label]
        return (mask, target), element_weight(weight, mask)

    def check_values(self, inputs: tuple[Tensor, ...], weight: Tensor | None) -> None:
        # Labels of the softmax form have been looked at; the base class knows a background label.
        super().check_values(inputs if self.use_sigmoid else inputs[:1], weight)

    def unreduced(self, pred: Tensor, target: Tensor) -> Tensor:
        if self.use_mask:
            return F.sigmoid_cross_entropy(pred, target)
        form = F.sigmoid_cross_entropy if self.use_sigmoid else F.softmax_cross_entropy
        return form(pred, target, class_weight=self.per_class)
