"""Classification losses for long-tailed data, which follow the balance of the classes during the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import Unpack

from ... import functional as F
from ...functional.dtype import without_autocast
from ...functional.longtail import count_labels, equalization_v2_gradients, foreground
from ...functional.reduce import blank, drop_junk, weighted_loss
from ..base import check_floating, published
from ..declared import FALSE, SHARE, TRUE, Check, Option, at_least, between, keep_options, more_than, option
from ..inputs import as_labels, either, row_weight
from ..options import Shared, check_option
from ..state import Stateful
from .base import ClassificationLoss
from .focal import FocalLoss
from .head_channels import CLASSES, HeadChannels
from .per_class import WEIGHTS, is_one_for_all, kept_numbers

__all__ = ["EQLV2Loss", "EqualizedFocalLoss", "SeesawLoss"]

SIZED = "statistics of that size are kept"
"""Why the number of classes cannot be set."""


class RegionLoss(Stateful, HeadChannels, ClassificationLoss):
    """Base of losses of regions with channels beside those of the classes, which ``BBoxHead`` asks about."""

    def is_background(self, cls_score: Tensor) -> Tensor:
        """Which regions are background rather than an object, ``(n,)``."""
        raise NotImplementedError

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Share in percent of right decisions between object and background, and of right classes of objects."""
        right = self.is_background(cls_score) != foreground(labels, self.num_classes)
        return {
            "acc_objectness": 100 * right.sum() / max(len(labels), 1),
            "acc_classes": super().get_accuracy(cls_score, labels)["acc_classes"].squeeze(0),
        }

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        channels = self.num_classes + self.extra_channels
        if pred.ndim != 2 or pred.shape[1] != channels:
            raise ValueError(
                f"pred must have shape (n, {channels}), {self.extra_channels} more than num_classes="
                f"{self.num_classes} of {type(self).__name__}, got {tuple(pred.shape)}: it is for "
                "two-stage heads, which ask it for their channels; for one-stage heads there is EqualizedFocalLoss."
            )
        target = as_labels("target", target, pred.shape[:1])
        return (pred, target), row_weight(weight, pred.shape[:1])


@published()
class SeesawLoss(RegionLoss):
    """Seesaw loss: softmax cross-entropy in which a frequent class does not push a rare one down.

    The exponential of logit ``j`` in the row of label ``i`` is multiplied by ``M C``, both detached:
    ``M = (N_j / N_i)**p`` where class ``j`` has had fewer samples, else 1; ``C = (s_j / s_i)**q`` where ``j`` has the
    larger softmax probability, else 1. Beside it stands a softmax of object and background.

    Shapes: ``pred`` logits ``(n, c + 2)``, the last two those of object and background; ``target`` labels ``(n,)``,
    any label outside ``[0, c)`` being background, which has no part in the loss of the classes; weight ``(n,)`` or
    ``(n, 1)``. The result is a dict of ``loss_cls_objectness`` and ``loss_cls_classes``, or their sum with
    ``return_dict=False``; ``'none'`` gives ``(n,)`` each.

    Statistics: ``cum_samples``, the samples of each class and of background so far, over all processes, committed
    after each iteration; the loss uses the counts of the iterations before.

    Paper: https://arxiv.org/abs/2008.10032. Differs from mmdet: it counts in each call, also in evaluation and without
    gradients, before it uses the counts, on each process for itself, and rows of weight 0 too; its mean without
    ``avg_factor`` divides the loss of the classes by the objects, here by the rows; see also "All losses" in
    docs/deviations.md.

    Args:
        use_sigmoid: False, as in mmdet.
        p: Power of the mitigation factor ``M``; 0.8 as the paper and mmdet.
        q: Power of the compensation factor ``C``; 2.0 as the paper and mmdet.
        num_classes: Number of classes; 1203 as mmdet (LVIS v1).
        eps: Least probability of the target class in ``C``; 1e-2 as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        return_dict: Whether the result is a dict of the two parts; default as mmdet.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import SeesawLoss, commit_statistics
        >>> loss = SeesawLoss(num_classes=3)
        >>> pred = torch.tensor([[0.0, 2, -1, 1, -1]], requires_grad=True)
        >>> sum(loss(pred, torch.tensor([1])).values())
        tensor(0.2968, grad_fn=<AddBackward0>)
        >>> commit_statistics(loss)
        >>> loss.cum_samples
        tensor([0., 1., 0., 0.])
    """

    fusible = False

    paper = "https://arxiv.org/abs/2008.10032"
    extra_channels = 2

    use_sigmoid: bool = option(default=False, check=FALSE)
    p: float = option(default=0.8, check=at_least(0))
    q: float = option(default=2.0, check=at_least(0))
    num_classes: int = option(default=1203, check=CLASSES, frozen=SIZED)
    eps: float = option(default=1e-2, check=SHARE)
    reduction: str = "mean"
    loss_weight: float = 1.0
    return_dict: bool = True

    def __post_init__(self) -> None:
        self.keep_buffers(cum_samples=(self.num_classes + 1,))
        self.keep_sums(samples=(self.num_classes + 1,))
        self.reset_statistics()

    def reset_statistics(self) -> None:
        self.cum_samples.zero_()

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        label_weights: Tensor | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """Loss of a batch, see :meth:`Loss.forward <mmdet_losses.modules.base.Loss.forward>`.

        Args:
            avg_factor: Divisor of reduction ``'mean'``, of both parts.
            label_weights: MMDetection's name of ``weight``.
        """
        return super().forward(pred, target, either(weight, label_weights), avg_factor, reduction_override)

    def evaluate(
        self, pred: Tensor, target: Tensor, weight: Tensor | None, avg_factor: Any, reduction: str
    ) -> Tensor | dict[str, Tensor]:
        check_floating("pred", pred)
        inputs, weight = self.align(pred, target, weight)
        if self.debug:
            self.check_values(inputs, weight)
        objects = foreground(inputs[1], self.num_classes)
        object_weight = torch.where(objects, 1.0 if weight is None else weight, 0.0)
        divide = dict(reduction=reduction, avg_factor=avg_factor)
        with without_autocast(pred.device.type):
            objectness = weighted_loss(self.objectness, inputs, weight, **divide)
            classes = weighted_loss(self.unreduced, inputs, object_weight, **divide)
            parts = {
                "loss_cls_objectness": self.loss_weight * objectness,
                "loss_cls_classes": self.loss_weight * classes,
            }
        return parts if self.return_dict else sum(parts.values())

    def unreduced(self, pred: Tensor, target: Tensor) -> Tensor:
        counts = self.cum_samples[: self.num_classes]
        return F.seesaw_class_loss(pred[:, :-2], target, counts=counts, p=self.p, q=self.q, eps=self.eps)

    def objectness(self, pred: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of object (0) and background (1)."""
        return F.softmax_cross_entropy(pred[:, -2:], (~foreground(target, self.num_classes)).long())

    def observe(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> None:
        (_, target), weight = self.align(pred, target, weight)
        valid = torch.ones_like(target, dtype=torch.bool) if weight is None else weight != 0
        self.gather(samples=count_labels(target, valid, self.num_classes))

    def commit(self, samples: Tensor) -> None:
        self.cum_samples.add_(samples)

    def get_activation(self, cls_score: Tensor) -> Tensor:
        objectness = cls_score[..., -2:].softmax(-1)
        return torch.cat([cls_score[..., :-2].softmax(-1) * objectness[..., :1], objectness[..., 1:]], -1)

    def is_background(self, cls_score: Tensor) -> Tensor:
        return cls_score[:, -1] > cls_score[:, -2]


class GradientRatio(Stateful):
    """Mixin of losses that follow the gradients of positives and of negatives of each class."""

    first_ratio: ClassVar[float]
    """The ratio that every class starts with."""

    def keep_ratio(self, num_classes: int) -> None:
        """Declare the buffers, which have MMDetection's names."""
        self.keep_buffers(pos_grad=(num_classes,), neg_grad=(num_classes,), pos_neg=(num_classes,))
        self.keep_sums(positive=(num_classes,), negative=(num_classes,))
        self.reset_statistics()

    def reset_statistics(self) -> None:
        self.pos_grad.zero_()
        self.neg_grad.zero_()
        self.pos_neg.fill_(self.first_ratio)

    def commit(self, positive: Tensor, negative: Tensor) -> None:
        """Add the gradients; a class that has had none keeps the ratio that it started with."""
        self.pos_grad.add_(positive)
        self.neg_grad.add_(negative)
        seen = self.pos_grad + self.neg_grad > 0
        self.pos_neg.copy_(torch.where(seen, self.pos_grad / (self.neg_grad + 1e-10), self.pos_neg))


@published()
class EQLV2Loss(GradientRatio, RegionLoss):
    """Equalization loss v2: binary cross-entropy whose classes are weighed by the balance of their gradients.

    With ``r`` the accumulated gradient of a class's positives over that of its negatives, negatives weigh
    ``f(r) = 1 / (1 + exp(-gamma (r - mu)))`` and positives ``1 + alpha (1 - f(r))``, both detached.
    ``r`` starts at 100, which is weight 1 for both. The last channel is background, with weight 1.

    Shapes: ``pred`` logits ``(n, c + 1)``, background last; ``target`` labels ``(n,)``, any label outside ``[0, c)``
    being background; weight ``(n,)`` or ``(n, 1)``; ``'none'`` gives ``(n,)``, each the sum over the channels.

    Statistics: ``pos_grad``, ``neg_grad`` and their ratio ``pos_neg``, over all processes, committed after each
    iteration.

    Paper: https://arxiv.org/abs/2012.08548. Differs from mmdet: weight, ``avg_factor``, reduction and ``class_weight``
    count (ignored there, always the mean over rows), and ``BBoxHead`` tests with the sigmoids and the background that
    are trained (with a softmax there). Statistics are committed per iteration over all processes (per call there, also
    in evaluation, and over processes only with ``use_distributed``); see also "All losses" in docs/deviations.md.

    Args:
        use_sigmoid: True, as in mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        class_weight: Weight of each channel, ``(c + 1,)``.
        loss_weight: Multiplies the loss; default as mmdet.
        num_classes: Number of classes; 1203 as mmdet (LVIS v1).
        use_distributed: Kept for mmdet's configs; the statistics are those of all processes in any case.
        mu: Ratio at which a negative has half its weight; 0.8 as the paper and mmdet.
        alpha: What a positive can have beyond weight 1; 4.0 as the paper and mmdet.
        gamma: Steepness; 12 as the paper and mmdet.
        vis_grad: Kept for mmdet's configs, where it does nothing either.
        test_with_obj: Whether probabilities are multiplied by that of not being background; default as mmdet.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import EQLV2Loss
        >>> EQLV2Loss(num_classes=3)(torch.tensor([[0.0, 2, -1, -2]]), torch.tensor([1]))
        tensor(1.2603)
    """

    function = staticmethod(F.equalization_v2_loss)
    passes = ("mu", "alpha", "gamma")
    per_class = ("class_weight",)
    paper = "https://arxiv.org/abs/2012.08548"
    extra_channels = 1
    first_ratio = 100.0

    use_sigmoid: bool = option(default=True, check=TRUE)
    reduction: str = "mean"
    class_weight: Sequence[float] | Tensor | None = option(default=None, check=WEIGHTS, convert=kept_numbers)
    loss_weight: float = 1.0
    num_classes: int = option(default=1203, check=CLASSES, frozen=SIZED)
    use_distributed: bool = False
    mu: float = 0.8
    alpha: float = option(default=4.0, check=at_least(0))
    gamma: float = option(default=12, check=at_least(0))
    vis_grad: bool = False
    test_with_obj: bool = True

    def __post_init__(self) -> None:
        self.keep_ratio(self.num_classes)

    def check_options(self) -> None:
        super().check_options()
        weight, entries = self.class_weight, self.num_classes + 1
        fits = weight is None or (not is_one_for_all(weight) and len(weight) == entries)
        check_option("class_weight", weight, fits, f"None or {entries} numbers, background last")

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), "ratio": self.pos_neg, "class_weight": self.class_weight}

    def observe(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> None:
        (pred, target), weight = self.align(pred, target, weight)
        if weight is not None:
            (pred, target), weight = drop_junk((pred, target), weight, may_drop=True, values="elements")
        options = super().arguments()
        positive, negative = equalization_v2_gradients(pred, target, weight, ratio=self.pos_neg, **options)
        self.gather(positive=positive[:-1], negative=negative[:-1])

    def get_activation(self, cls_score: Tensor) -> Tensor:
        score = cls_score.sigmoid()
        classes, background = score[..., :-1], score[..., -1:]
        return torch.cat([classes * (1 - background) if self.test_with_obj else classes, background], -1)

    def is_background(self, cls_score: Tensor) -> Tensor:
        return cls_score[:, -1] > 0


@published()
class EqualizedFocalLoss(GradientRatio, FocalLoss):
    """Equalized focal loss: focal loss whose power grows for classes with few positives, for one-stage heads.

    ``alpha_t (gamma_j / gamma) (1 - p_t)**gamma_j BCE`` with ``gamma_j = gamma + scale_factor (1 - g_j)``, where
    ``g_j`` is the accumulated gradient of class j's positives over that of its negatives, at most 1; both are detached.
    ``g_j`` starts at 1, where the loss is :class:`FocalLoss`.

    Shapes: ``pred`` logits ``(n, c)`` (or ``(*, c)``); ``target`` integer labels ``(n,)``, any label outside ``[0, c)``
    being background, or one-hot ``(n, c)``; weight ``(n,)``, ``(n, 1)``, ``(n, c)`` or flattened ``(n * c,)``;
    ``'none'`` gives ``(n, c)``.

    Statistics: ``pos_grad``, ``neg_grad`` and their ratio ``pos_neg``, of the weighted loss before it is averaged, over
    all levels and processes, committed after each iteration.

    Paper: https://arxiv.org/abs/2201.02593. mmdet does not have it. The authors' code takes the gradients from a
    backward hook, after the division by the number of positives; here they are computed in closed form, before it.

    Args:
        use_sigmoid: True. Heads read this from the config, so write it there.
        num_classes: Number of classes, without background; 1203 as the authors' code (LVIS v1).
        gamma: Power for a balanced class; 2.0 as the paper.
        alpha: Weight of the positives; 0.25 as the paper.
        scale_factor: How much larger the power of a class without positives is; 8.0 as the paper.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import EqualizedFocalLoss
        >>> loss = EqualizedFocalLoss(num_classes=3, reduction="sum")
        >>> loss(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.1474)
    """

    function = staticmethod(F.equalized_focal_loss)
    paper = "https://arxiv.org/abs/2201.02593"
    fixed = ("activated",)
    first_ratio = 1.0

    rules: ClassVar = {
        "use_sigmoid": Option(check=TRUE),
        "num_classes": Option(check=CLASSES, frozen=SIZED),
        "gamma": Option(check=more_than(0)),
        "alpha": Option(check=Check(between(0, 1).holds, "one number from 0 to 1")),
        "scale_factor": Option(check=at_least(0)),
    }

    def __init__(
        self,
        use_sigmoid: bool = True,
        num_classes: int = 1203,
        gamma: float = 2.0,
        alpha: float = 0.25,
        scale_factor: float = 8.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(use_sigmoid, gamma, alpha, reduction, loss_weight, **shared)
        keep_options(self, {"num_classes": num_classes, "scale_factor": scale_factor})
        self.keep_ratio(num_classes)

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if pred.ndim == 0 or pred.shape[-1] != self.num_classes:
            raise ValueError(
                f"pred must have shape (n, {self.num_classes}), as num_classes={self.num_classes} of "
                f"{type(self).__name__} says, got {tuple(pred.shape)}: write the head's num_classes into the loss."
            )
        return super().align(pred, target, weight)

    def arguments(self) -> dict[str, Any]:
        return {"ratio": self.pos_neg, "gamma": self.gamma, "alpha": self.alpha, "scale_factor": self.scale_factor}

    def observe(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> None:
        inputs, weight = self.align(pred, target, weight)
        if weight is not None:
            inputs = tuple(blank(tensor, weight == 0) for tensor in inputs)
        gradient = F.equalized_focal_gradient(*inputs, **self.arguments())
        gradient = (gradient if weight is None else gradient * weight).reshape(-1, self.num_classes)
        positive = F.dense_target(*inputs).reshape(-1, self.num_classes).to(gradient.dtype)
        self.gather(positive=(gradient * positive).sum(0), negative=(gradient * (1 - positive)).sum(0))

    def commit(self, positive: Tensor, negative: Tensor) -> None:
        super().commit(positive, negative)
        self.pos_neg.clamp_(max=1)
