"""The kernels as C functions of pointers and numbers."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import c_double, c_int, c_int64, c_void_p
from functools import cache
from threading import Lock

import torch

from .build import load, parallel_runner

LARGE = 2**14
"""Inputs of this many elements or more are split among threads."""
COMMON = (*[c_void_p] * 4, c_int, *[c_int64] * 2, c_double, *[c_void_p] * 2, c_int, c_void_p)
"""What all kernels begin with, cpp/loss.h: prediction, labels, target, weight, its form, rows, columns, scale,
gradient, value, threads and what runs them."""
NUMBERS = {
    "boxes": (c_int, c_double, c_double),  # kind, two options
    "logits": (c_int, c_double, c_double),  # kind, two options
    "softmax": (),
    "distribution": (c_double, c_double),  # first bin, bins per unit
}
"""Each kernel's own arguments."""
SOURCE = {"boxes": "boxes", "logits": "logits", "softmax": "logits", "distribution": "logits"}
lock = Lock()
forked = False
"""Whether this process was forked, and so lacks the threads of its parent's OpenMP."""


def note_fork() -> None:
    global forked, lock
    forked, lock = True, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=note_fork)


def threads_for(elements: int) -> int:
    """How many threads share so many elements."""
    return 1 if elements < LARGE or forked else torch.get_num_threads()


@cache
def library(source: str) -> ctypes.CDLL:
    return load(source)


@cache
def runner() -> int | None:
    return parallel_runner()


@cache
def kernel(name: str) -> tuple[Callable[..., None], int | None]:
    """A kernel, compiled on first use, and what it divides its work with.

    Raises:
        BuildError: Where it cannot be had.
    """
    with lock:
        function = library(SOURCE[name])[name]
    function.argtypes = (*COMMON, *NUMBERS[name])
    function.restype = None
    return function, runner()
