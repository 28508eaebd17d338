"""Drawn boxes with errors of every kind, and what ``tidecv`` makes of them.

In an environment of its own, ``pip install tidecv==1.0.1`` and then ``python tests/tools/tide_world.py`` prints
``EXPECTED`` (made with numpy 2.4.6 and pycocotools 2.0.11).
"""

from __future__ import annotations

import json
from importlib import import_module
from random import Random
from typing import Any

SIZE = 400
SHORT = {
    "Cls": "classification",
    "Loc": "localisation",
    "Both": "both",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
}
EXPECTED = {
    0: {
        "classification": 0.07975521854850044,
        "localisation": 0.12283609500993933,
        "both": 0.014250992696190394,
        "duplicate": 0.01007258542766813,
        "background": 0.04114980522229601,
        "missed": 0.1064768895742094,
    },
    1: {
        "classification": 0.09423248657052583,
        "localisation": 0.12442823380866869,
        "both": 0.01796371132058404,
        "duplicate": 0.010569532467042252,
        "background": 0.014408546898531398,
        "missed": 0.1264929436509771,
    },
}
"""By seed. Of every kind there are 37 errors or more."""


def draw(seed: int, images: int = 60) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return predictions and annotations in COCO's formats.

    Every image has a grid of places with at most one object each, so that what happens at one does not depend on the
    others. Some images have no object, some no prediction, one more than 100 predictions. No two scores are equal.
    """
    random = Random(seed)
    annotations, predictions = [], []

    def predict(image: int, category: int, box: list[float], score: float) -> None:
        predictions.append({"image_id": image, "category_id": category, "bbox": box, "score": score})

    for image in range(1, images + 1):
        for place in range(0 if image % 15 == 0 else 9):
            width, height = random.uniform(20, 60), random.uniform(20, 60)
            box = [place % 3 * 130 + random.uniform(5, 30), place // 3 * 130 + random.uniform(5, 30), width, height]
            category = random.choice((1, 1, 1, 2, 3, 3))
            crowd = random.random() < 0.05
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": category, "bbox": box}
                | {"area": width * height, "iscrowd": int(crowd)}
            )
            if image % 20 == 7:
                continue
            other = random.choice([name for name in (1, 2, 3) if name != category])
            near = moved(box, random.uniform(0, 0.15))
            off = moved(box, random.uniform(0.4, 0.75))
            what = random.random()
            if what < 0.6:
                predict(image, category, near, random.uniform(0.3, 1))
            if what < 0.1:
                predict(image, category, moved(box, 0.05), random.uniform(0.1, 1))
            if 0.1 < what < 0.2 or 0.6 < what < 0.7:
                predict(image, other, near, random.uniform(0.05, 0.9))
            if 0.2 < what < 0.3 or 0.65 < what < 0.8:
                predict(image, category, off, random.uniform(0.05, 0.9))
            if 0.3 < what < 0.4:
                predict(image, other, off, random.uniform(0.05, 0.9))
            if 0.4 < what < 0.5:
                predict(image, category, moved(box, 1.6), random.uniform(0.05, 0.9))
        for _ in range(110 if image == 5 else 1 if image % 15 == 0 else 0):
            corner = [random.uniform(0, SIZE - 20), random.uniform(0, SIZE - 20), 20.0, 20.0]
            predict(image, random.choice((1, 2, 3)), corner, random.uniform(0.001, 0.6))
    random.shuffle(predictions)
    dataset = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": SIZE, "height": SIZE}
            for number in range(1, images + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": f"class {number}"} for number in (1, 2, 3)],
    }
    return predictions, dataset


def moved(box: list[float], share: float) -> list[float]:
    """Return a box that is moved to the right by a share of its width."""
    return [box[0] + share * box[2], *box[1:]]


def main() -> None:
    """Print what ``tidecv`` computes."""
    tidecv = import_module("tidecv")
    printed = {}
    for seed in (0, 1):
        predictions, dataset = draw(seed)
        truth, found = tidecv.Data("truth"), tidecv.Data("found")
        for image in dataset["images"]:
            truth.add_image(image["id"], image["file_name"])
        for entry in dataset["annotations"]:
            add = truth.add_ignore_region if entry["iscrowd"] else truth.add_ground_truth
            add(entry["image_id"], entry["category_id"], entry["bbox"])
        for entry in predictions:
            found.add_detection(entry["image_id"], entry["category_id"], entry["score"], entry["bbox"])
        tide = tidecv.TIDE()
        run = tide.evaluate(truth, found, mode=tidecv.TIDE.BOX)
        printed[seed] = {SHORT[kind.short_name]: gain / 100 for kind, gain in run.fix_main_errors().items()}
        counts = {SHORT[kind.short_name]: count for kind, count in run.count_errors().items()}
        print(seed, "number of errors:", json.dumps(counts))
    print(json.dumps(printed, indent=4))


if __name__ == "__main__":
    main()
