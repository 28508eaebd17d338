"""The public names of the functions, and where they come from."""

from __future__ import annotations

import importlib
import pkgutil

import mmdet_losses.functional as F

RELEASED = {
    "BASES",
    "BoxPair",
    "Histogram",
    "alpha_iou_loss",
    "asymmetric_loss",
    "authentic_smooth_l1_gradient_norm",
    "authentic_smooth_l1_loss",
    "average_precision_loss",
    "balanced_l1_loss",
    "bin_edges",
    "bounded_iou_loss",
    "box_iou_loss",
    "box_pair",
    "ciou_loss",
    "ciou_terms",
    "dense_target",
    "diou_loss",
    "diou_terms",
    "distribution_focal_loss",
    "eiou_loss",
    "eiou_terms",
    "equalization_loss",
    "equalization_v2_loss",
    "equalized_focal_gradient",
    "equalized_focal_loss",
    "extended_iou_loss",
    "focal_eiou_loss",
    "focaler_iou_loss",
    "gaussian_focal_loss",
    "giou_loss",
    "giou_terms",
    "gradient_histogram",
    "harmonizing_weight",
    "inner_iou_loss",
    "integral",
    "iou_focus",
    "iou_loss",
    "l1_loss",
    "mpdiou_loss",
    "mpdiou_terms",
    "mse_loss",
    "no_terms",
    "one_hot",
    "pair_loss",
    "powerful_focus",
    "powerful_iou_loss",
    "powerful_multiplier",
    "powerful_terms",
    "quality_focal_loss",
    "quality_focal_terms",
    "rank_sort_errors",
    "rank_sort_loss",
    "reduce_loss",
    "seesaw_class_loss",
    "shape_iou_loss",
    "shape_terms",
    "sigmoid_cross_entropy",
    "sigmoid_focal_loss",
    "sigmoid_gradient_norm",
    "siou_loss",
    "siou_terms",
    "smooth_l1_loss",
    "softmax_cross_entropy",
    "softmax_focal_loss",
    "unified_focus",
    "unified_iou_loss",
    "unified_multiplier",
    "varifocal_loss",
    "wasserstein_distance",
    "wasserstein_loss",
    "weighted_loss",
    "wise_focus",
    "wise_iou_loss",
}
"""Names that were published before; none of them may go."""


INTERNAL = {"compiling"}
"""Files whose names other files of this package import, and users do not."""
MODULES = {name: importlib.import_module(f"{F.__name__}.{name}") for _, name, _ in pkgutil.iter_modules(F.__path__)}


def published() -> dict[str, list[str]]:
    """What each file publishes."""
    return {name: getattr(module, "__all__", []) for name, module in MODULES.items() if name not in INTERNAL}


def test_no_public_name_is_gone() -> None:
    assert RELEASED - set(F.__all__) == set()


def test_what_a_file_publishes_is_public() -> None:
    names = [name for listed in published().values() for name in listed]
    assert sorted(names) == sorted(F.__all__)
    assert len(names) == len(set(names))


def test_a_public_name_is_what_its_file_defines() -> None:
    for file, names in published().items():
        for name in names:
            assert getattr(F, name) is getattr(MODULES[file], name)
            assert getattr(getattr(F, name), "__module__", MODULES[file].__name__) == MODULES[file].__name__, name


def test_every_loss_is_published() -> None:
    """A function that is named as a loss, or as the terms of one, and is left out of its file's list."""
    for module in MODULES.values():
        defined = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
        assert {name for name in defined if name.endswith(("_loss", "_terms"))} <= set(F.__all__)
