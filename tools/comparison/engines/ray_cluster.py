"""Runs as tasks of a Ray cluster, which places them, and tries again what a lost node or worker did not finish."""

from __future__ import annotations

import logging
import os
import socket
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tool_runtime.errors import ToolError

from ..jobs import Job, python_path
from .process import judge, start

if TYPE_CHECKING:
    from ray import ObjectRef

RETRIES = 3
"""How often Ray starts a run again whose node or process was lost."""
SECONDS_TO_REACH, SECONDS_TO_LOOK = 10, 60


class Retry(Exception):
    """The run failed in a way that need not happen again."""


class RayEngine:
    """Tasks of Ray, each with a GPU where the cluster has any, else with a CPU.

    The nodes see the folder of the comparison, the data and this installation under the same paths.

    Args:
        address: Of the cluster, as for ``ray.init``; without one a cluster that runs here, or one of its own.
        folder: The directory of the comparison.

    Raises:
        ToolError: Where Ray is missing, the cluster is not reached, or a node does not see the folder.
    """

    def __init__(self, address: str | None, folder: Path) -> None:
        try:
            import ray
        except ImportError:
            raise ToolError("--engine ray needs Ray: pip install 'mmdet-losses[cluster]'") from None
        self.ray = ray
        self.mine = not ray.is_initialized()
        if self.mine:
            reach(address or os.environ.get("RAY_ADDRESS"))
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                raise unreachable(address or "this machine", error) from None
        self.gpus = int(ray.cluster_resources().get("GPU", 0))
        self.refs: list[ObjectRef[Any]] = []
        needs = {"num_gpus": 1, "num_cpus": 1} if self.gpus else {"num_cpus": 1}
        environment = {"env_vars": {"PYTHONPATH": python_path()}}
        self.task = ray.remote(**needs, max_retries=RETRIES, retry_exceptions=[Retry], runtime_env=environment)(work)
        self.folder = folder
        self.environment = environment

    def about(self) -> str:
        """Say where the runs take place."""
        nodes = sum(node["Alive"] for node in self.ray.nodes())
        units = f"{self.gpus} GPUs" if self.gpus else f"{int(self.ray.cluster_resources().get('CPU', 0))} CPUs"
        return f"a Ray cluster of {nodes} node{'s' * (nodes > 1)} with {units}, one for each run"

    def check_nodes(self) -> None:
        """Stop where a node does not see the comparison's directory.

        Raises:
            ToolError: With the node.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        look = self.ray.remote(num_cpus=0, runtime_env=self.environment)(sees)
        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in self.ray.nodes() if node["Alive"]}
        looks = {
            look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                str(self.folder.absolute())
            ): address
            for node, address in nodes.items()
        }
        for ref, address in looks.items():
            try:
                problem = self.ray.get(ref, timeout=SECONDS_TO_LOOK)
            except self.ray.exceptions.RayError as error:
                problem = f"does not answer: {type(error).__name__}: {' '.join(str(error).split())[-300:]}"
            if problem:
                raise ToolError(f"--engine ray: node {address} {problem}")

    def submit(self, job: Job) -> Future[None]:
        """Queue a run."""
        ref = self.task.remote(job)
        self.refs.append(ref)
        return ref.future()

    def __enter__(self) -> RayEngine:
        self.check_nodes()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            for ref in self.refs:
                self.ray.cancel(ref, force=True)
        if self.mine:
            self.ray.shutdown()


def reach(address: str | None) -> None:
    """Stop where nothing answers at an address, which Ray itself would try to reach for minutes.

    Raises:
        ToolError: With the address.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():  # "auto", "local" or none: Ray looks for a cluster on this machine
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_REACH).close()
    except (OSError, OverflowError) as error:
        raise unreachable(address, error) from None


def unreachable(address: str | None, error: Exception) -> ToolError:
    """Return the error of a cluster that is not there."""
    reason = " ".join(str(error).split())[:300]
    return ToolError(
        f"--engine ray: no cluster at {address} ({type(error).__name__}: {reason}); start one with `ray start --head`, "
        "and give its --address"
    )


def sees(folder: str) -> str:
    """Return what a node lacks: in a task of Ray."""
    if not Path(folder).is_dir():
        return f"does not see the folder {folder}: --work-dir has to be on a file system that all nodes share"
    return ""


def work(job: Job) -> None:
    """Do a run in a process of its own: the task of Ray."""
    import ray

    variables = {} if ray.get_gpu_ids() else {"OMP_NUM_THREADS": "1"}
    process = start(job, variables)
    try:
        code = process.wait()
    finally:
        process.kill()
    if judge(job, code):
        raise Retry(f"{job.label}, in process {os.getpid()}")
