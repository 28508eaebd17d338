"""COCO-format data sets of the bundled configs, registered in MMDetection's ``DATASETS``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.logging import MMLogger
from mmengine.utils import track_iter_progress

from .drawings import CLASSES, ShapesSpec, ensure_shapes


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """``CocoDataset`` that reports missing files, class names that do not match, and dropped boxes.

    MMDetection silently drops boxes under one pixel wide or high, trains without boxes where no class name matches, and
    shows wrong names where their order differs from the file's. Here the number of dropped boxes is logged, and a
    missing file or a wrong class name is an error that says what to do. The boxes that remain are MMDetection's.
    """

    HINT: ClassVar[str] = (
        "Set data_root, ann_file and data_prefix in the config's datasets, or pass --cfg-options data_root=DIR."
    )

    def load_data_list(self) -> list[dict]:
        """Check the files, load the annotations, and log how many were dropped."""
        self.check_files()
        self.annotations_seen = 0
        data_list = super().load_data_list()
        dropped = self.annotations_seen - sum(len(data_info["instances"]) for data_info in data_list)
        if dropped:
            MMLogger.get_current_instance().info(
                f"{self.ann_file}: dropped {dropped} of {self.annotations_seen} annotations, which have no area "
                "inside their image (under one pixel wide or high, or outside) or are marked as ignored."
            )
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Parse an image as MMDetection does, and count its annotations of known classes."""
        self.check_classes()
        annotations = raw_data_info["raw_ann_info"]
        self.annotations_seen += sum(ann["category_id"] in self.cat_ids for ann in annotations)
        return super().parse_data_info(raw_data_info)

    def check_classes(self) -> None:
        """Raise where the class names are not the file's, in its order, by which MMDetection numbers them."""
        names = [self.coco.cats[cat_id]["name"] for cat_id in self.cat_ids]
        if names != list(self.metainfo["classes"]):
            raise ValueError(
                f"metainfo.classes of {type(self).__name__}: expected category names of {self.ann_file} in "
                f"its order, which is {[cat['name'] for cat in self.coco.cats.values()]}, got "
                f"{list(self.metainfo['classes'])}. Set metainfo=dict(classes=(...)) in every dataset."
            )

    def check_files(self) -> None:
        """Raise where the annotation file or the folder of images is missing."""
        for path in (self.ann_file, self.data_prefix.get("img")):
            if path and "://" not in path and not Path(path).exists():
                raise FileNotFoundError(
                    f"{type(self).__name__}: {path} does not exist (looked in {Path(path).absolute()}). {self.HINT}"
                )


@DATASETS.register_module()
class BCCDDataset(CheckedCocoDataset):
    """Blood cells: 364 photographs of 640x480 pixels with 4888 boxes (Shenggan/BCCD_Dataset, MIT licence).

    ``data_root`` holds ``annotations/{train,val,test}.json`` and ``images/``, see ``docs/data.md``. One box each of
    train and val has zero size and is dropped.
    """

    METAINFO: ClassVar[dict] = {
        "classes": ("RBC", "WBC", "Platelets"),
        "palette": [(220, 20, 60), (119, 11, 200), (0, 160, 120)],
    }
    HINT: ClassVar[str] = (
        "To get the data (15 MB):\n"
        "    git clone https://github.com/Shenggan/BCCD_Dataset /tmp/BCCD_Dataset\n"
        "    tools/run python tools/dataset_converters/bccd.py /tmp/BCCD_Dataset data/bccd\n"
        "If you have it elsewhere, set the environment variable MMDET_LOSSES_BCCD=DIR or pass "
        "--cfg-options data_root=DIR."
    )


@DATASETS.register_module()
class ShapesDataset(CocoDataset):
    """Circles, rectangles and triangles, drawn at first use.

    The folder of ``ann_file`` is drawn where it is missing or was drawn with another ``spec``, so every split needs a
    folder of its own: ``ann_file='val/annotations.json'`` and ``data_prefix=dict(img='val/images/')``.

    Args:
        spec: Arguments of :class:`mmdet_losses.data.drawings.ShapesSpec`: ``num_images``, ``image_size``,
            ``num_objects``, ``object_size`` and ``seed``. Give each split its own ``seed``.
    """

    METAINFO: ClassVar[dict] = {
        "classes": CLASSES,
        "palette": [(220, 20, 60), (0, 160, 60), (30, 80, 220)],
    }

    def __init__(self, *args: Any, spec: dict | None = None, **kwargs: Any) -> None:
        self.spec = ShapesSpec(**(spec or {}))
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Draw the images where they are missing, and load the annotations."""
        ensure_shapes(
            Path(self.ann_file).parent,
            self.spec,
            progress=lambda indices: track_iter_progress(indices, file=sys.stderr),
            log=MMLogger.get_current_instance().info,
        )
        return super().load_data_list()
