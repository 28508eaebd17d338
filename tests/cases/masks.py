"""Losses of masks, and of a teacher's output."""

from __future__ import annotations

from oracle import distillation, mask

from .case import Case
from .draw import draw_one_hot, draw_probability_soft, draw_soft, draw_teacher

MASK_CASES = [
    Case("DiceLoss", draw_one_hot, True, lambda p, t: [mask.dice(p, t)], kind="mask"),
    Case("DiceLoss", draw_soft, True, lambda p, t: [mask.naive_dice(p, t)], {"naive_dice": True}, kind="mask"),
    Case(
        "DiceLoss",
        draw_one_hot,
        True,
        lambda p, t: [mask.naive_dice(p, t, 1.0)],
        {"naive_dice": True, "eps": 1.0},
        kind="mask",
    ),
    Case(
        "DiceLoss",
        draw_probability_soft,
        True,
        lambda p, t: [mask.dice(p, t, activate=False)],
        {"activate": False},
        kind="mask",
    ),
]

TEACHER_CASES = [
    Case("KnowledgeDistillationKLDivLoss", draw_teacher, True, lambda p, t: [distillation.kl_div(p, t)], kind="ld"),
    Case(
        "KnowledgeDistillationKLDivLoss",
        draw_teacher,
        True,
        lambda p, t: [distillation.kl_div(p, t, 1.0, mean=False)],
        {"T": 1, "bin_reduction": "sum"},
        kind="ld",
    ),
]
