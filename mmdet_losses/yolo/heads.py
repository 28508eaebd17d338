"""MMDetection heads that train with an objective as their one loss, and decode their maps with it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmdet.models.dense_heads import YOLOV3Head
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.utils import filter_scores_and_topk
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.model import bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from .base import CompositeLoss
from .encode import pad_truths


class ObjectiveMixin:
    """``loss_by_feat`` and ``predict_by_feat`` of a head whose ``objective`` takes all its maps."""

    objective: CompositeLoss
    test_cfg: ConfigDict

    def loss_by_feat(
        self,
        pred_maps: Sequence[Tensor],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Any = None,
    ) -> dict[str, Tensor]:
        """The named terms of the objective."""
        truths = pad_truths([gt.bboxes for gt in batch_gt_instances], [gt.labels for gt in batch_gt_instances])
        return self.objective(list(pred_maps), truths, return_dict=True)

    def predict_by_feat(
        self,
        pred_maps: Sequence[Tensor],
        batch_img_metas: Sequence[dict],
        cfg: ConfigDict | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Boxes of each image, with ``conf_thr``, ``score_thr``, ``nms_pre`` and ``nms`` as in mmdet's YOLOV3Head."""
        cfg = copy.deepcopy(self.test_cfg if cfg is None else cfg)
        found = self.objective.detections([one.float() for one in pred_maps])
        results = []
        for boxes, objectness, scores, meta in zip(*found, batch_img_metas, strict=True):
            kept = objectness >= cfg.get("conf_thr", -1)
            score, label, index, _ = filter_scores_and_topk(
                scores[kept], cfg.get("score_thr", 0), cfg.get("nms_pre", -1)
            )
            instances = InstanceData(
                scores=score, labels=label, bboxes=boxes[kept][index], score_factors=objectness[kept][index]
            )
            results.append(self._bbox_post_process(instances, cfg, rescale, with_nms, meta))
        return results


@MODELS.register_module()
class YOLOObjectiveHead(ObjectiveMixin, YOLOV3Head):
    """mmdet's ``YOLOV3Head``, trained with one of the objectives with anchors.

    Args:
        objective: Config of a :class:`~mmdet_losses.YOLOv2Loss`, :class:`~mmdet_losses.YOLOv3Loss` or
            :class:`~mmdet_losses.YOLOv4Loss`, without ``anchors`` and ``strides``, which are those of the head's
            ``anchor_generator``.
        **kwargs: Those of ``YOLOV3Head``; its own four losses, assigner and sampler are not used.
    """

    def __init__(self, *args: Any, objective: dict, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        anchors = dict(anchors=self.prior_generator.base_sizes, strides=self.featmap_strides)
        self.objective = MODELS.build({**objective, **anchors})


@MODELS.register_module()
class GridCellHead(ObjectiveMixin, BaseDenseHead):
    """A minimal grid-cell detector: a few convolutions over one level, then the maps of an objective.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the features.
        feat_channels: Channels of the convolutions.
        stacked_convs: Number of convolutions.
        level: Index of the feature map that is the grid.
        objective: Config of a :class:`~mmdet_losses.YOLOv1Loss` or :class:`~mmdet_losses.GridObjectnessLoss`, its
            ``stride`` that of the level.
        norm_cfg: Normalization of the convolutions.
        act_cfg: Activation of the convolutions.
        prior_prob: Initial probability of an object, which sets the bias of the objectness logits, as in RetinaNet.
        train_cfg: Not used.
        test_cfg: ``conf_thr``, ``score_thr``, ``nms_pre``, ``nms`` and ``max_per_img``.
        init_cfg: Initialization.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        feat_channels: int = 128,
        stacked_convs: int = 2,
        level: int = -1,
        *,
        objective: dict,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        prior_prob: float = 0.01,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg or dict(type="Normal", layer="Conv2d", std=0.01))
        self.num_classes = num_classes
        self.level = level
        self.prior_prob = prior_prob
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg
        self.objective = MODELS.build(objective)
        (channels,) = self.objective.channels(num_classes)
        widths = [in_channels] + [feat_channels] * stacked_convs
        self.convs = nn.Sequential(
            *(
                ConvModule(
                    before,
                    after,
                    3,
                    padding=1,
                    norm_cfg=norm_cfg or dict(type="BN"),
                    act_cfg=act_cfg or dict(type="LeakyReLU", negative_slope=0.1),
                )
                for before, after in pairwise(widths)
            )
        )
        self.conv_pred = nn.Conv2d(widths[-1], channels, 1)

    def init_weights(self) -> None:
        super().init_weights()
        channels = list(self.objective.objectness_channels(self.num_classes))
        with torch.no_grad():
            self.conv_pred.bias[channels] = bias_init_with_prob(self.prior_prob)

    def forward(self, feats: Sequence[Tensor]) -> tuple[list[Tensor]]:
        """The map of the grid, as a list of one."""
        return ([self.conv_pred(self.convs(feats[self.level]))],)
