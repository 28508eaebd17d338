"""Every loss says what it is good at and what it is bad at."""

import re
from pathlib import Path

import pytest
from loss_pages.notes import NOTES

from mmdet_losses.registry import LOSSES

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
CLASSES = {loss.__name__ for loss in LOSSES.values()}


def test_every_loss_has_a_note_and_every_note_a_loss():
    """The note of a loss that is not released yet may come with the release."""
    unreleased = CHANGELOG.read_text().partition("\n## Unreleased")[2].partition("\n## ")[0]
    assert set(NOTES) <= CLASSES
    assert {name for name in CLASSES - set(NOTES) if f"`{name}`" not in unreleased} == set()


@pytest.mark.parametrize("name", sorted(NOTES))
def test_note_is_short_and_names_what_exists(name):
    note = NOTES[name]
    for text in (note.good, note.bad):
        assert 20 < len(text) < 300, len(text)
        assert text.endswith(".")
        assert re.search(r"\s{2}|`", text) is None, "one line of plain text"
        # classes and options that it names
        for word in re.findall(r"\b[A-Z]\w*Loss\b", text):
            assert word in LOSSES, word
        for option in re.findall(r"\b(\w+)=", text):
            known = {name for loss in LOSSES.values() for name in loss.options()}
            assert option in known | {"loss_bbox_type"}, option
    assert note.good != note.bad
