"""What is said where a config gets another loss than MMDetection builds from it, and whether it is true."""

import logging
import re

import mmdet.models
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.config.lazy import LazyObject
from mmengine.registry import MODELS as ROOT

import mmdet_losses
from mmdet_losses import changed_meaning, exchange
from mmdet_losses.registry import stock, stock_losses

NAMES = ("CIoULoss", "EIoULoss", "SIoULoss")
CHOSEN = {
    "CIoULoss": [dict(alpha_gate=None), dict(alpha_gate=0.5)],
    "EIoULoss": [dict(type="EfficientIoULoss"), dict(type="mmdet.EfficientIoULoss")],
    "SIoULoss": [dict(neg_gamma=True)],
}
WAYS_BACK = [
    ("CIoULoss", dict(alpha_gate=0.5), "MMDetection's: alpha_gate=0.5,"),
    ("EIoULoss", dict(type="ExtendedIoULoss"), 'MMDetection\'s: type="ExtendedIoULoss",'),
    ("SIoULoss", None, 'MMDetection\'s own class: type="mmdet_losses.stock.SIoULoss".'),
]


@pytest.fixture
def lines(lines_at_info):
    changed_meaning.tell.cache_clear()
    return lines_at_info


def as_config(**options):
    return Config(options)


def pairs():
    """Boxes that overlap by little and by much, in float64."""
    target = torch.rand(400, 4, dtype=torch.float64).cumsum(1) * 100
    shift = torch.randn_like(target) * torch.linspace(1, 40, 400)[:, None]
    return torch.cat([target[:, :2] + shift[:, :2], target[:, 2:] + shift[:, 2:].abs() + 90], 1), target


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scope", ["", "mmdet."])
def test_one_line_at_info_the_first_time(name, scope, lines):
    config = dict(type=scope + name, loss_weight=2.0)
    for _ in range(2):
        assert type(MODELS.build(config)).__module__.startswith("mmdet_losses.")
        MODELS.build(dict(type="FCOSHead", num_classes=2, in_channels=8, loss_bbox=config))
    ((line, level),) = lines
    assert level == logging.INFO
    assert line.startswith(f'type="{name}" ') and "\n" not in line
    assert f'type="mmdet_losses.stock.{name}"' in line
    if scope:
        ROOT.build(ConfigDict(config))
    assert len(lines) == 1


@pytest.mark.parametrize("name", NAMES)
def test_no_line_where_the_config_chooses(name, lines):
    for chosen in (*CHOSEN[name], dict(type=f"mmdet_losses.{name}"), dict(type=getattr(mmdet_losses, name))):
        assert type(MODELS.build({"type": name, **chosen})) is getattr(mmdet_losses, name)
    with stock_losses():
        assert type(MODELS.build(dict(type=name))) is stock(name)
    assert not lines


@pytest.mark.parametrize("name", NAMES)
def test_the_class_of_mmdetection_by_path_or_object(name, lines):
    """Whatever is built first says it; the exchange of the class has a line of its own."""
    configs = [make(type=kind) for kind in (stock(name), f"mmdet.models.losses.{name}") for make in (dict, as_config)]
    for config in (*configs, ConfigDict(type=LazyObject("mmdet.models.losses.iou_loss", name))):
        changed_meaning.tell.cache_clear()
        exchange.TOLD.clear()
        lines.clear()
        for _ in range(2):
            assert type(MODELS.build(config)) is getattr(mmdet_losses, name)
        exchanged, changed = sorted(lines)
        assert exchanged[0].startswith(f"MMDetection's {name}, named by its class,")
        assert changed[0].startswith(f'type="{name}" ')
    MODELS.build(dict(type=name))
    assert len(lines) == 2


@pytest.mark.parametrize("name", [name for name in NAMES if changed_meaning.CHANGED[name][0]])
def test_the_class_with_the_option_that_chooses(name, lines):
    for option in CHOSEN[name]:
        assert type(MODELS.build({"type": stock(name), **option})) is getattr(mmdet_losses, name)
    assert not [line for line, _ in lines if line.startswith("type=")]


@pytest.mark.parametrize("name", NAMES)
def test_mmdetection_s_own_class_as_the_line_names_it(name, lines):
    MODELS.build(Config(dict(type=name)))
    ((line, _),) = lines
    (kind,) = re.findall(r'type="(mmdet_losses\.stock\.[^"]+)"', line)
    assert (
        type(MODELS.build(dict(type=kind))) is type(ROOT.build(dict(type=kind))) is getattr(mmdet.models.losses, name)
    )
    assert len(lines) == 1


def test_other_losses_and_subclasses_say_nothing(lines):
    class Mine(mmdet_losses.CIoULoss):
        pass

    Mine.__name__ = "CIoULoss"
    changed_meaning.tell_changed_meaning(dict(type="CIoULoss"), Mine)
    for name in ("GIoULoss", "DIoULoss", "FocalEIoULoss", "ExtendedIoULoss", "FocalLoss"):
        MODELS.build(dict(type=name))
    assert not lines


@pytest.mark.parametrize(("name", "option", "text"), WAYS_BACK)
def test_the_way_back_is_one(name, option, text, lines):
    """The loss is another, and what the line gives as MMDetection's is MMDetection's."""
    pred, target = pairs()
    theirs = stock(name)(reduction="none")(pred, target)
    ours = MODELS.build(dict(type=name))(pred, target, reduction_override="none")
    assert not torch.allclose(ours, theirs, rtol=1e-3)
    if option:
        back = MODELS.build({"type": name, **option})(pred, target, reduction_override="none")
        torch.testing.assert_close(back, theirs, rtol=1e-4, atol=1e-6)
    ((line, _),) = lines
    assert text in line


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_to_silence_the_line_keeps_the_loss(name, lines):
    pred, target = pairs()
    ours = MODELS.build(dict(type=name))(pred, target)
    ((line, _),) = lines
    changed_meaning.tell.cache_clear()
    for options in CHOSEN[name][:1]:
        torch.testing.assert_close(MODELS.build({"type": name, **options})(pred, target), ours)
        assert line.endswith(f"This one without this line: {', '.join(written(*one) for one in options.items())}.")
    assert len(lines) == 1


def written(key, value):
    return f'{key}="{value}"' if isinstance(value, str) else f"{key}={value}"
