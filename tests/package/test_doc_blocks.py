"""Every block of Python and every command in README and docs is run, or read by the program that it is for."""

from __future__ import annotations

import argparse
import ast
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from doc_blocks import COMPILED, ELSEWHERE, ROOT, Block, Command, commands, python_blocks, why_compiled

import mmdet_losses
from mmdet_losses.__main__ import commands as known_commands
from mmdet_losses.registry import LOSSES

BLOCKS, COMMANDS = python_blocks(), commands()
CONFIG = "configs/retinanet/retinanet_r18_fpn_giou_1xb4-4e_shapes.py"
NOT_OURS = ("pip", "build", "git", "pytest", "ruff", "mim", "pre-commit", "twine", "true")
"""Programs whose options are not ours to check."""
BEFORE = {
    "docs/statistics.md": """
import torch
from mmdet_losses import WIoULoss
model = torch.nn.ModuleDict(dict(head=torch.nn.Linear(4, 4), loss=WIoULoss()))
criterion, optimizer = model["loss"], torch.optim.SGD(model.parameters(), lr=0.1)
pred, target = model["head"](torch.ones(3, 4)), torch.tensor([[0.0, 0, 5, 5]] * 3)
"""
}
"""What a page takes for granted, as it says."""


def test_exceptions_are_still_there() -> None:
    for page, first in COMPILED:
        assert [block for block in BLOCKS if block.page == page and block.first.startswith(first)], first
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert all(f"def {name}(" in tests for name in ELSEWHERE.values())


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.label)
def test_block_of_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(block.text, block.label, "exec")
    if why_compiled(block):
        imported = [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.ImportFrom)]
        ours = {alias.name for node in imported if node.module == "mmdet_losses" for alias in node.names}
        assert all(hasattr(mmdet_losses, name) for name in ours)
        return
    if re.search(r"\b(mmdet|mmengine|registry|_base_)\b", block.text):
        pytest.importorskip("mmdet", reason="the block needs MMDetection")
    monkeypatch.chdir(ROOT)
    if "_base_ =" in block.text:
        built_from(config_of(block, tmp_path))
        return
    space: dict[str, Any] = {"__name__": block.label}
    exec(BEFORE.get(block.page, ""), space)
    exec(code, space)
    values = shown_values(block.text)
    for expression, value in values:
        assert repr(eval(expression, space)) == value
    for name, value in list(space.items()):
        build_all(name, value)


def shown_values(text: str) -> list[tuple[str, str]]:
    """Expressions on a line of their own with the tensor that a comment says they are."""
    found = re.findall(r"^(\w[^#=\n]*\([^#\n]*\))  # (tensor\([^;\n]*?\))(?:;|$)", text, re.M)
    return [(expression, value) for expression, value in found]


def test_values_are_found() -> None:
    assert len([value for block in BLOCKS for value in shown_values(block.text)]) >= 5


def config_of(block: Block, folder: Path) -> Any:
    from mmengine.config import Config

    file = folder / "my_config.py"
    beside = {name: ROOT / "configs/retinanet" for name in re.findall(r'_base_ = "\./([\w.-]+)"', block.text)}
    text = block.text
    for name, place in beside.items():
        text = text.replace(f'"./{name}"', repr(str(place / name)))
    file.write_text(text)
    return Config.fromfile(file)


def built_from(config: Any) -> None:
    """The heads of a config, whose losses of boxes are those of this package."""
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    heads = (config.model if "bbox_head" in config.model else config.model.roi_head).bbox_head
    for one in heads if isinstance(heads, list) else [heads]:
        head = MODELS.build(one)
        assert type(head.loss_bbox) in LOSSES.values()


def build_all(name: str, value: Any) -> None:
    """Build every loss that stands under the name of a slot, with the options that the block gives it."""
    if not isinstance(value, dict) or name.startswith("__"):
        return
    if name.startswith("loss") and isinstance(value.get("type"), str):
        options = {key: item for key, item in value.items() if key not in ("type", "_delete_")}
        if ".stock." not in value["type"]:
            LOSSES[value["type"].rpartition(".")[2]](**options)
        return
    for key, item in value.items():
        build_all(str(key), item)


class Read(BaseException):
    """A parser has read its arguments; the tool goes no further."""


class Reader:
    """Stands for a parser's ``parse_args``, which raises for what it does not know, and for ``parse_known_args``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside = False
        for name in ("parse_args", "parse_known_args"):
            monkeypatch.setattr(argparse.ArgumentParser, name, self.stopping(getattr(argparse.ArgumentParser, name)))

    def stopping(self, read: Any) -> Any:
        def parse(parser: argparse.ArgumentParser, *args: Any, **options: Any) -> Any:
            if self.inside:  # parse_args calls the other, and looks at what that leaves
                return read(parser, *args, **options)
            self.inside = True
            read(parser, *args, **options)
            raise Read

        return parse


def is_other(command: Command) -> bool:
    """A program whose options are not ours to check, or a script of a bundle, which test_bundle.py runs."""
    program, *rest = command.words
    return program in NOT_OURS or program.endswith("setup.sh") or (rest[:1] == ["-m"] and rest[1] in NOT_OURS)


def tool_of(words: tuple[str, ...]) -> tuple[Path, list[str]]:
    """The tool that a command runs, and its arguments."""
    program, *rest = words
    if program == "env":
        return tool_of(tuple(word for word in rest if not re.fullmatch(r"[A-Z_]+=.*", word)))
    if program.endswith(("python", "PYTHON")) and rest[:1] != ["-m"]:
        return ROOT / rest[0], rest[1:]
    if rest[:2] == ["-m", "mmdet_losses"]:
        known = known_commands()
        (name,) = [name for name in known if name == rest[2]] or [name for name in known if name.startswith(rest[2])]
        return known[name], rest[3:]
    return ROOT / program, rest


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if not is_other(command)], ids=lambda command: " ".join(command.words)
)
def test_command_is_read_by_its_tool(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    tool, arguments = tool_of(command.words)
    assert tool.is_file(), tool
    if tool.suffix == ".sh":
        tool = {"dist_train.sh": ROOT / "tools/train.py", "dist_test.sh": ROOT / "tools/test.py"}.get(tool.name, tool)
        arguments = [word for word in arguments if not word.isdigit()]
    if tool.suffix != ".py":
        assert len(arguments) == 1
        return
    pytest.importorskip("mmdet", reason="the tools need MMDetection")
    if tool.name == "mutation.py":
        pytest.importorskip("mutmut", reason="the tool mutates with it")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [str(tool), *(CONFIG if word == "CONFIG" else word for word in arguments)])
    monkeypatch.syspath_prepend(str(tool.parent))
    Reader(monkeypatch)
    with mock.patch.dict(os.environ), pytest.raises(Read):
        runpy.run_path(str(tool), run_name="__main__")


def test_commands_are_found() -> None:
    """Nearly all are ours."""
    assert len([command for command in COMMANDS if not is_other(command)]) > 50
    assert len([command for command in COMMANDS if is_other(command)]) < 20
