"""What each kind of error costs, against ``tidecv`` and by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from comparison.results import KINDS
from comparison.tide import dap
from tide_world import EXPECTED, draw
from tool_runtime.errors import ToolError

BOX = [10.0, 10.0, 20.0, 20.0]
NONE = dict.fromkeys(KINDS, 0.0)


def scene(*objects: tuple[int, list[float]], crowd: bool = False) -> dict[str, Any]:
    """An image with objects of classes."""
    return {
        "images": [{"id": 1}],
        "annotations": [
            {"image_id": 1, "category_id": category, "bbox": box, "iscrowd": int(crowd and number > 0)}
            for number, (category, box) in enumerate(objects)
        ],
    }


def found(category: int, box: list[float], score: float) -> dict[str, Any]:
    """A predicted box."""
    return {"image_id": 1, "category_id": category, "bbox": box, "score": score}


def shifted(by: float) -> list[float]:
    """The box further to the right."""
    return [BOX[0] + by, *BOX[1:]]


@pytest.mark.parametrize("seed", EXPECTED)
def test_as_tidecv_computes_it(seed: int) -> None:
    assert dap(*draw(seed)) == pytest.approx(EXPECTED[seed], abs=1e-9)


@pytest.mark.parametrize(
    "kind, predictions, gain",
    [
        # The right box comes second: a precision of 1/2 at every recall, 1 without the error.
        ("background", [found(1, shifted(100), 0.9), found(1, BOX, 0.8)], 0.5),
        # The same at an IoU of 5/35 with an object that another box finds.
        ("localisation", [found(1, shifted(15), 0.9), found(1, BOX, 0.8)], 0.5),
        ("localisation", [found(1, shifted(10), 0.9)], 1.0),
    ],
)
def test_an_error_by_itself(kind: str, predictions: list[dict[str, Any]], gain: float) -> None:
    assert dap(predictions, scene((1, BOX))) == pytest.approx({**NONE, kind: gain})


def test_a_second_box_of_an_object() -> None:
    predictions = [found(1, BOX, 0.9), found(1, shifted(1), 0.8), found(1, shifted(100), 0.7)]
    # A precision of 2/3 at the recalls above 1/2, which are 50 of 101.
    gains = dap(predictions, scene((1, BOX), (1, shifted(100))))
    assert gains == pytest.approx({**NONE, "duplicate": 50 / 101 / 3})


def test_a_wrong_class_is_an_error_of_its_own_class_and_a_find_of_the_right_one() -> None:
    predictions = [found(2, BOX, 0.9), found(2, shifted(100), 0.8)]
    # AP 0 and 1/2; put right, 1 and 1.
    gains = dap(predictions, scene((1, BOX), (2, shifted(100))))
    assert gains == pytest.approx({**NONE, "classification": 0.75})


def test_wrong_class_and_place() -> None:
    predictions = [found(2, shifted(10), 0.9), found(2, shifted(100), 0.8)]
    gains = dap(predictions, scene((1, BOX), (2, shifted(100))))
    # The object of class 1 is missed as well: without it, its class has nothing to measure and is left out.
    assert gains == pytest.approx({**NONE, "both": 0.25, "missed": 0.25})


def test_a_missed_object_is_taken_away() -> None:
    # Recall 1/2: 51 of 101 recalls are reached.
    gains = dap([found(1, BOX, 0.9)], scene((1, BOX), (1, shifted(100))))
    assert gains == pytest.approx({**NONE, "missed": 50 / 101})


def test_a_crowd_is_no_error() -> None:
    dataset = scene((1, BOX), (1, [90.0, 0.0, 100.0, 100.0]), crowd=True)
    predictions = [found(1, shifted(100), 0.9), found(1, BOX, 0.8)]
    assert dap(predictions, dataset) == NONE
    predictions[0]["category_id"] = 2
    assert dap(predictions, dataset) == NONE, "of a class without objects, which has no AP"


def test_boxes_of_a_class_without_objects_do_not_count() -> None:
    predictions, dataset = draw(0)
    plain = dap(predictions, dataset)
    strange = [{**predictions[0], "category_id": 9, "bbox": [0.0, 0.0, 1.0, 1.0], "score": 0.99}]
    assert dap(predictions + strange, dataset) == plain


def test_only_the_best_boxes_of_an_image_count() -> None:
    predictions = [found(1, shifted(100), 0.9), found(1, BOX, 0.8)]
    assert dap(predictions, scene((1, BOX)), most=2)["background"] == pytest.approx(0.5)
    assert dap(predictions, scene((1, BOX)), most=1) == NONE


def test_nothing_found() -> None:
    gains = dap([], scene((1, BOX)))
    assert math.isnan(gains.pop("missed"))
    assert set(gains.values()) == {0.0}


def test_an_image_that_the_annotations_do_not_have() -> None:
    with pytest.raises(ToolError, match="image 7, which the annotations do not have"):
        dap([{**found(1, BOX, 0.9), "image_id": 7}], scene((1, BOX)))
