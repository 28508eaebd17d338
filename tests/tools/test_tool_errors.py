"""One sentence of a tool names what an error began with, however often it was wrapped on its way."""

import os
import subprocess
import sys

import pytest
from command_line import ROOT
from loss_benchmark.run import failure
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, Registry
from tool_runtime import runtime
from tool_runtime.errors import ToolError, report_errors, root_cause, with_cause
from tool_runtime.preflight import check_losses, config_errors, use_stock_losses

QUICKSTART = ROOT / "configs/retinanet/retinanet_r18_fpn_giou_1xb4-4e_shapes.py"


def wrapped(*, explicit):
    """An error behind an error, as ``raise ... from`` and as a ``raise`` in a handler leave it."""
    try:
        try:
            import a_module_that_is_missing  # noqa: F401
        except ImportError as error:
            if explicit:
                raise ImportError("Failed to import the plugin") from error
            raise ImportError("Failed to import the plugin")  # noqa: B904
    except ImportError as error:
        return error


def message_of(capsys, error):
    """What a tool prints for an error that it was ended by."""
    with pytest.raises(SystemExit) as stop, report_errors("train"):
        raise error
    assert stop.value.code == 2
    return capsys.readouterr().err


def tool_error(message, cause):
    error = ToolError(message)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("explicit", [True, False])
def test_what_it_began_with_is_named(explicit, capsys):
    error = wrapped(explicit=explicit)
    assert isinstance(root_cause(error), ModuleNotFoundError)
    said = message_of(capsys, tool_error("config c.py cannot be read: ImportError: Failed to import", error))
    assert said.startswith("train: error: config c.py cannot be read")
    assert said.count("No module named 'a_module_that_is_missing'") == 1
    assert "ModuleNotFoundError" in said
    assert len(said.splitlines()) == 1


def test_nothing_is_added_where_nothing_is_behind_or_it_is_said(capsys):
    assert message_of(capsys, ToolError("a message")) == "train: error: a message\n"
    assert message_of(capsys, tool_error("an index", IndexError("list"))) == "train: error: an index\n"
    said = "it needs a_module_that_is_missing: No module named 'a_module_that_is_missing'"
    assert message_of(capsys, tool_error(said, wrapped(explicit=True))) == f"train: error: {said}\n"


def test_a_handled_error_is_no_cause(capsys):
    try:
        try:
            _ = {}["key"]
        except KeyError:
            raise ValueError("a value") from None
    except ValueError as error:
        assert root_cause(error) is error
        assert message_of(capsys, tool_error("a sentence", error)) == "train: error: a sentence\n"


def test_a_cause_without_words_and_a_circle():
    first, second = ValueError("first"), KeyboardInterrupt()
    first.__cause__ = second
    assert with_cause("told", first) == "told; it began with KeyboardInterrupt"
    second.__cause__ = first
    assert root_cause(first) is second


def test_only_the_first_line_is_added():
    error = ValueError("outer")
    error.__cause__ = RuntimeError("the first line\nand another")
    assert with_cause("told", error) == "told; it began with RuntimeError: the first line"
    assert failure(error) == "ValueError: outer; it began with RuntimeError: the first line"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A config whose ``custom_imports`` name a module that is there, and needs one that is not."""
    (tmp_path / "my_plugin.py").write_text("import a_dependency_that_is_missing\n")
    config = tmp_path / "config.py"
    imports = '["mmdet_losses", "my_plugin"]'
    config.write_text(
        f"_base_ = {str(QUICKSTART)!r}\ncustom_imports = dict(imports={imports}, allow_failed_imports=False)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return config


def test_custom_imports_that_fail_name_the_module_that_is_missing(plugin, capsys):
    try:
        runtime.read_config(str(plugin))
    except ToolError as error:
        said = message_of(capsys, error)
    assert str(plugin) in said
    assert "No module named 'a_dependency_that_is_missing'" in said


def test_custom_imports_of_a_module_that_is_missing_itself(plugin, capsys):
    plugin.write_text(plugin.read_text().replace("my_plugin", "my_absent_plugin"))
    try:
        runtime.read_config(str(plugin))
    except ToolError as error:
        said = message_of(capsys, error)
    assert "No module named 'my_absent_plugin'" in said


def test_a_loss_that_another_scope_does_not_know():
    """In another toolbox's scope its registry says what is unknown, not the list of MMDetection's names."""
    theirs = Registry("model", parent=MODELS, scope="their_scope")
    try:

        @theirs.register_module()
        class TheirOwnLoss:
            pass

        def cfg(name):
            return Config(dict(default_scope="their_scope", model=dict(head=dict(loss_bbox=dict(type=name)))))

        check_losses(cfg("TheirOwnLoss"))
        check_losses(cfg("mmdet_losses.CIoULoss"))
        with pytest.raises(ToolError, match=r'model.head.loss_bbox: CIoULoss is not in.*type="mmdet_losses.CIoULoss"'):
            check_losses(cfg("CIoULoss"))
        with pytest.raises(ToolError, match=r"unknown loss 'mmdet.CIoUUUULoss'"):
            check_losses(cfg("mmdet.CIoUUUULoss"))
        with (
            # whatever scope a test before this one left
            DefaultScope.overwrite_default_scope("their_scope"),
            pytest.raises(
                ToolError, match=r'their_scope::model\. It is a loss of mmdet_losses.*type="mmdet_losses.CIoULoss"'
            ),
            config_errors("config.py"),
        ):
            theirs.build(dict(type="CIoULoss"))
    finally:
        del MODELS.children["their_scope"]


def test_mmdetections_side_of_a_comparison_is_named_in_the_config():
    composite = dict(type="YOLOv4Loss", loss_box=dict(type="CIoULoss"))
    model = Config(dict(model=dict(head=dict(loss_cls=dict(type="FocalLoss", gamma=2.0), loss=composite)))).model
    use_stock_losses(model)
    assert model.head.loss_cls == dict(type="mmdet_losses.stock.FocalLoss", gamma=2.0)
    assert model.head.loss == composite
    use_stock_losses(model)
    assert model.head.loss_cls.type == "mmdet_losses.stock.FocalLoss"


@pytest.mark.parametrize("lines", [1, 100_000])
def test_output_that_nobody_reads_ends_without_a_word(lines):
    """As after ``| head``: what fits in a buffer fails when it is flushed, what does not when it is printed."""
    read, write = os.pipe()
    os.close(read)
    code = f"from tool_runtime.errors import report_errors\nwith report_errors('x'):\n    print('line\\n' * {lines})"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, cwd=ROOT / "tools")
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_another_broken_pipe_keeps_its_traceback():
    code = "from tool_runtime.errors import report_errors\nwith report_errors('x'):\n    raise BrokenPipeError('x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "tools")
    assert done.returncode == 1 and done.stderr.endswith("BrokenPipeError: x\n")
