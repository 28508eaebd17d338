"""The look at the first boxes that a loss gets: what it says, what it costs, and that it ends."""

import copy
import pickle
import re
import warnings

import pytest
import torch
from cases import one_per_class
from cases.compiler import Counting, fresh_compiler  # noqa: F401  the fixture
from torch import nn

import mmdet_losses
from mmdet_losses.modules import look
from mmdet_losses.modules.defined import OF_THE_ORIGINAL

# The members of a sum look for themselves.
BOX_CASES = [case for case in one_per_class() if case.build().boxes and case.name != "SumLoss"]
SPOKEN = "takes boxes"


def boxes(n):
    corner = torch.rand(n, 2) * 100
    return torch.cat([corner, corner + torch.rand(n, 2) * 50 + 1], 1)


def centres(n):
    """(cx, cy, w, h) as parts of the image."""
    size = torch.rand(n, 2) * 0.3
    return torch.cat([size / 2 + torch.rand(n, 2) * (1 - size), size], 1)


NO_BOXES = {
    "deltas": lambda n: torch.randn(n, 4),
    "centres": centres,
    "x, y, w, h": lambda n: torch.cat([torch.rand(n, 2) * 500 + 50, torch.rand(n, 2) * 50], 1),
    "distances": lambda n: torch.rand(n, 4) * 30,
}


def call(loss, target, weight=None):
    return loss(boxes(len(target)).requires_grad_(), target, weight)


def is_gone(loss):
    """Whether torch calls forward at once, as it does for a module that never had a hook."""
    plain = nn.Identity()
    hooks = [name for name in vars(plain) if "hooks" in name]
    assert len(hooks) > 6
    return all(getattr(loss, name) == getattr(plain, name) for name in hooks) and "forward" not in vars(loss)


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{SPOKEN}")
        yield


@pytest.mark.parametrize("case", BOX_CASES, ids=lambda case: case.id)
@pytest.mark.parametrize("what", NO_BOXES)
def test_what_is_no_box_is_spoken_of_once(case, what):
    loss = case.build()
    with pytest.warns(UserWarning, match=SPOKEN) as said:
        for _ in range(3 * look.CALLS):
            call(loss, NO_BOXES[what](6))
    (message,) = [str(one.message) for one in said if SPOKEN in str(one.message)]
    assert re.match(rf"{type(loss).__name__} takes boxes \(x1, y1, x2, y2\), but of (18|24) targets", message)
    assert re.search("first [34] training calls", message)
    assert "reg_decoded_bbox=True" in message
    assert "loss_iou" in message
    assert "L1Loss" in message
    assert is_gone(loss)


def test_the_numbers_are_counted():
    loss = mmdet_losses.CIoULoss()
    target = torch.cat([NO_BOXES["x, y, w, h"](20), boxes(5)])
    weight = torch.ones(25)
    weight[[0, 1, 24]] = 0
    with pytest.warns(UserWarning, match=r"of 22 targets .* first 1 training calls, 18 have no area"):
        call(loss, target, weight)


def test_few_bad_targets_are_enough_at_the_end():
    loss = mmdet_losses.CIoULoss()
    call(loss, NO_BOXES["x, y, w, h"](4))
    with pytest.warns(UserWarning, match="of 4 targets .* first 16 training calls, 4 have no area"):
        for _ in range(look.CALLS):
            call(loss, boxes(3), torch.zeros(3))
    assert is_gone(loss)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("case", BOX_CASES, ids=lambda case: case.id)
def test_boxes_are_not_spoken_of_and_nothing_is_left(case):
    """Not anchors of weight 0 with a target of zeros, not points, not a few bad boxes."""
    loss = case.build()
    fresh = copy.deepcopy(loss)
    for number in range(look.CALLS):
        target = boxes(8)
        target[0, 2:] = target[0, :2]  # without an area
        if number < 3:
            target[1] = torch.tensor([5.0, 5, 2, 2])  # an error of the data
        assert not is_gone(loss)
        call(loss, torch.cat([target, -torch.rand(40, 4).cumsum(1)]), torch.cat([torch.ones(8), torch.zeros(40)]))
    assert is_gone(loss)
    assert vars(loss).keys() - set(OF_THE_ORIGINAL) == vars(fresh).keys()


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("zeros", [torch.zeros(50, 4), torch.full((50, 4), 7.0)], ids=["zeros", "points"])
def test_targets_without_an_area_are_boxes(zeros):
    loss = mmdet_losses.GIoULoss()
    for _ in range(look.CALLS):
        call(loss, zeros)
    assert is_gone(loss)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("form", ["option", "override"])
def test_unreduced_values_without_weights_are_not_looked_at(form):
    """Their caller may mask them."""
    loss = mmdet_losses.GIoULoss(reduction="none" if form == "option" else "mean")
    override = None if form == "option" else "none"
    for _ in range(2 * look.CALLS):
        loss(boxes(9), NO_BOXES["x, y, w, h"](9), reduction_override=override)
    assert is_gone(loss)


def test_zeros_of_a_weight_other_than_0_are_no_boxes():
    """The first proposals of a two-stage detector are the objects themselves, whose deltas are 0."""
    with pytest.warns(UserWarning, match="or are all zeros"):
        call(mmdet_losses.CIoULoss(), torch.zeros(20, 4), torch.ones(20))


@pytest.mark.usefixtures("silent")
def test_one_bad_target_is_not_spoken_of():
    loss = mmdet_losses.GIoULoss()
    call(loss, torch.tensor([[5.0, 5, 2, 2]]))
    for _ in range(look.CALLS):
        call(loss, boxes(1), torch.zeros(1))
    assert is_gone(loss)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("how", ["eval", "no_grad"])
def test_only_training_is_looked_at(how):
    loss = mmdet_losses.CIoULoss().train(how != "eval")
    with torch.set_grad_enabled(how != "no_grad"):
        for _ in range(2 * look.CALLS):
            loss(boxes(9), torch.randn(9, 4))
    assert not is_gone(loss)


@pytest.mark.parametrize("form", [(9,), (9, 1), (9, 4)])
def test_forms_of_weight_and_keywords(form):
    loss = mmdet_losses.CIoULoss()
    target, weight = torch.cat([NO_BOXES["x, y, w, h"](3), boxes(6)]), torch.zeros(form)
    weight[:3] = 1
    with pytest.warns(UserWarning, match="of 18 targets"):
        for _ in range(6):
            loss(pred=boxes(9).requires_grad_(), target=target, weight=weight, avg_factor=3.0)


@pytest.mark.parametrize(
    ("target", "weight", "message"),
    [
        (torch.zeros(3, 5), None, "target must have the shape of pred"),
        ([1.0], None, "target must be a tensor"),
        (torch.zeros(3, 4), torch.ones(2), "weight must have shape"),
        (torch.zeros(3, 4), 0.5, "weight must be a tensor"),
    ],
)
def test_bad_arguments_end_in_the_errors_of_the_loss(target, weight, message):
    with pytest.raises(ValueError, match=message):
        mmdet_losses.CIoULoss()(torch.zeros(3, 4), target, weight)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_copies_and_pickles_look_on(copied):
    loss = mmdet_losses.CIoULoss()
    call(loss, NO_BOXES["x, y, w, h"](6))
    other = copied(loss)
    hook = next(iter(other._forward_pre_hooks.values()))
    assert hook.left == look.CALLS - 1
    with pytest.warns(UserWarning, match="first 3 training calls"):
        for _ in range(2):
            call(other, NO_BOXES["x, y, w, h"](6))
    assert is_gone(other)
    assert not is_gone(loss)
    for _ in range(look.CALLS):
        call(loss, boxes(9))
    assert is_gone(loss)
    assert is_gone(copied(loss))


@pytest.mark.usefixtures("silent")
def test_transforms_are_not_looked_at():
    loss = mmdet_losses.CIoULoss()
    gradient = torch.func.grad(lambda pred, target: loss(pred, target))
    torch.vmap(gradient)(torch.rand(3, 9, 4), torch.randn(3, 9, 4))
    loss(boxes(9).to("meta").requires_grad_(), torch.randn(9, 4, device="meta"))
    assert next(iter(loss._forward_pre_hooks.values())).weighted == 0


# ---- the compiler ----


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.loss_bbox = mmdet_losses.CIoULoss()

    def forward(self, pred, target, weight):
        return self.loss_bbox(pred * 1.5, target, weight=weight, avg_factor=3.0)


@pytest.mark.compiler
@pytest.mark.usefixtures("fresh_compiler", "silent")
@pytest.mark.parametrize("ended", [False, True], ids=["looking", "ended"])
def test_a_compiled_head_is_one_graph_and_does_not_look(ended):
    head, backend = Head(), Counting()
    if ended:
        for _ in range(look.CALLS):
            head(boxes(5).requires_grad_(), boxes(5), torch.ones(5))
    compiled = torch.compile(head, fullgraph=True, dynamic=True, backend=backend)
    for n in [5, 7, 9, 5] * look.CALLS:
        compiled(boxes(n).requires_grad_(), torch.randn(n, 4), torch.ones(n))
    assert backend.graphs == 1
    assert is_gone(head.loss_bbox) is ended


# ---- a GPU, played ----


class OnGPU:
    """Counts on a GPU: reading them would wait."""

    is_cuda = True
    device = "cuda:0"

    def __init__(self, counts):
        self.counts = counts

    def __add__(self, other):
        return OnGPU(self.counts + other.counts)


class Event:
    """Passes when the test says so."""

    passed = False

    def query(self):
        return Event.passed


@pytest.fixture
def gpu(monkeypatch):
    """Counts are made on a GPU; the copies that were begun."""
    sent, real = [], look.count

    def send(counts):
        sent.append(counts.counts.clone())
        return sent[-1], Event()

    monkeypatch.setattr(look, "count", lambda target, weight: OnGPU(real(target, weight)))
    monkeypatch.setattr(look, "send", send)
    monkeypatch.setattr(Event, "passed", False)
    return sent


def test_counts_of_a_gpu_are_read_in_a_later_call_when_they_have_arrived(gpu, monkeypatch):
    loss = mmdet_losses.CIoULoss()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(10):
            call(loss, NO_BOXES["x, y, w, h"](6))
    assert [counts.tolist() for counts in gpu] == [[1, 6, 6]]  # nine more calls wait
    monkeypatch.setattr(Event, "passed", True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(loss, boxes(3))  # the first copy is read: too few; the next one begins
    assert gpu[-1].tolist() == [10, 57, 54]
    with pytest.warns(UserWarning, match="of 63 targets .* first 11 training calls, 60 have no area"):
        call(loss, boxes(3))
    assert is_gone(loss)


@pytest.mark.usefixtures("silent")
def test_on_a_gpu_nothing_is_left_either(gpu, monkeypatch):
    loss = mmdet_losses.CIoULoss()
    for _ in range(look.CALLS + 5):
        call(loss, boxes(3))
    assert not is_gone(loss)
    monkeypatch.setattr(Event, "passed", True)
    for _ in range(3):
        call(loss, boxes(3))
    assert is_gone(loss)
    assert sum(counts[0] for counts in gpu) == look.CALLS  # the later ones were not counted


def test_copies_leave_what_is_on_its_way(gpu):
    loss = mmdet_losses.CIoULoss()
    for _ in range(3):
        call(loss, boxes(3))
    hook = next(iter(copy.deepcopy(loss)._forward_pre_hooks.values()))
    assert (hook.pending, hook.gathered, hook.left) == (None, None, look.CALLS - 3)
    pickle.dumps(loss)
