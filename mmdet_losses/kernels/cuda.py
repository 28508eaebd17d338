"""Runs the hand-written kernels for GPUs, alone and for autograd."""

from __future__ import annotations

import ctypes
import struct
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import nvrtc
from .build import BuildError
from .call import Call, gradient_with_graph
from .plans import DISTRIBUTION, SOFTMAX, Plan

unavailable: str | None = None
"""Why the kernels cannot be built here, once that is known."""
NAMES = {torch.float32: "float", torch.float16: "Half", torch.bfloat16: "Bfloat"}
"""Dtypes in cpp/cuda/call.h."""
THREADS, MOST_THREADS = 256, 512
"""Of a block: of one among several, and of a single one."""
WAVES = 4
"""Blocks, at most, over those that run at once; each then works on until all is done."""
SHORT = 2**16
"""Inputs of up to so many elements are summed by a single block, which takes no second kernel."""
SHORT_ROWS = 2**12
"""The same in pairs of boxes."""
OF_ROWS = (SOFTMAX, DISTRIBUTION)
MOST_COLUMNS = 2**31 - 1
"""Columns are counted in 32 bits, other than elements and rows."""
WORD = 16
"""Bytes that a thread reads at once."""
PER_THREAD = 6
"""Columns of a row, about, that each of its threads has."""
pack = struct.Struct("7Q2q3d").pack
"""Makes what cpp/cuda/call.h (Call) is."""
Argument = c_char_p * 1
INVALID_CONTEXT, INVALID_HANDLE = 201, 400
# What torch's own compiler calls, ten times as fast as what users call; absent from a torch without CUDA.
current_device = getattr(torch._C, "_cuda_getDevice", torch.cuda.current_device)
stream_of = getattr(torch._C, "_cuda_getCurrentRawStream", lambda device: torch.cuda.current_stream(device).cuda_stream)
lock = Lock()


class Kernels(NamedTuple):
    """The kernels of a loss on a device, see :data:`mmdet_losses.kernels.nvrtc.KERNELS`."""

    value: Any
    total: Any
    gradient: Any
    most: tuple[int, int]
    """Blocks for the value and for the gradient, at most."""


loaded: dict[tuple[Any, ...], Kernels] = {}
"""Kernels by device, loss, and form of the inputs."""


@cache
def driver() -> ctypes.CDLL:
    library = nvrtc.libraries()
    launch = library.cuLaunchKernel
    launch.argtypes, launch.restype = (c_void_p, *[c_uint] * 7, c_void_p, c_void_p, c_void_p), c_int
    return library


def make_current(device: int) -> None:
    """Give this thread torch's context of a device, which threads that only ran backward may not have yet."""
    library, handle, context = driver(), c_int(), c_void_p()
    check(library.cuDeviceGet(byref(handle), c_int(device)), "the device")
    check(library.cuDevicePrimaryCtxRetain(byref(context), handle), "the context")
    check(library.cuCtxSetCurrent(context), "the context")


def check(code: int, what: str) -> None:
    if code:
        said = c_char_p()
        driver().cuGetErrorName(c_int(code), byref(said))
        raise BuildError(f"CUDA: {what}: {(said.value or str(code).encode()).decode()}")


def load(device: int, room: str, loss: str) -> Kernels:
    """Compile the kernels of a loss and load them onto a device.

    Raises:
        BuildError: Where they cannot be had.
    """
    with torch.cuda.device(device):
        code = nvrtc.compiled(room, loss, MOST_THREADS, torch.cuda.get_device_capability(device))
        make_current(device)
        module = c_void_p()
        check(driver().cuModuleLoadData(byref(module), code), "loading")
        functions = []
        for name in nvrtc.KERNELS:
            function = c_void_p()
            check(driver().cuModuleGetFunction(byref(function), module, name.encode()), name)
            functions.append(function.value)
        together = WAVES * torch.cuda.get_device_properties(device).multi_processor_count
        value, _, gradient = functions
    return Kernels(*functions, (together * blocks_at_once(value), together * blocks_at_once(gradient)))


def blocks_at_once(function: int) -> int:
    """Blocks of a kernel that a multiprocessor runs at once."""
    count = c_int()
    arguments = (byref(count), c_void_p(function), c_int(THREADS), c_size_t(0))
    check(driver().cuOccupancyMaxActiveBlocksPerMultiprocessor(*arguments), "the occupancy")
    return max(1, count.value)


def launch(device: int, function: Any, blocks: int, threads: int, packed: bytes) -> None:
    """Start a kernel on torch's current stream."""
    if current_device() != device:
        with torch.cuda.device(device):
            return launch(device, function, blocks, threads, packed)
    stream = stream_of(device)
    start, argument = driver().cuLaunchKernel, Argument(packed)
    code = start(function, blocks, 1, 1, threads, 1, 1, 0, stream, argument, None)
    if code in (INVALID_CONTEXT, INVALID_HANDLE):
        make_current(device)
        code = start(function, blocks, 1, 1, threads, 1, 1, 0, stream, argument, None)
    if code:
        said = c_char_p()
        driver().cuGetErrorName(c_int(code), byref(said))
        raise RuntimeError(f"a kernel of fused=True cannot be started: {(said.value or b'').decode()} ({code})")


def form_of(weight: Tensor | None, pred: Tensor) -> int:
    """What a weight belongs to; in cpp/shared.h (Weight) their order."""
    return 0 if weight is None else 2 if weight.shape == pred.shape else 1


def loss_of(
    plan: Plan, pred: Tensor, labels: Tensor | None, target: Tensor | None, form: int, per_row: int, aligned: bool
) -> tuple[str, str]:
    """The header in ``cpp/cuda`` and the type there that compute a plan."""
    ours = NAMES[pred.dtype]
    types = f"{ours}, {ours if target is None else NAMES[target.dtype]}"
    if per_row:
        weighted = str(form > 0).lower()
        if plan.kernel == SOFTMAX:
            return "rows", f"Softmax<{ours}, {weighted}, {per_row}>"
        return "rows", f"Distribution<{types}, {weighted}, {per_row}>"
    if plan.kernel == "boxes":
        return "pairs", f"Pairs<{plan.numbers[0]}, {types}, {form}, {4 if aligned else 1}>"
    together = elements_at_once(pred, labels) if aligned else 1
    label = 0 if labels is None else 1 if target is None else 2
    return "elements", f"Elements<{plan.numbers[0]}, {types}, {form}, {label}, {together}>"


def elements_at_once(pred: Tensor, labels: Tensor | None) -> int:
    """How many elements a thread reads at once: with labels there is nothing else to keep in registers."""
    return WORD // pred.element_size() if labels is None else 8


def threads_of_row(columns: int) -> int:
    """How many threads share a row of a softmax: a power of 2, and 32 at most."""
    return min(32, 1 << (max(1, -(-columns // PER_THREAD)) - 1).bit_length())


def run(
    plan: Plan,
    scale: float,
    pred: Tensor,
    labels: Tensor | None,
    target: Tensor | None,
    weight: Tensor | None,
    divisor: Tensor | None,
    upstream: Tensor | None,
) -> Tensor:
    """The value of a loss, or with ``upstream`` its gradient times that, both times ``scale`` over ``divisor``."""
    if not pred.is_contiguous():
        pred = pred.contiguous()
    device, count, columns = pred.get_device(), pred.numel(), pred.shape[-1]
    form = form_of(weight, pred)
    places = (
        pred.data_ptr(),
        0 if labels is None else labels.data_ptr(),
        0 if target is None else target.data_ptr(),
        0 if weight is None else weight.data_ptr(),
        0 if divisor is None else divisor.data_ptr(),
        0 if upstream is None else upstream.data_ptr(),
    )
    aligned = (places[0] | places[3] | (places[2] if labels is None else 0)) % WORD == 0
    kernel = plan.kernel
    per_row = threads_of_row(columns) if kernel in OF_ROWS else 0
    own = per_row or (plan.numbers[0], aligned)
    key = (device, kernel, own, pred.dtype, None if target is None else target.dtype, labels is None, form)
    kernels = loaded.get(key)
    if kernels is None:
        with lock:
            kernels = loaded[key] = load(device, *loss_of(plan, pred, labels, target, form, per_row, aligned))
    rows = count // columns
    if kernel == "boxes":
        work, short = rows, rows <= SHORT_ROWS
    else:
        work = rows * per_row or (count // elements_at_once(pred, labels) if aligned else count)
        short = count <= SHORT
    numbers = (columns, scale, *(plan.numbers[-2:] or (0.0, 0.0)))
    blocks = min(-(-work // THREADS), kernels.most[upstream is not None]) or 1
    if upstream is not None:
        gradient = torch.empty_like(pred)
        launch(device, kernels.gradient, blocks, THREADS, pack(*places, gradient.data_ptr(), rows, *numbers))
        return gradient
    value = torch.empty((), dtype=torch.float32, device=pred.device)
    if short or blocks == 1:
        threads = min(MOST_THREADS, -(-work // 32) * 32) or 32
        launch(device, kernels.value, 1, threads, pack(*places, value.data_ptr(), rows, *numbers))
        return value
    sums = torch.empty(blocks, dtype=torch.float64, device=pred.device)
    launch(device, kernels.value, blocks, THREADS, pack(*places, sums.data_ptr(), rows, *numbers))
    launch(
        device,
        kernels.total,
        1,
        THREADS,
        pack(sums.data_ptr(), *places[1:], value.data_ptr(), blocks, *numbers),
    )
    return value


def is_several(upstream: Tensor) -> bool:
    """Whether these are several gradients at once, see ``is_grads_batched`` of torch.autograd.grad."""
    try:
        upstream.data_ptr()
    except RuntimeError:
        return True
    return False


class DeviceLoss(torch.autograd.Function):
    """A kernel for autograd: backward reads the inputs again, which takes less of a GPU than to keep the gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        again: tuple[Call, Any, Plan, float],
        pred: Tensor,
        labels: Tensor | None,
        target: Tensor | None,
        weight: Tensor | None,
        divisor: Tensor | None,
    ) -> Tensor:
        ctx.again = again
        ctx.save_for_backward(pred, labels, target, weight, divisor)
        return run(again[2], again[3], pred, labels, target, weight, divisor, None)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        call, avg_factor, plan, scale = ctx.again
        pred, labels, target, weight, _ = tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = [tensor for tensor in (pred, labels, target) if tensor is not None]
            gradient = gradient_with_graph(call, inputs, weight, avg_factor, upstream)
        elif is_several(upstream):
            one = torch.ones((), device=pred.device)
            gradient = (run(plan, scale, pred.float(), *tensors[1:], one) * upstream).to(pred.dtype)
        else:
            gradient = run(plan, scale, *tensors, upstream)
        return (None, gradient, None, None, None, None)


def compute(
    call: Call,
    plan: Plan,
    pred: Tensor,
    labels: Tensor | None,
    target: Tensor | None,
    weight: Tensor | None,
    avg_factor: Any,
) -> Tensor | None:
    """The loss of a planned call; None where the kernels cannot be built."""
    global unavailable
    if pred.shape[-1] > MOST_COLUMNS:
        return None
    scale, divisor = call.loss_weight * plan.factor, None
    if call.reduction == "mean":
        # The rule of functional/reduce.py, reduce_total: nothing is added to a divisor, and one of 0 gives 0.
        number = plan.count if avg_factor is None else avg_factor
        if isinstance(number, Tensor):
            if number.get_device() == pred.get_device():
                divisor = number.detach().to(torch.float32)
            else:
                number = number.item()
        if divisor is None:
            scale = 0.0 if number == 0 else scale / number
    try:
        if pred.requires_grad and torch.is_grad_enabled():
            return DeviceLoss.apply((call, avg_factor, plan, scale), pred, labels, target, weight, divisor)
        return run(plan, scale, pred, labels, target, weight, divisor, None)
    except BuildError as error:
        unavailable = str(error)
        return None
