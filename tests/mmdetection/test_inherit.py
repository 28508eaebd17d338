"""Losses that replace one of MMDetection's are instances of it, and nothing of it runs."""

import copy
import pickle

import pytest
import torch
from cases import CASES
from cases.compiler import Counting, fresh_compiler  # noqa: F401  the fixture
from cases.embeddings import TRIPLET_CASE
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from processes import run_forks
from torch import nn

import mmdet_losses as ml
from mmdet_losses import registry
from mmdet_losses.inherit import inherit

REPLACED = sorted(registry.STOCK)
CASE = {case.name: case for case in reversed([*CASES, TRIPLET_CASE])}
CORNERS = "AssociativeEmbeddingLoss"


def build(name):
    return MODELS.build(dict(type=name, **(CASE[name].options if name in CASE else {})))


def inputs(name):
    """The prediction, and the other arguments."""
    if name == CORNERS:
        maps = torch.randn(2, 1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
        return maps[0], (maps[1], [[[[0, 0], [1, 2]], [[1, 1], [2, 2]]]])
    pred, target = CASE[name].batch()
    return pred, (target,)


def lines_of(own):
    """MMDetection's class and what it brings along."""
    return [base for base in own.__mro__ if base not in nn.Module.__mro__]


@pytest.mark.parametrize("name", REPLACED)
def test_there_is_one_class_and_it_passes_for_mmdetections(name):
    loss, own = registry.LOSSES[name], registry.stock(name)
    assert loss is getattr(ml, name) is getattr(ml.modules, name) is ml.CATALOGUE[name] is MODELS.get(name)
    assert own.__module__.startswith("mmdet.")
    built = build(name)
    assert type(built) is loss and isinstance(built, own) and issubclass(loss, own)
    assert not issubclass(own, loss)
    assert loss.__name__ == name == loss.__qualname__ and loss.__module__.startswith("mmdet_losses.modules.")
    # pickles of the first version name the class of that time, in the registry
    if name in ("QualityFocalLoss", "SmoothL1Loss"):
        assert pickle.loads(f"cmmdet_losses.registry\n{name}\n.".encode()) is loss


@pytest.mark.parametrize("name", REPLACED)
def test_copies_and_pickles(name):
    loss = build(name)
    for other in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert type(other) is type(loss) and repr(other) == repr(loss)
        assert other.state_dict().keys() == loss.state_dict().keys()
        assert {key: value for key, value in vars(other).items() if key in loss.option_names()} == {
            key: value for key, value in vars(loss).items() if key in loss.option_names()
        }


@pytest.mark.parametrize("name", REPLACED)
def test_nothing_of_mmdetections_class_runs(name, monkeypatch):
    """Each of its functions raises, and the loss is built, called, shown and differentiated."""

    def raising(*args, **kwargs):
        raise AssertionError("MMDetection's own code runs")

    for base in lines_of(registry.stock(name)):
        for key, value in list(vars(base).items()):
            if callable(value):
                monkeypatch.setattr(base, key, raising)
    loss = build(name)
    pred, others = inputs(name)
    pred = pred.requires_grad_()
    value = loss(pred, *others)
    value = sum(value.values() if isinstance(value, dict) else value) if isinstance(value, dict | tuple) else value
    value.backward()
    assert pred.grad.isfinite().all() and repr(loss)
    with pytest.raises(AssertionError, match="own code runs"):
        registry.stock(name)()


@pytest.mark.parametrize("name", REPLACED)
def test_every_attribute_is_this_package_s_or_torchs(name):
    loss, built = registry.LOSSES[name], build(name)
    for key in {key for base in lines_of(registry.stock(name)) for key in vars(base)}:
        for holder in (loss, built):
            found = getattr(holder, key, None)
            assert not getattr(found, "__module__", "").startswith(("mmdet.", "mmengine.")), key


@pytest.mark.compiler
@pytest.mark.parametrize("name", REPLACED)
@pytest.mark.usefixtures("fresh_compiler")
def test_one_graph(name):
    loss, backend = build(name), Counting()
    assert isinstance(loss, registry.stock(name))
    pred, others = inputs(name)
    value = torch.compile(loss, fullgraph=True, backend=backend)(pred, *others)
    torch.testing.assert_close(value, loss(pred, *others), rtol=1e-5, atol=1e-7)
    assert backend.graphs == 1


@pytest.mark.parametrize("name", REPLACED)
def test_a_head_initialises_its_weights(name):
    head = BaseModule(init_cfg=dict(type="Normal", layer="Linear"))
    head.fc, head.loss_cls = nn.Linear(2, 2), build(name)
    head.init_weights()
    assert head.is_init and "_params_init_info" not in vars(head.loss_cls)


def test_varifocal_loss_is_no_quality_focal_loss():
    """GroundingDINO's head refuses those."""
    assert not isinstance(build("VarifocalLoss"), registry.stock("QualityFocalLoss"))
    assert not isinstance(MODELS.build(dict(type="VariFocalLoss")), registry.stock("QualityFocalLoss"))
    assert isinstance(MODELS.build(dict(type="VariFocalLoss")), registry.stock("VarifocalLoss"))


def test_the_classes_of_this_package_are_to_each_other_what_they_were():
    run_forks(
        """
        import mmdet_losses as ml
        losses = [cls for cls in vars(ml).values() if isinstance(cls, type) and issubclass(cls, ml.Loss)]
        before = {(a, b) for a in losses for b in losses if issubclass(a, b)}
        assert (ml.FocalEIoULoss, ml.EIoULoss) in before and len(before) > len(losses) > 50
        import mmdet.models
        assert {(a, b) for a in losses for b in losses if issubclass(a, b)} == before
        assert issubclass(ml.FocalEIoULoss, mmdet.models.losses.EIoULoss)
        """
    )


def test_a_class_of_mmdetections_that_is_a_base_module():
    """By a loss of one's own in its place: ``init_weights`` does nothing, and construction skips BaseModule's."""
    run_forks(
        """
        import pickle, sys, torch
        import mmdet_losses as ml
        from mmengine.model import BaseModule
        from torch import nn

        @ml.register_loss(force=True)
        class L2Loss(ml.MSELoss):
            pass

        @ml.register_loss(force=True)
        class TripletLoss(ml.Loss, nn.Module):
            pass

        sys.modules["__main__"].L2Loss, L2Loss.__module__ = L2Loss, "__main__"
        before = L2Loss()
        assert not isinstance(before, BaseModule)  # which BaseModule, an ABC, remembers
        from mmdet.models.losses import L2Loss as Own, MSELoss, TripletLoss as OwnTriplet
        from mmdet.registry import MODELS
        assert issubclass(Own, BaseModule) and issubclass(TripletLoss, OwnTriplet)
        head = BaseModule()
        head.one, head.two, head.three = before, MODELS.build(dict(type="L2Loss")), ml.MSELoss()
        for loss in (head.one, head.two, pickle.loads(pickle.dumps(before))):
            assert type(loss) is L2Loss and all(isinstance(loss, cls) for cls in (Own, BaseModule, MSELoss))
            loss.init_weights()
            assert "_is_init" not in vars(loss) and repr(loss).startswith("L2Loss(")
        head.init_weights()
        assert loss(torch.ones(2, 4), torch.zeros(2, 4)) == 1.0
        """
    )


class Theirs(nn.Module):
    def __init__(self):
        raise AssertionError

    def theirs(self):
        raise AssertionError

    def shared(self):
        raise AssertionError


class Mixin(nn.Module):
    def __init__(self):
        super().__init__()
        self.ready = True

    def shared(self):
        return "mixin"


def test_what_a_subclass_mixes_in_behind_a_loss_is_reached():
    class Ours(ml.Loss):
        pass

    class Mixed(Ours, Mixin):
        pass

    inherit(Ours, Theirs)
    loss = Mixed()
    assert isinstance(loss, Theirs) and loss.ready and loss.shared() == "mixin"
    assert not hasattr(loss, "theirs") and not hasattr(Mixed, "theirs")
    loss.register_buffer("theirs", torch.ones(1))
    assert loss.theirs == 1
