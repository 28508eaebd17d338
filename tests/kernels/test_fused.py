"""The fused path: the numbers of the eager one, whatever comes before and after the loss."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest
import torch
from cases import CASES, map_target, over, run
from cases.compiler import SIZES, Counting
from torch import Tensor, nn

from mmdet_losses import (
    CATALOGUE,
    CIoULoss,
    CoordinateLoss,
    FocalLoss,
    IoUTypeLoss,
    L1Loss,
    OptionError,
    QualityFocalLoss,
    fuse_losses,
)
from mmdet_losses.functional import BoxPair, diou_terms
from mmdet_losses.kernels import generated, written

FUSIBLE = [case for case in CASES if case.build().fusible]


@pytest.fixture(autouse=True)
def counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """Compiled kernels that are traced, but run without the minutes that real ones take to be compiled."""
    if generated.TOO_OLD and "too_old" not in request.node.name:
        pytest.skip("torch.compile takes every loss from torch 2.4 on")
    torch._dynamo.reset()
    gc.freeze()  # as fresh_compiler does
    generated.compiled.cache_clear()
    monkeypatch.setattr(generated, "uncompiled", set())
    monkeypatch.setattr(written, "ENABLED", False)
    backend = Counting()
    monkeypatch.setattr(generated, "BACKEND", backend)
    yield backend
    generated.compiled.cache_clear()
    torch._dynamo.reset()


@pytest.fixture
def inductor(counting: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels that users have."""
    monkeypatch.setattr(generated, "BACKEND", "inductor")


def assert_same(loss: nn.Module, pred: Tensor, *args: object, rtol: float = 1e-4, **call: object) -> None:
    """The fused loss against itself without kernels; nothing fell back to eager."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*fused=True", UserWarning)
        loss.fused = True
        value, gradient = run(loss, pred, *args, **call)
    loss.fused = False
    expected, slope = run(loss, pred, *args, **call)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(gradient, slope, rtol=rtol, atol=1e-7)


@over(FUSIBLE)
def test_is_eager_for_all_sizes(case, counting: Counting) -> None:
    """Value, gradient and junk under a weight of 0; sizes that change need one graph more at the most."""
    loss = case.build()
    for n in SIZES:
        pred, target = case.batch(max(n, 1), seed=n)
        pred, target = pred[:n], map_target(target, lambda x, n=n: x[:n])
        weight = torch.rand(n, generator=torch.Generator().manual_seed(n))
        weight[::3] = 0
        pred = torch.where((weight == 0)[:, None], torch.nan, pred)
        assert_same(loss, pred, target, weight, avg_factor=n + 1.0)
    assert 1 <= counting.graphs <= 2


def test_what_has_no_kernels_says_so() -> None:
    without = {cls.__name__ for cls in CATALOGUE.values() if not cls.fusible}
    sorting = {"APLoss", "RankSortLoss", "L2Loss", "MarginL2Loss"}
    counting = {"GHMC", "GHMR", "SeesawLoss"}
    objectives = {"GridObjectnessLoss", "YOLOv1Loss", "YOLOv2Loss", "YOLOv3Loss", "YOLOv4Loss"}
    # The members of a sum have kernels, and it has none of its own.
    others = {"AssociativeEmbeddingLoss", "KnowledgeDistillationKLDivLoss", "SumLoss", "TripletLoss"}
    assert without == sorting | counting | objectives | others


def focal_batch(n: int = 300, classes: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    label = torch.randint(0, classes + 1, (n,), generator=draw)
    return torch.randn(n, classes, generator=draw) * 4, label, torch.rand(n, generator=draw)


def box_batch(n: int = 300) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    low, size = torch.rand(2, n, 2, generator=draw) * 100
    target = torch.cat([low, low + size], -1)
    return target + torch.randn(n, 4, generator=draw), target, torch.rand(n, generator=draw)


@pytest.mark.parametrize("options", [{}, dict(reduction="sum", loss_weight=0.25)], ids=["mean", "sum"])
@pytest.mark.parametrize("weighted", [True, False], ids=["weight", "no weight"])
def test_every_way_to_call(options: dict, weighted: bool) -> None:
    for cls, batch in ((FocalLoss, focal_batch()), (CIoULoss, box_batch())):
        pred, target, weight = batch
        factors = (None,) if options else (None, 7, 7.5, torch.tensor(7.0), torch.tensor([7.0]), 0, torch.tensor(0.0))
        for avg_factor in factors:
            assert_same(cls(**options), pred, target, weight if weighted else None, avg_factor=avg_factor)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dtypes(dtype: torch.dtype) -> None:
    assert_same(FocalLoss(), focal_batch()[0].to(dtype), *focal_batch()[1:], avg_factor=40, rtol=1e-2)
    pred, target, weight = (tensor.to(dtype) for tensor in box_batch())
    assert_same(CIoULoss(), pred, target, weight, avg_factor=40, rtol=1e-2)


@pytest.mark.parametrize("names", ["FocalLoss", "QualityFocalLoss", "GIoULoss", "CIoULoss", "L1Loss"])
def test_real_kernels(names: str, inductor: None) -> None:
    """Through the compiler that users have, forward alone too."""
    pred, target, weight = focal_batch() if "Focal" in names else box_batch()
    if names == "QualityFocalLoss":
        target = (target, torch.rand(len(target), generator=torch.Generator().manual_seed(1)))
    loss = CATALOGUE[names]()
    assert_same(loss, pred, target, weight[:, None].expand(pred.shape) if names == "L1Loss" else weight, avg_factor=9)
    loss.fused = True
    with torch.no_grad():
        value = loss(pred, target, avg_factor=9)
    loss.fused = False
    torch.testing.assert_close(value, loss(pred, target, avg_factor=9), rtol=1e-5, atol=0)


def test_gradient_is_all_that_is_kept(inductor: None) -> None:
    """Classification: beyond the input one buffer of the gradient's size, and what does not grow with the classes."""
    from loss_benchmark.memory import peak_bytes

    pred, label, weight = focal_batch(20_000, 80)
    quality = torch.rand(20_000)
    for loss, target in ((FocalLoss(fused=True), label), (QualityFocalLoss(fused=True), (label, quality))):
        leaf = pred.clone().requires_grad_()

        def step(loss=loss, leaf=leaf, target=target) -> None:
            leaf.grad = None
            loss(leaf, target, weight, avg_factor=100).backward()

        step()
        step()
        leaf.grad = None
        assert peak_bytes(step, "cpu") < 1.1 * pred.nbytes


@pytest.mark.parametrize("scale", [65536.0, 0.0])
def test_upstream_gradient(scale: float) -> None:
    for cls, (pred, target, weight) in ((FocalLoss, focal_batch()), (CIoULoss, box_batch())):
        leaf, other = pred.clone().requires_grad_(), pred.clone().requires_grad_()
        (cls(fused=True)(leaf, target, weight, avg_factor=9) * scale).backward()
        (cls()(other, target, weight, avg_factor=9) * scale).backward()
        torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-4, atol=1e-6 * scale)


def test_scaler_saves_small_gradients_of_half_precision() -> None:
    """Stored in float16 at their own size they are 0 before the scaler's factor arrives."""
    pred = torch.full((8, 4), -9.0, dtype=torch.float16, requires_grad=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    value = FocalLoss(fused=True)(pred, torch.full((8,), 4), avg_factor=8.0)
    scaler.scale(value).backward()
    assert (pred.grad != 0).all()


def test_autocast() -> None:
    layer = nn.Linear(4, 4)
    for cls, (_, target, weight) in ((L1Loss, box_batch()), (CIoULoss, box_batch())):
        gradients = []
        for option in (True, False):
            layer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                value = cls(fused=option)(layer(target), target, weight[:, None].expand(-1, 4), avg_factor=9)
            assert value.dtype == torch.float32
            value.backward()
            gradients.append(layer.weight.grad.clone())
        torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-4)


def test_backward_twice_and_gradient_of_the_gradient() -> None:
    for cls, (pred, target, weight) in ((FocalLoss, focal_batch(20, 3)), (CIoULoss, box_batch(20))):
        found = []
        for option in (True, False):
            leaf = pred.double().requires_grad_()
            value = cls(fused=option)(leaf, target, weight, avg_factor=9)
            first, again = (torch.autograd.grad(value, leaf, retain_graph=True)[0] for _ in range(2))
            torch.testing.assert_close(first, again)
            (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
            (second,) = torch.autograd.grad(slope.square().sum(), leaf)
            found.append((first, slope.detach(), second))
        for ours, expected in zip(*found, strict=True):
            torch.testing.assert_close(ours, expected)


def test_gradient_of_the_target_is_not_lost() -> None:
    pred, target, _ = box_batch()
    for option in (True, False):
        leaf = target.clone().requires_grad_()
        CIoULoss(fused=option)(pred, leaf).backward()
        assert leaf.grad.abs().sum() > 0


def test_is_part_of_a_compiled_model(counting: Counting) -> None:
    """Another compiler takes the loss apart by itself, without a break."""
    pred, label, weight = focal_batch()
    loss = FocalLoss(fused=True)
    whole = torch.compile(lambda x: loss(2 * x, label, weight, avg_factor=9), fullgraph=True, backend=counting)
    torch.testing.assert_close(whole(pred), FocalLoss()(2 * pred, label, weight, avg_factor=9))


def test_under_distributed_data_parallel(tmp_path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        _, target, _ = box_batch()
        layer = nn.Linear(4, 4)
        wrapped = nn.parallel.DistributedDataParallel(layer)
        gradients = []
        for option in (True, False):
            layer.zero_grad()
            CIoULoss(fused=option)(wrapped(target), target).backward()
            gradients.append(layer.weight.grad.clone())
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)
    finally:
        torch.distributed.destroy_process_group()


def test_classes_do_not_use_up_each_others_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a limit of one graph for each piece of code."""
    monkeypatch.setattr(generated, "LIMIT", {})
    with torch._dynamo.config.patch(recompile_limit=1):
        for name in ("IoULoss", "GIoULoss", "DIoULoss", "CIoULoss", "L1Loss"):
            pred, target, weight = box_batch()
            assert_same(CATALOGUE[name](), pred, target, weight[:, None].expand(-1, 4), avg_factor=9)


def test_changed_options_count() -> None:
    pred, label, weight = focal_batch()
    loss = FocalLoss()
    for gamma, loss_weight in ((2.0, 1.0), (1.5, 1.0), (1.5, 3.0)):
        loss.gamma, loss.loss_weight = gamma, loss_weight
        assert_same(loss, pred, label, weight, avg_factor=9)


def test_torch_that_is_too_old_is_named_once(counting: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "TOO_OLD", True)
    generated.tell_too_old.cache_clear()
    pred, target, weight = box_batch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for cls in (L1Loss, CIoULoss, CIoULoss):
            row = weight[:, None].expand(pred.shape)
            value = cls(fused=True)(pred, target, row, avg_factor=9)
            assert torch.equal(value, cls()(pred, target, row, avg_factor=9))
    generated.tell_too_old.cache_clear()
    assert counting.graphs == 0
    (warning,) = caught
    assert f"needs torch 2.4 for losses without a hand-written kernel, and this is torch {torch.__version__}" in str(
        warning.message
    )


class LogCosh(CoordinateLoss):
    """A loss of one's own, whose function is a method of it."""

    def __init__(self, scale: float = 1.0, **shared: object) -> None:
        super().__init__(**shared)
        self.scale = scale

    def unreduced(self, pred: Tensor, target: Tensor) -> Tensor:
        step = (pred - target).abs() / self.scale
        return (step + torch.nn.functional.softplus(-2 * step) - math.log(2)) * self.scale


class Farther(IoUTypeLoss):
    """A member of the IoU family, whose terms are a method of it."""

    def __init__(self, scale: float = 1.0, **shared: object) -> None:
        super().__init__(**shared)
        self.scale = scale

    def terms(self, pair: BoxPair) -> tuple[Tensor, ...]:
        return tuple(self.scale * term for term in diou_terms(pair))


@pytest.mark.parametrize("cls", [LogCosh, Farther])
def test_losses_of_ones_own_have_kernels(cls: type[nn.Module], counting: Counting) -> None:
    """With the options that the object has."""
    pred, target, weight = box_batch(40)
    weight = weight[:, None].expand(pred.shape)
    for scale in (1.0, 0.5):
        assert_same(cls(scale), pred, target, weight, avg_factor=9)
    assert counting.graphs == 2


def test_option_is_checked() -> None:
    with pytest.raises(OptionError, match="fused must be True or False, got 'yes'"):
        FocalLoss(fused="yes")


def test_switches_a_model() -> None:
    model = nn.ModuleDict(dict(head=nn.ModuleDict(dict(cls=FocalLoss(), box=CIoULoss())), other=nn.Linear(1, 1)))
    assert fuse_losses(model) == 2
    assert model["head"]["cls"].fused
    assert model["head"]["box"].fused
    fuse_losses(model, fused=False)
    assert not model["head"]["cls"].fused


SCRIPT = """
import torch, warnings
from mmdet_losses import FocalLoss, CIoULoss
pred, label = torch.randn(20, 4), torch.randint(0, 5, (20,))
for _ in range(2):
    leaf = pred.clone().requires_grad_()
    value = FocalLoss(fused=True)(leaf, label, avg_factor=3)
    value.backward()
    other = pred.clone().requires_grad_()
    expected = FocalLoss()(other, label, avg_factor=3)
    expected.backward()
    assert value == expected and (leaf.grad == other.grad).all()
"""


def test_without_a_compiler_one_warning_says_why(tmp_path) -> None:
    environment = os.environ | {"CXX": "/nonexistent/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "without fused=True" in line]
    assert len(said) == 1
    assert "compiler" in said[0].lower()
