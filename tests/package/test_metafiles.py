"""What the metafiles of the configs say: every config once, and the APs that the documentation has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").glob("[a-z]*/*.py"))
INDEX = yaml.safe_load((ROOT / "model-index.yml").read_text())["Import"]
FILES = {path: yaml.safe_load((ROOT / path).read_text()) for path in INDEX}
MODELS = {model["Name"]: model for file in FILES.values() for model in file["Models"]}
MEASURED = {
    name: [results["Metrics"][key] for results in model["Results"] for key in ("box AP", "box AP50")]
    for name, model in MODELS.items()
    if "Results" in model
}


def documented() -> dict[str, list[float]]:
    """Box AP and AP50 in percent, by config."""
    found = {}
    evidence = ROOT / "tools" / "evidence"
    for file in (*evidence.glob("stock-*.json"), *evidence.glob("photos-*.json")):
        kept = json.loads(file.read_text())
        metrics = [run["metrics"] for run in kept["runs"] if run["variant"] == "mmdet_losses"]
        found[Path(kept["settings"]["config"]).stem] = [
            100 * mean(each[key] for each in metrics) for key in ("bbox_mAP", "bbox_mAP_50")
        ]
    page = (ROOT / "docs" / "yolo" / "README.md").read_text()
    bccd, shapes = page.split("### On BCCD")[1].split("### On the drawn shapes")
    for line in bccd.split("The last three")[0].splitlines():
        if row := re.match(r"\| `(\w+[\w-]*)` \|.*\| ([\d.]+) \|.*\| ([\d.]+) \|$", line):
            found[f"{row[1]}_1xb4-12e_bccd"] = [100 * float(row[2]), 100 * float(row[3])]
    for line in shapes.split("## ")[0].splitlines():
        if row := re.match(r"\| `(\w+[\w-]*)` \|.*\| ([\d.]+) \| ([\d.]+) \|$", line):
            found[f"{row[1]}_1xb4-4e_shapes"] = [100 * float(row[2]), 100 * float(row[3])]
    for path in (ROOT / "configs" / "dino").glob("*_shapes.py"):
        first = path.read_text().partition("\n")[0]
        ap50, ap = re.search(r"AP50 (.*), mAP (.*), with seeds", first).groups()
        found[path.stem] = [100 * mean(map(float, numbers.split(" and "))) for numbers in (ap, ap50)]
    return found


def test_every_config_is_in_the_metafile_of_its_folder() -> None:
    listed = [model["Config"] for file in FILES.values() for model in file["Models"]]
    assert sorted(listed) == CONFIGS and len(CONFIGS) > 30
    for path, file in FILES.items():
        (collection,) = (one["Name"] for one in file["Collections"])
        for model in file["Models"]:
            assert Path(model["Config"]).parent == Path(path).parent
            assert (Path(model["Config"]).stem, model["In Collection"]) == (model["Name"], collection)


def test_the_aps_are_those_of_the_documentation() -> None:
    expected = documented()
    assert len(expected) == 20 and MEASURED.keys() == expected.keys()
    for name, values in expected.items():
        assert MEASURED[name] == pytest.approx(values, abs=0.05), name
