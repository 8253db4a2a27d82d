"""A Ray cluster of two nodes on this machine: one leaves in mid-run, another joins, and nothing is lost.

Runs with ``pytest -m distributed`` where Ray is installed. A very busy machine may still be too slow: Ray
waits 30 s for a node.
"""

import json
import threading
import time

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


def test_a_node_that_leaves_in_mid_run_loses_nothing(cluster, runs, tmp_path):
    whole = runs("whole", options={"dataset.videos": "8"})
    first = cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    out = tmp_path / "run"

    def leave_and_join():
        while len(masks(out)) < 6:
            time.sleep(0.05)
        cluster.remove_node(first, allow_graceful=False)
        cluster.add_node(num_cpus=1)

    meanwhile = threading.Thread(target=leave_and_join)
    meanwhile.start()
    result = runs("run", options={"dataset.videos": "8"}, engine="ray", jobs=None)
    meanwhile.join()
    assert {**result, "run": ""} == {**whole, "run": ""} and masks(out) == masks(tmp_path / "whole")
    record = json.loads((out / "run.json").read_bytes())
    assert record["engine"]["name"] == "ray" and result["failures"] == []


def test_an_actor_that_dies_costs_one_video_and_is_tried_again(cluster, runs, tmp_path, monkeypatch):
    whole, told = runs("whole"), "v2=die+once,v3=hang+crowd,v1=raise"
    # Actors have the environment of their node.
    monkeypatch.setenv("FAULTY", told)
    cluster.add_node(num_cpus=2)
    result = runs("run", told, engine="ray", jobs=2, time_limit=20.0)
    assert [f["video"] for f in result["failures"]] == ["v1"]
    left = {n: data for n, data in masks(tmp_path / "whole").items() if n.parts[1] != "v1"}
    assert masks(tmp_path / "run") == left and whole["failures"] == []
