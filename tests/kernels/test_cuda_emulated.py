"""The kernels for GPUs, compiled for a CPU whose threads take turns, against the eager losses in float64."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from cases.written import ALL, weights, wide
from torch import Tensor, nn

from mmdet_losses import kernels
from mmdet_losses.kernels import build, cuda, generated, nvrtc
from mmdet_losses.kernels.plans import plan_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux")

EMULATED = Path(__file__).parent / "emulated"
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-w", "-DMMDET_LOSSES_CUDA")
ERROR = {torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
"""Relative error of a gradient: that of its dtype, or of the formulas."""


class Emulator:
    """Compiles kernels with the C++ compiler, and runs them instead of the driver."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wanted: dict[tuple[str, str], int] = {}
        self.libraries: dict[str, ctypes.CDLL] = {}
        self.launched: list[tuple[int, int]] = []

    def note(self, device: int, room: str, loss: str) -> cuda.Kernels:
        """Instead of loading: remember what is to be compiled."""
        self.wanted.setdefault((room, loss), len(self.wanted))
        return cuda.Kernels(None, None, None, (1, 1))

    def load(self, device: int, room: str, loss: str) -> cuda.Kernels:
        number = self.wanted[room, loss]
        functions = [getattr(self.libraries[room], f"{name}_{number}") for name in nvrtc.KERNELS]
        return cuda.Kernels(*((self.libraries[room].run, one) for one in functions), (3, 3))

    def launch(self, device: int, kernel: Any, blocks: int, threads: int, packed: bytes) -> None:
        if kernel is None:
            return
        run, function = kernel
        assert threads % 32 == 0 and threads <= cuda.MOST_THREADS
        self.launched.append((blocks, threads))
        assert run(ctypes.cast(function, ctypes.c_void_p), blocks, threads, packed) == 0

    def compile(self, room: str) -> None:
        text = f'#include "cuda.h"\n#include "cuda/{room}.h"\n'
        for (of, loss), number in self.wanted.items():
            if of == room:
                stub = nvrtc.source(room, loss, cuda.MOST_THREADS)
                for name in nvrtc.KERNELS:
                    stub = stub.replace(name, f"{name}_{number}")
                text += stub
        text += (
            'extern "C" int run(void (*kernel)(Call), unsigned blocks, unsigned threads, const Call* call) '
            "{ return Launch<Call>::run(kernel, blocks, threads, call); }\n"
        )
        source, output = self.folder / f"{room}.cpp", self.folder / f"{room}.so"
        source.write_text(text)
        includes = [f"-I{folder}" for folder in (EMULATED, build.SOURCES)]
        subprocess.run([*build.compiler()[0], *FLAGS, *includes, "-o", str(output), str(source)], check=True)
        self.libraries[room] = ctypes.CDLL(str(output))


Options = dict[str, Any]
CASES: list[tuple[str, Options]] = []
"""Losses with how they are called: the form of the weight, the dtypes, the number of rows, the divisor."""
for index, name in enumerate(ALL):
    forms = len(weights(ALL[name][0](), ALL[name][1](4, 0)[0], 0)[:3])
    CASES.append((name, dict(form=index % forms)))
    if index % 3 == 0:
        CASES.append((name, dict(form=(index + 1) % forms, n=300, divisor=torch.tensor([7]), blocks=True)))
for name in ("giou", "siou", "bounded", "focal", "focal of 100 classes", "dense quality focal", "quality focal", "l1",
             "softmax", "distribution focal"):  # fmt: skip
    CASES.append((name, dict(form=1, pred=torch.float16)))
    CASES.append((name, dict(form=0, pred=torch.bfloat16, target=torch.bfloat16, reduction="sum")))
for name in ("ciou", "focal", "dense focal", "varifocal", "softmax", "distribution focal"):
    CASES.append((name, dict(form=0, n=33, divisor=torch.tensor(0.0))))
    CASES.append((name, dict(form=1, n=33, shift=1, divisor=4.5, loss_weight=2.5)))
TRIED = ("giou", "focal", "softmax")
"""Losses whose derivatives are tried, each with weights of rows."""
UNBOUNDED = ("focal", "focal of 100 classes")
"""Losses of logits of any size: rows shorter than what a thread reads at once, and longer ones."""
IDS = [f"{name}-{number}" for number, (name, _) in enumerate(CASES)]


def call_of(
    name: str,
    form: int = 0,
    n: int = 21,
    pred: torch.dtype = torch.float32,
    target: torch.dtype = torch.float32,
    shift: int = 0,
    divisor: Any = None,
    reduction: str = "mean",
    loss_weight: float = 1.0,
    blocks: bool = False,
) -> tuple[nn.Module, Tensor, Any, Tensor | None, Any]:
    """A loss, its prediction, its target, a weight and a divisor."""
    build_loss, batch = ALL[name]
    loss = build_loss(reduction=reduction, loss_weight=loss_weight)
    x, y = batch(n, n + 1)
    weight = weights(loss, x, n)[form]
    if shift:  # away from an address that words are read at
        x = torch.cat([x.new_zeros(shift), x.flatten()])[shift:].view(x.shape)
    return loss, x.to(pred), cast(y, target), weight, divisor


def cast(target: Any, dtype: torch.dtype) -> Any:
    if isinstance(target, tuple):
        return tuple(cast(one, dtype) for one in target)
    return target.to(dtype) if target.is_floating_point() else target


def plan_of_gpu(call: Any, inputs: tuple[Tensor, ...], weight: Tensor | None, avg_factor: Any) -> Any:
    """A plan as on a GPU, where halves are read as they are."""
    pred, *targets = inputs
    planned = plan_of(call, (pred.float(), *targets), weight, avg_factor)
    assert planned is not None
    plan, labels, target, weight = planned
    return plan, labels, None if target is None else target.to(targets[-1].dtype), weight


def of_kernel(
    loss: nn.Module, pred: Tensor, target: Any, weight: Tensor | None, divisor: Any, above: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Value and gradient of the kernels, and of another gradient from above."""
    leaf = pred.detach().requires_grad_()
    loss.fused = True
    value = loss(leaf, target, weight, avg_factor=divisor)
    (gradient,) = torch.autograd.grad(value, leaf, torch.tensor(above))
    return value.detach(), gradient


def of_eager(
    loss: nn.Module, pred: Tensor, target: Any, weight: Tensor | None, divisor: Any, above: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The same in float64."""
    leaf = pred.double().requires_grad_()
    loss.fused = False
    value = loss(leaf, wide(target), None if weight is None else weight.double(), avg_factor=divisor)
    (gradient,) = torch.autograd.grad(above * value, leaf)
    return value.detach(), gradient


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """With the kernels of all cases."""
    made = Emulator(tmp_path_factory.mktemp("emulated"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "load", made.note)
        patch.setattr(cuda, "launch", made.launch)
        patch.setattr(cuda, "loaded", {})
        patch.setattr(kernels, "room_of", lambda pred: cuda)
        patch.setattr(kernels, "plan_of", plan_of_gpu)
        for name, options in CASES:
            of_kernel(*call_of(name, **options))
        for name in TRIED:
            of_kernel(*call_of(name, form=1))
        for name in UNBOUNDED:
            of_kernel(*call_of(name))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(made.compile, dict.fromkeys(room for room, _ in made.wanted)))
    return made


@pytest.fixture(autouse=True)
def emulated(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    monkeypatch.setattr(cuda, "load", emulator.load)
    monkeypatch.setattr(cuda, "launch", emulator.launch)
    monkeypatch.setattr(cuda, "loaded", {})
    monkeypatch.setattr(kernels, "room_of", lambda pred: cuda)
    monkeypatch.setattr(kernels, "plan_of", plan_of_gpu)
    emulator.launched.clear()
    return emulator


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_is_eager(name: str, options: Options, emulated: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Value, and gradient times one from above; by one block, and by several, whose sums a second kernel adds."""
    blocks = options.get("blocks", False)
    if blocks:
        monkeypatch.setattr(cuda, "SHORT", 0)
        monkeypatch.setattr(cuda, "SHORT_ROWS", 0)
        monkeypatch.setattr(cuda, "THREADS", 32)
    loss, pred, *rest = call_of(name, **options)
    value, gradient = of_kernel(loss, pred, *rest, above=-3.0)
    several = [count for count, _ in emulated.launched[:-1]]
    assert (several[0] > 1 and several[1:] == [1]) if blocks else several == [1]
    assert value.dtype == torch.float32 and value.shape == () and gradient.dtype == pred.dtype
    expected, slope = of_eager(loss, pred, *rest, above=-3.0)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-7)
    smallest = 3e-7 if pred.dtype == torch.float32 else 6e-8
    torch.testing.assert_close(gradient.double(), slope, rtol=ERROR[pred.dtype], atol=smallest)


@pytest.mark.parametrize("name", TRIED)
def test_backward_again_and_of_the_gradient(name: str, emulated: Emulator) -> None:
    loss, pred, target, weight, _ = call_of(name, form=1)
    found = []
    for fused, batch in ((True, (pred, target, weight)), (False, wide((pred, target, weight)))):
        leaf = batch[0].clone().requires_grad_()
        loss.fused = fused
        value = 1000 * loss(leaf, *batch[1:], avg_factor=9)
        first, again = (torch.autograd.grad(value, leaf, retain_graph=True)[0] for _ in range(2))
        assert torch.equal(first, again)
        several, above = torch.stack([first, -2 * first]), torch.tensor([1.0, -2.0])
        if fused:
            (several,) = torch.autograd.grad(value, leaf, above, is_grads_batched=True, retain_graph=True)
        (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), leaf)
        found.append([one.detach().double() for one in (first, several, slope, second)])
    assert emulated.launched
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", UNBOUNDED)
def test_logits_of_any_size(name: str) -> None:
    """Infinite ones are as very large ones; NaN makes the value NaN, and no other logit's gradient."""
    loss, pred, target, *_ = call_of(name)
    background = torch.full_like(target, pred.shape[1])
    large = torch.tensor([-1e30, -104.5, -103.0, -88.0, -1e-30, 0.0, 1e-30, 88.0, 104.5])
    pred.view(-1)[: len(large)] = large
    (_, slope), expected = (
        of_kernel(loss, pred, background, None, 9),
        of_eager(loss, pred, background, None, 9),
    )
    torch.testing.assert_close(slope.double(), expected[1], rtol=1e-5, atol=1e-12)
    infinite = pred.clone()
    infinite.view(-1)[0] = -torch.inf
    value, gradient = of_kernel(loss, infinite, background, None, 9)
    torch.testing.assert_close(value.double(), expected[0], rtol=1e-6, atol=0)
    assert torch.equal(gradient, slope)
    pred.view(-1)[3] = torch.nan
    value, gradient = of_kernel(loss, pred, background, None, 9)
    assert value.isnan() and gradient.view(-1)[3].isnan()
    slope.view(-1)[3] = torch.nan
    assert torch.equal(gradient.nan_to_num(nan=7.0), slope.nan_to_num(nan=7.0))


def test_a_gradient_is_computed_where_it_is_asked_for(emulated: Emulator) -> None:
    loss, pred, target, weight, _ = call_of("focal", form=1)
    loss.fused = True
    value = loss(pred, target, weight)
    with torch.no_grad():
        assert loss(pred.requires_grad_(), target, weight) == value
    assert not value.requires_grad and len(emulated.launched) == 2
    loss(pred, target, weight).backward()
    assert len(emulated.launched) == 4


def test_other_layouts(emulated: Emulator) -> None:
    """A prediction and a target whose rows do not follow each other, and labels of another type."""
    loss, pred, target, weight, _ = call_of("giou", form=1)
    expected = of_eager(loss, pred, target, weight, 9)
    value, gradient = of_kernel(loss, pred.t().contiguous().t(), target.repeat(1, 2)[:, :4], weight.double(), 9)
    torch.testing.assert_close((value.double(), gradient.double()), expected, rtol=1e-4, atol=1e-7)
    loss, pred, target, weight, _ = call_of("focal", form=1)
    (value, gradient), expected = (
        of_kernel(loss, pred, target.int(), weight, 9),
        of_eager(loss, pred, target, weight, 9),
    )
    torch.testing.assert_close((value.double(), gradient.double()), expected, rtol=1e-4, atol=1e-7)


def test_what_cannot_be_built_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def missing(device: int, room: str, loss: str) -> None:
        asked.append(room)
        raise build.BuildError("NVRTC: it is not there")

    monkeypatch.setattr(cuda, "load", missing)
    monkeypatch.setattr(cuda, "unavailable", None)
    monkeypatch.setattr(generated, "compute", lambda *call: None)
    loss, pred, target, *_ = call_of("giou")
    expected = loss(pred, target)
    loss.fused = True
    for _ in range(2):
        assert loss(pred, target) == expected
    assert asked == ["pairs"] and cuda.unavailable == "NVRTC: it is not there"
    assert kernels.written.unavailable is None
