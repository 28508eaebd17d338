"""tools/compare.py on a Ray cluster of two nodes, one of which is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmdet")
pytest.importorskip("statsmodels")
pytest.importorskip("ray")

import ray
from comparing import CONFIG, LOSS, tiny
from comparison import run as running
from comparison import variants
from comparison.engines.local import LocalEngine
from comparison.engines.ray_cluster import RayEngine
from comparison.plan import Plan
from comparison.results import Results
from ray.cluster_utils import Cluster
from tool_runtime.errors import ToolError


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes of a CPU each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def plan_of(folder: Path, data_root: Path) -> Plan:
    plan = Plan(
        CONFIG,
        variants.from_vary([f"{LOSS}=GIoULoss,CIoULoss,WIoULoss"]),
        seeds=[0, 1],
        folder=folder,
        options=tiny(data_root),
        length=("epochs", 2),
    )
    plan.save()
    return plan


def table(found: Results) -> list[tuple[Any, ...]]:
    """All that was measured, without time and memory."""
    return [(run.variant, run.seed, run.status, run.metrics, run.per_class, run.errors) for run in found.runs]


def test_a_node_is_lost_half_way(cluster: Cluster, tmp_path: Path) -> None:
    """Six runs end, with the table of the engine of one machine."""
    node = cluster.add_node(num_cpus=1)
    plan = plan_of(tmp_path / "ray", tmp_path / "data")
    engine = RayEngine(cluster.address, plan.folder)
    assert "2 nodes with 2 CPUs" in engine.about()
    lost: dict[str, Any] = {}

    def lose() -> None:
        """Once the third run has ended and another is on its way on the node that is lost."""
        while not lost:
            done = [job for job in plan.jobs() if job.result() is not None]
            busy = [job for job in plan.jobs() if job.result() is None and job.progress() > 0]
            if len(done) >= 2 and len(busy) == 2:
                lost["done"] = len(done)
                cluster.remove_node(node, allow_graceful=False)
            time.sleep(0.1)

    killer = threading.Thread(target=lose, daemon=True)
    killer.start()
    on_ray = running.run_all(plan, engine)
    killer.join(timeout=60)
    assert lost["done"] < 5
    assert [run.status for run in on_ray.runs] == ["done"] * 6
    starts = [job.file("log.txt").read_text().count("30 losses in place of") for job in plan.jobs()]
    assert sum(starts) == 7, "one run was begun on the node that was lost, and begun again"

    local = plan_of(tmp_path / "local", tmp_path / "data")
    assert table(running.run_all(local, LocalEngine(jobs=2))) == table(on_ray)


def test_a_node_that_does_not_see_the_folder(cluster: Cluster, tmp_path: Path) -> None:
    engine = RayEngine(cluster.address, tmp_path / "nowhere")
    with pytest.raises(ToolError, match=r"does not see the folder .*nowhere"), engine:
        pass


def test_no_cluster_at_an_address(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ToolError, match=r"no cluster at 127\.0\.0\.1:1 .*ray start --head"):
        RayEngine("127.0.0.1:1", tmp_path)
    assert time.monotonic() - began < 20


def test_a_run_that_fails_for_good(cluster: Cluster, tmp_path: Path) -> None:
    """Its error is the run's, and it is not begun again."""
    plan = plan_of(tmp_path / "runs", tmp_path / "data")
    (job, *_) = plan.jobs()
    Path(job.config).write_text(Path(job.config).read_text().replace("GIoULoss", "NoLoss"))
    with RayEngine(cluster.address, plan.folder) as engine:
        future = engine.submit(job)
        future.result(timeout=300)
    assert json.loads(job.file("failure.json").read_text())["again"] is False
    assert "unknown loss 'NoLoss'" in running.conclude(job, future)
