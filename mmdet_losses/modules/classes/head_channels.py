"""Classification losses that decide how many channels a head predicts and how its scores come from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Unpack

from ... import functional as F
from ...functional.longtail import foreground
from ..base import published
from ..declared import TRUE, Check, Option, at_least, option, whole
from ..errors import OptionError
from ..options import Shared
from .base import FocalForm
from .cross_entropy import CrossEntropyLoss
from .focal import FocalLoss
from .per_class import are_within, kept_numbers

__all__ = ["CrossEntropyCustomLoss", "EqualizationLoss", "FocalCustomLoss"]

CLASSES = Check(whole(1).holds, "that of the head, a whole number of 1 or more", numeric=True)
FREQUENCIES = Check(
    lambda value: are_within(value, 0, 1),
    "the share of the images that hold each class, one number from 0 to 1 per class",
)


class Smoothing(Shared, total=False):
    """Keywords that :class:`CrossEntropyCustomLoss` hands on to :class:`CrossEntropyLoss`."""

    label_smoothing: float
    smoothing_mode: str | None


class HeadChannels:
    """What mmdet's heads ask of a loss that decides how many channels they predict and what these mean."""

    num_classes: int
    extra_channels: int
    """Channels beside those of the classes."""
    # BBoxHead asks for all three, and with one of them False its training and its test would disagree.
    custom_cls_channels: bool = True
    custom_activation: bool = True
    custom_accuracy: bool = True

    def get_cls_channels(self, num_classes: int) -> int:
        """Channels of a head of ``num_classes`` classes."""
        if num_classes != self.num_classes:
            raise OptionError(
                f"num_classes of {type(self).__name__} must be the head's, {num_classes}, got {self.num_classes}: "
                f"write num_classes={num_classes} into the config of the loss."
            )
        return num_classes + self.extra_channels

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Scores of the classes and, last, of background, ``(n, c + 1)``, from what the head predicts."""
        raise NotImplementedError

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Percentage of the objects whose largest score is that of their class."""
        objects = foreground(labels, self.num_classes)
        right = objects & (cls_score[:, : self.num_classes].argmax(1) == labels)
        return {"acc_classes": 100 * right.sum(0, keepdim=True) / objects.sum().clamp(min=1)}


class CustomClassifier(HeadChannels):
    """Scores that are sigmoids or a softmax.

    Two-stage heads (BBoxHead) take a background score as the last column, one-stage heads take none.
    """

    use_sigmoid: bool
    background: bool = True
    """Whether sigmoids get a background score."""

    @property
    def extra_channels(self) -> int:
        """A softmax has a channel for background."""
        return 0 if self.use_sigmoid else 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Scores ``(n, num_classes + 1)``, or ``(n, num_classes)`` without background."""
        fine = cls_score[:, : self.num_classes]
        if not self.use_sigmoid:
            return torch.cat([fine, cls_score[:, -1:]], 1).softmax(-1)
        scores = fine.sigmoid()
        if not self.background:
            return scores
        return torch.cat([scores, (1 - scores.sum(1, keepdim=True)).clamp(0, 1)], 1)


@published()
class CrossEntropyCustomLoss(CustomClassifier, CrossEntropyLoss):
    """Cross-entropy that decides its head's channels: with ``use_sigmoid=True`` a two-stage head without background.

    The head then predicts one channel per class, and a background score of ``1 - sum p``, at least 0, is appended
    where it makes detections. Heads for V3Det use it. A one-stage head would take that score for a class.

    Shapes, weights, ``'none'`` and range: those of :class:`CrossEntropyLoss`.

    Paper: none; V3Det, https://arxiv.org/abs/2304.03752, introduced the hooks. Differs from mmdet: as
    :class:`CrossEntropyLoss`.

    Args:
        use_sigmoid: Independent sigmoids instead of a softmax; default as mmdet.
        use_mask: The mask form; default as mmdet.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        num_classes: Number of classes of the head, without background. It has to be given, as in mmdet.
        class_weight: As in :class:`CrossEntropyLoss`.
        ignore_index: As in :class:`CrossEntropyLoss`.
        loss_weight: Multiplies the loss; default as mmdet.
        avg_non_ignore: As in :class:`CrossEntropyLoss`.
        **options: ``label_smoothing``, ``smoothing_mode`` and ``debug`` of :class:`CrossEntropyLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import CrossEntropyCustomLoss
        >>> loss = CrossEntropyCustomLoss(use_sigmoid=True, num_classes=3)
        >>> loss.get_activation(torch.tensor([[0.0, -2, -1]]))
        tensor([[0.5000, 0.1192, 0.2689, 0.1119]])
    """

    paper = "https://arxiv.org/abs/2304.03752"

    rules: ClassVar = {"num_classes": Option(check=CLASSES)}

    def __init__(
        self,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        reduction: str = "mean",
        num_classes: int = -1,
        class_weight: Sequence[float] | Tensor | None = None,
        ignore_index: int | None = None,
        loss_weight: float = 1.0,
        avg_non_ignore: bool = False,
        **options: Unpack[Smoothing],
    ) -> None:
        super().__init__(
            use_sigmoid, use_mask, reduction, class_weight, ignore_index, loss_weight, avg_non_ignore, **options
        )
        self.num_classes = num_classes


@published()
class FocalCustomLoss(CustomClassifier, FocalLoss):
    """Focal loss that decides its head's channels and scores, for one-stage heads for V3Det.

    Shapes, weights, ``'none'`` and range: those of the sigmoids of :class:`FocalLoss`.

    Paper: https://arxiv.org/abs/1708.02002. Differs from mmdet: ``activated`` counts (it is ignored there), and as
    :class:`FocalLoss`.

    Args:
        use_sigmoid: True, as in mmdet. Heads read this from the config, so write it there.
        num_classes: Number of classes of the head, without background. It has to be given, as in mmdet.
        gamma: As in :class:`FocalLoss`.
        alpha: As in :class:`FocalLoss`.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`; default as mmdet.
        loss_weight: Multiplies the loss; default as mmdet.
        activated: Whether ``pred`` holds probabilities; default as mmdet.
        debug: As in :class:`FocalLoss`.

    Example:
        >>> import torch
        >>> from mmdet_losses import FocalCustomLoss
        >>> FocalCustomLoss(num_classes=3, reduction="sum")(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.1474)
    """

    background = False

    rules: ClassVar = {"use_sigmoid": Option(check=TRUE), "num_classes": Option(check=CLASSES)}

    def __init__(
        self,
        use_sigmoid: bool = True,
        num_classes: int = -1,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor | None = 0.25,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        activated: bool = False,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(use_sigmoid, gamma, alpha, reduction, loss_weight, activated, **shared)
        self.num_classes = num_classes


@published()
class EqualizationLoss(CustomClassifier, FocalForm):
    """Equalization loss (v1): objects of other classes do not push rare classes down.

    Binary cross-entropy, without the terms of negatives of rare classes in foreground rows. A class is rare where
    fewer images than ``lambda_`` of all hold it.

    Shapes: ``pred`` logits ``(n, c)`` (or ``(*, c)``); ``target`` labels ``(n,)``, any label outside ``[0, c)`` being
    background, or dense ``(n, c)``, where a row without a positive is background; weight ``(n,)``, ``(n, 1)``,
    ``(n, c)`` or flattened ``(n * c,)``; ``'none'`` gives ``(n, c)``.

    Paper: https://arxiv.org/abs/2003.05176. mmdet has none. Differs from the authors' code: frequencies are an option
    (files of LVIS and Open Images there), and the divisor is ``avg_factor`` (the number of rows there, which is what
    two-stage heads pass as ``avg_factor``).

    Args:
        class_frequency: Share of the images that hold each class, ``(c,)``, from 0 to 1. It has to be given.
        lambda_: Frequency below which a class is rare; 0.00177 as the authors' code for LVIS.
        use_sigmoid: True. Heads read this from the config, so write it there.
        reduction: See :class:`~mmdet_losses.modules.base.Loss`.
        loss_weight: Multiplies the loss.
        two_stage: Whether a two-stage head uses it. It then predicts one channel per class, scores are sigmoids, and a
            background score of ``1 - sum p``, at least 0, is appended to them. Without it such a head predicts a
            channel for background, and its scores are a softmax.
        debug: Names the first row with a label outside ``[0, c]`` or a value that is not finite.

    Example:
        >>> import torch
        >>> from mmdet_losses import EqualizationLoss
        >>> loss = EqualizationLoss([0.001, 0.5, 0.0001], reduction="sum")
        >>> loss(torch.tensor([[0.0, 2, -1]]), torch.tensor([1]))
        tensor(0.1269)
    """

    function = staticmethod(F.equalization_loss)
    passes = ("class_frequency", "lambda_")
    per_class = ("class_frequency",)
    paper = "https://arxiv.org/abs/2003.05176"

    class_frequency: Sequence[float] | Tensor | None = option(default=None, check=FREQUENCIES, convert=kept_numbers)
    lambda_: float = option(default=0.00177, check=at_least(0))
    use_sigmoid: bool = option(default=True, check=TRUE)
    reduction: str = "mean"
    loss_weight: float = 1.0
    two_stage: bool = option(default=False, kw_only=True)

    @property
    def num_classes(self) -> int:
        """One per entry of ``class_frequency``."""
        return len(self.class_frequency)

    @property
    def custom_cls_channels(self) -> bool:
        """Whether a two-stage head asks the loss about channels, scores and accuracy."""
        return self.two_stage

    custom_activation = custom_accuracy = custom_cls_channels

    def align(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        self.check_per_class(pred)
        return super().align(pred, target, weight)
