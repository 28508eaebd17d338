"""A loss that is named in text is read, never run."""

from __future__ import annotations

import pytest
from loss_views.choice import choose, choose_all, read, written
from tool_runtime.errors import ToolError

NESTED = "dict(type='SumLoss', losses=[dict(type='CIoULoss', loss_weight=0.5), dict(type='NWDLoss')])"


@pytest.mark.parametrize(
    "text, label",
    [
        ("CIoULoss", "CIoULoss"),
        ("mmdet_losses.CIoULoss", "CIoULoss"),
        ("dict(type='SIoULoss', power=3.0)", "SIoULoss(power=3.0)"),
        ("{'type': 'InnerIoULoss', 'focaler': (0.0, 0.95)}", "InnerIoULoss(focaler=(0.0, 0.95))"),
        (NESTED, NESTED.replace("dict(type='SumLoss', ", "SumLoss(")),
    ],
)
def test_names_and_lines_of_configs_are_read(text: str, label: str) -> None:
    chosen = choose(text)
    assert chosen.label == label
    assert choose(chosen.line) == chosen
    assert type(chosen.build(reduction="none")).__name__ == chosen.name


@pytest.mark.parametrize(
    "text, said",
    [
        ("CIOULoss", "did you mean CIoULoss"),
        ("dict(type='SIoULoss', powr=3.0)", "Did you mean 'power'?"),
        ("SeesawLoss(num_classes=3)", "a loss is a name or a line like"),
        ("__import__('os').system('true')", "cannot read"),
        ("dict(type='CIoULoss', **{'eps': 1})", "cannot read"),
        ("dict(type=open('/etc/passwd').read())", "cannot read"),
        ("[" * 5000, "cannot read"),
        ("3", "a loss is a name or a line like"),
        ("", "a loss is a name or a line like"),
        ("dict(eps=1.0)", "a loss is a name or a line like"),
    ],
)
def test_anything_else_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ToolError) as error:
        choose(text)
    assert said in str(error.value)


def test_each_once() -> None:
    assert [chosen.name for chosen in choose_all(["IoULoss", "GIoULoss", "dict(type='IoULoss')"])] == [
        "IoULoss",
        "GIoULoss",
    ]


@pytest.mark.parametrize("value", [(1.0,), [], {"a": [1, (2, "b")]}, None, True, -1.5])
def test_written_is_the_inverse_of_read(value: object) -> None:
    assert read(written(value)) == value
