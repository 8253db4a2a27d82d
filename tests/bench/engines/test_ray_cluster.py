"""How Ray is used, with a stand-in for it: what it is asked for, and machines that come and go.

Ray itself runs in tests/faults/test_ray.py where it is installed.
"""

import sys
import types
from dataclasses import dataclass, field

import pytest

from refseg.bench.engines import choose_engine
from refseg.bench.engines.crew import CrewEngine
from refseg.bench.errors import InputError
from refseg.bench.runner import run


class RayError(Exception):
    pass


class Call:
    """The answer to a call, computed when it is asked for."""

    def __init__(self, handle, function, arguments):
        self.handle, self.function, self.arguments = handle, function, arguments


class Handle:
    """A remote actor."""

    def __init__(self, ray, made, node):
        self.ray, self.made, self.node, self.dead = ray, made, node, False

    def __getattr__(self, name):
        function = getattr(self.made, name)
        return types.SimpleNamespace(remote=lambda *arguments: Call(self, function, arguments))


@dataclass
class Ray:
    """A cluster of nodes of one CPU each; ``leaves`` says after how many answers the oldest node leaves.

    Attributes:
        nodes_: The ids of those that are there.
        leaves: Numbers of answers after which a node leaves, and another joins.
        dies: Numbers of answers that end their actor instead.
    """

    nodes_: list = field(default_factory=lambda: ["n0", "n1"])
    leaves: tuple = ()
    dies: tuple = ()
    answers: int = 0
    started: list = field(default_factory=list)
    asked: dict = field(default_factory=dict)
    initialized: bool = False
    exceptions: object = field(default_factory=lambda: types.SimpleNamespace(RayError=RayError))

    def is_initialized(self):
        return self.initialized

    def init(self, **said):
        self.initialized, self.asked["init"] = True, said

    def shutdown(self):
        self.initialized = False

    def remote(self, **resources):
        self.asked["remote"] = resources

        def wrap(actor):
            def start():
                used = [h.node for h in self.started if not h.dead]
                free = next((n for n in self.nodes_ if n not in used), None)
                self.started.append(Handle(self, actor(), free))
                return self.started[-1]

            return types.SimpleNamespace(remote=start)

        return wrap

    def wait(self, refs, num_returns, timeout):
        # An actor without a node waits for one.
        ready = [r for r in refs if r.handle.node is not None]
        return ready[:num_returns], []

    def get(self, ref):
        handle = ref.handle
        self.answers += 1
        if self.answers in self.leaves:
            self.nodes_.remove(handle.node)
            self.nodes_.append(f"n{self.answers + 1}")
        if handle.node not in self.nodes_:
            raise RayError("The actor died.\n\tThe actor is dead because its node has died.")
        if self.answers in self.dies:
            raise RayError(
                "The actor died unexpectedly: a node of the dead actor, worker exit type SYSTEM_ERROR"
            )
        self.current = handle.node
        return ref.function(*ref.arguments)

    def get_runtime_context(self):
        return types.SimpleNamespace(get_node_id=lambda: self.current)

    def nodes(self):
        return [{"NodeID": n, "Alive": True} for n in self.nodes_]

    def cluster_resources(self):
        return {"CPU": float(len(self.nodes_))}

    def kill(self, handle, no_restart):
        handle.dead = True


@pytest.fixture
def ray(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster = Ray()
    monkeypatch.setitem(sys.modules, "ray", cluster)
    return cluster


def predictions(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.glob("predictions/*/*.json")}


@pytest.fixture
def runs(request_, tmp_path):
    """Run ``probe`` by an engine; returns the result and the predictions."""
    from dataclasses import replace

    def start(name, **more):
        result = run(replace(request_, out=str(tmp_path / name), **more))
        return {**result, "run": ""}, predictions(tmp_path / name)

    return start


@pytest.mark.parametrize("leaves", [(), (3,), (4,), (3, 6)])
def test_nodes_that_leave_and_join_lose_nothing(runs, ray, probe, leaves):
    whole = runs("whole")
    ray.leaves = leaves
    assert runs("ray", engine="ray", jobs=None) == whole
    assert ray.asked["init"]["address"] is None and not ray.initialized
    assert ray.asked["remote"] == {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
    # A node may leave when its actor has nothing left to do.
    assert 2 + bool(leaves) <= len(ray.started) <= 2 + len(leaves) and all(h.dead for h in ray.started)
    assert ray.answers >= max(leaves, default=0)


def test_an_actor_that_dies_costs_a_try_of_its_video(runs, ray, probe):
    whole = runs("whole")
    # The first two answers are that the actors are ready.
    ray.dies = (3,)
    assert runs("ray", engine="ray", jobs=None) == whole


def test_the_users_own_cluster_is_used_and_left(runs, ray, probe, monkeypatch):
    ray.initialized = True
    runs("ray", engine="ray", jobs=1)
    assert ray.initialized and "init" not in ray.asked and len(ray.started) == 1


def test_a_cluster_that_cannot_be_reached_is_told(runs, ray, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "nowhere:6379")

    def fail(**said):
        raise ConnectionError("no answer")

    monkeypatch.setattr(ray, "init", fail, raising=False)
    with pytest.raises(InputError, match=r"Ray cluster at nowhere:6379 cannot be reached .*no answer"):
        runs("ray", engine="ray")


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"refseg-bench\[distributed\]"):
        choose_engine("ray")


def test_engines_are_chosen_by_what_they_are_for():
    assert choose_engine("local").needs_method and choose_engine("local", jobs=1).needs_method
    for options in ({"jobs": 2}, {"time_limit": 5.0}):
        engine = choose_engine("local", **options)
        assert isinstance(engine, CrewEngine) and not engine.needs_method
