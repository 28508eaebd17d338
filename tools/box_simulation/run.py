"""The simulation over all cases, in chunks that fit the cache, spread over processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from loss_views.choice import Chosen
from tqdm import tqdm

from mmdet_losses import functional as F

from .descent import PIXELS, Movement, advance, corners_of
from .protocol import PER_CENTRE, STEPS, cases, errors, learning_rate
from .record import CLOSE, Result
from .settings import Settings

CHUNK = 32
"""Centres that are computed at a time on a CPU. A multiple of 16, so that every case goes through vector instructions,
which round otherwise than the scalar ones at the end of an array; the numbers are the same for each such multiple."""
CHUNK_OF_GPU = 1008


class Outcome(NamedTuple):
    """What became of the cases of some centres.

    Attributes:
        errors: Sum of the errors of each centre before the first and after each iteration, ``(iterations + 1, n)``.
        fitted: Cases with a final error below :data:`~box_simulation.record.CLOSE`.
        apart: Cases that do not overlap their target at the end.
    """

    errors: np.ndarray
    fitted: int
    apart: int


def movement_of(chosen: Chosen, settings: Settings) -> Movement:
    """A loss as it moves boxes under some settings."""
    movement = Movement(chosen, settings.rule)
    if movement.in_pixels:
        movement.unit = settings.pixels or PIXELS
    movement.loss.to(settings.device)
    return movement


def simulate_chunk(movement: Movement, centres: np.ndarray, device: str = "cpu", stop: int = STEPS) -> Outcome:
    """All cases of some centres."""
    # Whole vectors, see CHUNK: the last centre again, until their number is one.
    padded = np.concatenate((centres, np.repeat(centres[-1:], -len(centres) % 16, axis=0)))
    boxes, targets = (columns.to(device) for columns in cases(padded))
    sums = [errors(boxes, targets).view(-1, PER_CENTRE).sum(1)]
    for iteration in range(1, stop + 1):
        movement.set_progress((iteration - 1) / STEPS)
        boxes = advance(boxes, targets, movement, learning_rate(iteration))
        sums.append(errors(boxes, targets).view(-1, PER_CENTRE).sum(1))
    count = len(centres) * PER_CENTRE
    left, overlap = errors(boxes, targets), F.box_pair(corners_of(boxes).t(), corners_of(targets).t()).iou
    fitted, apart = (int(mask[:count].sum()) for mask in (left < CLOSE, overlap == 0))
    return Outcome(torch.stack(sums)[:, : len(centres)].cpu().numpy(), fitted, apart)


MOVEMENTS: list[Movement] = []
"""Of a worker process."""


def prepare(movements: Sequence[Movement]) -> None:
    """Make a process a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    torch.set_num_threads(1)
    MOVEMENTS[:] = movements


def work(index: int, centres: np.ndarray, stop: int) -> Outcome:
    """A chunk in a worker."""
    return simulate_chunk(MOVEMENTS[index], centres, stop=stop)


@contextmanager
def workers(movements: Sequence[Movement], processes: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes that know the losses; None where one is enough."""
    if processes == 1:
        yield None
        return
    # A fork has all that is imported; it is made before a progress bar starts its thread.
    method = "fork" if sys.platform == "linux" else "spawn"
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context(method), prepare, (list(movements),))
    try:
        pool.submit(os.getpid).result()
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: the operations are too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def outcomes(
    index: int,
    movement: Movement,
    chunks: Sequence[np.ndarray],
    settings: Settings,
    pool: ProcessPoolExecutor | None,
) -> Iterator[tuple[int, Outcome]]:
    """The chunks of one loss as they are done, by their number."""
    if pool is None:
        for number, centres in enumerate(chunks):
            yield number, simulate_chunk(movement, centres, settings.device, settings.stop)
        return
    jobs = {pool.submit(work, index, centres, settings.stop): number for number, centres in enumerate(chunks)}
    for job in as_completed(jobs):
        yield jobs[job], job.result()


def gather(found: Iterator[tuple[int, Outcome]], count: int, settings: Settings, bar: tqdm) -> dict[str, Any]:
    """What the chunks of one loss come to, the same in whatever order they arrive."""
    parts: list[Outcome | None] = [None] * count
    for number, outcome in found:
        parts[number] = outcome
        bar.update(outcome.errors.shape[1] * PER_CENTRE)
    sums = np.concatenate([outcome.errors for outcome in parts if outcome is not None], axis=1)
    totals = [settings.scale * math.fsum(row) for row in sums]
    cases_in_all = sums.shape[1] * PER_CENTRE
    shares = {
        name: sum(getattr(outcome, name) for outcome in parts if outcome is not None) / cases_in_all
        for name in ("fitted", "apart")
    }
    return {"initial": totals[0], "totals": tuple(totals[1:]), "final": tuple(sums[-1].tolist()), **shares}


def simulate(
    losses: Sequence[Chosen], settings: Settings | None = None, *, progress: bool = True, chunk: int | None = None
) -> list[Result]:
    """The simulation of some losses.

    Args:
        losses: The losses.
        settings: What is simulated.
        progress: Whether to show a bar for each loss.
        chunk: Centres at a time, a multiple of 16. It and the number of processes change the time alone.

    Raises:
        ToolError: For a setting or a loss that cannot be.
    """
    settings = settings or Settings()
    settings.check()
    movements = [movement_of(chosen, settings) for chosen in losses]
    on_cpu = torch.device(settings.device).type == "cpu"
    size = chunk or (CHUNK if on_cpu else CHUNK_OF_GPU)
    places = settings.places
    chunks = [places[start : start + size] for start in range(0, len(places), size)]
    processes = min(settings.processes or len(os.sched_getaffinity(0)), len(chunks)) if on_cpu else 1
    results = []
    with workers(movements, processes) as pool, one_thread():
        for index, (chosen, movement) in enumerate(zip(losses, movements, strict=True)):
            began = time.perf_counter()
            total, off = len(places) * PER_CENTRE, None if progress else True  # None: off where it is no terminal
            with tqdm(total=total, desc=chosen.label, unit=" cases", unit_scale=True, disable=off) as bar:
                found = gather(outcomes(index, movement, chunks, settings, pool), len(chunks), settings, bar)
            seconds = time.perf_counter() - began
            used = settings if movement.in_pixels else replace(settings, pixels=None)
            results.append(Result(chosen.line, chosen.label, used, **found, seconds=seconds))
    return results
