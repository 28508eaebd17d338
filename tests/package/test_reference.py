"""docs/reference.md keeps every name, default, number and unit that it had before its sentences were rewritten."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"
EARLIER = json.loads(Path(__file__).with_name("reference_facts.json").read_text())
EXACT = {
    "PowerfulIoULoss": {"2.58": "2.573"},
    "SIoULoss": {"2.03": "2.024"},
    "ShapeIoULoss": {"3.28": "3.279"},
}
"""Bounds that the page also had rounded up, beside themselves."""
UNITS = ("any unit", "pixel", "stride", "deltas", "bins", "logits", "probabilities", "labels")


def facts(entry: str) -> dict[str, Any]:
    """Options with their defaults, aliases, numbers and units of an entry of the page."""
    options = re.findall(r"^- `(\w+)(?:=(.*?))?`:", entry, re.M)
    numbers = re.findall(r"(?<![\w.])\d+(?:\.\d+)*(?:e-?\d+)?(?!\w)", entry)
    return {
        "options": dict(options),
        "aliases": sorted(set(re.findall(r"`(\w+)`", " ".join(re.findall(r"Also registered as (.*)\.", entry))))),
        "modifiers": re.findall(r"^- the modifiers of the IoU family.*", entry, re.M),
        "papers": sorted(set(re.findall(r"https://[^\s,;)]+[^\s,;).]", entry))),
        "numbers": sorted(set(numbers)),
        "units": [unit for unit in UNITS if unit in entry],
    }


def parsed(page: str) -> dict[str, dict[str, Any]]:
    """Facts of each loss, and of what stands before the first."""
    introduction, *entries = re.split(r"^### ", page, flags=re.M)
    named = {"": introduction} | {name: text for name, _, text in (entry.partition("\n") for entry in entries)}
    return {name: facts(re.split(r"^## ", text, flags=re.M)[0]) for name, text in named.items()}


@pytest.fixture(scope="module")
def page() -> dict[str, dict[str, Any]]:
    return parsed(REFERENCE.read_text())


@pytest.mark.parametrize("name", EARLIER)
def test_what_the_page_said_is_still_there(page: dict[str, dict[str, Any]], name: str) -> None:
    """Where a fact changed on purpose, change it in ``reference_facts.json`` by hand."""
    found, before = page[name], EARLIER[name]
    assert found["options"] == before["options"]
    assert found["modifiers"] == before["modifiers"]
    for kind in ("aliases", "papers", "units"):
        assert set(before[kind]) <= set(found[kind]), kind
    exact = EXACT.get(name, {})
    assert {exact.get(number, number) for number in before["numbers"]} <= set(found["numbers"])


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("NWDLoss", "`constant=12.8`", "`constant=12.9`"),
        ("NWDLoss", "pixels", "metres"),
        ("NWDLoss", "`WassersteinLoss`", "`OtherLoss`"),
        ("NWDLoss", "2110.13389", "2110.13388"),
        ("BoundedIoULoss", "2.5e-8", "2.6e-8"),
        ("WIoULoss", "family, except", "family, with"),
    ],
)
def test_the_parser_sees_what_changes(name: str, old: str, new: str) -> None:
    entry = REFERENCE.read_text().partition(f"### {name}\n")[2].partition("\n### ")[0]
    assert old in entry
    assert facts(entry.replace(old, new)) != facts(entry)
