"""A Ray cluster of two nodes on this machine: one leaves in mid-run, another joins, and nothing is lost.

Runs with ``pytest -m distributed`` where Ray is installed. A very busy machine may still be too slow: Ray
waits 30 s for a node.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.distributed


def masks(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.glob("predictions/*/*.json")}


@pytest.fixture
def cluster(installed, monkeypatch):
    """A head without room for workers, and what adds nodes to it."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("FAULTY_MS", "150")
    # Ray's own processes have little time to start, which a loaded machine does not give them.
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "600000")
    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "600")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    cluster.shutdown()


def test_nodes_that_leave_and_join_in_mid_run_lose_nothing(cluster, runs, tmp_path):
    """In the end the node that joined is the only one."""
    options = {"dataset.videos": "12"}
    whole = runs("whole", options=options)
    out, nodes = tmp_path / "run", [cluster.add_node(num_cpus=1) for _ in range(2)]
    # Ray starts nodes from the first thread alone, so the run has another.
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(runs, "run", options=options, engine="ray", jobs=None)
        for before, join in [(6, True), (15, False)]:
            while len(masks(out)) < before:
                assert not running.done(), running.result()
                time.sleep(0.05)
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
            if join:
                cluster.add_node(num_cpus=1)
        left = len(masks(out))
        result = running.result()
    assert {**result, "run": ""} == {**whole, "run": ""} and masks(out) == masks(tmp_path / "whole")
    record = json.loads((out / "run.json").read_bytes())
    assert record["engine"]["name"] == "ray" and result["failures"] == []
    assert left < len(masks(out)), "nothing was left for the node that joined"


def test_an_actor_that_dies_costs_one_video_and_is_tried_again(cluster, runs, tmp_path, monkeypatch):
    whole, told = runs("whole"), "v2=die+once,v3=hang+crowd,v1=raise"
    # Actors have the environment of their node.
    monkeypatch.setenv("FAULTY", told)
    cluster.add_node(num_cpus=2)
    result = runs("run", told, engine="ray", jobs=2, time_limit=20.0)
    assert [f["video"] for f in result["failures"]] == ["v1"]
    left = {n: data for n, data in masks(tmp_path / "whole").items() if n.parts[1] != "v1"}
    assert masks(tmp_path / "run") == left and whole["failures"] == []
