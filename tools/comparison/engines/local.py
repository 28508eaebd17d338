"""Runs in processes of this machine: one for each GPU, or as many as are asked for."""

from __future__ import annotations

import os
import subprocess
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType

import torch

from ..jobs import Job
from ..words import counted
from .process import judge, start

ATTEMPTS = 2
"""How often a run is tried where trying again may help."""


class LocalEngine:
    """Threads of a pool, each of which waits for the process of a run.

    Args:
        jobs: Number of processes at once; by default one for each GPU, or one without a GPU.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self.gpus = visible_gpus()
        self.jobs = jobs or max(1, len(self.gpus))
        self.places: SimpleQueue[dict[str, str]] = SimpleQueue()
        for number in range(self.jobs):
            self.places.put(self.variables(number))
        self.pool = ThreadPoolExecutor(self.jobs, thread_name_prefix="run")
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.lock = threading.Lock()
        self.stopping = False

    def variables(self, number: int) -> dict[str, str]:
        """Return what the environment of a place says: its GPU, or one thread."""
        if self.gpus:
            return {"CUDA_VISIBLE_DEVICES": self.gpus[number % len(self.gpus)]}
        return {"OMP_NUM_THREADS": "1"}

    def about(self) -> str:
        """Say where the runs take place."""
        where = counted(len(self.gpus), "GPU") if self.gpus else "a CPU, a thread for each"
        return f"{counted(self.jobs, 'run')} at once on this machine, on {where}"

    def submit(self, job: Job) -> Future[None]:
        """Queue a run."""
        return self.pool.submit(self.work, job)

    def work(self, job: Job) -> None:
        """Do a run in a process, and once more where that may help."""
        place = self.places.get()
        try:
            for _ in range(ATTEMPTS):
                with self.lock:
                    if self.stopping:
                        return
                    process = start(job, place)
                    self.processes.add(process)
                code = process.wait()
                with self.lock:
                    self.processes.discard(process)
                    if self.stopping:
                        return
                if not judge(job, code):
                    return
        finally:
            self.places.put(place)

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self.lock:
            self.stopping = True
            for process in self.processes:
                process.terminate()
        self.pool.shutdown(wait=True, cancel_futures=True)


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` takes them."""
    number = torch.cuda.device_count()
    given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return given[:number] if given else [str(index) for index in range(number)]
