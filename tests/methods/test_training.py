import csv
import errno
import itertools
import multiprocessing
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from refseg.bench.atomic import DiskFullError
from refseg.bench.errors import DataError, Fault, InputError
from refseg.bench.locks import locked
from refseg.methods.training import Training, cosine_with_warmup


def numbers(step, rank=0, processes=1):
    """A batch of five rows, or the share of it that a process computes."""
    whole = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
    return whole[rank::processes]


class Stop(Exception):
    """The training's end by force."""


def training(out, *, steps=12, stop_at=None, fingerprint="a", processes=1, evaluate_every=4):
    torch.manual_seed(0)
    network = nn.Linear(3, 1)

    def compute(batch, step):
        if step == stop_at:
            raise Stop
        loss = (network(batch) - batch.sum(1, keepdim=True)).square().mean()
        return {"loss": loss, "same": loss}

    return network, Training(
        out=out,
        steps=steps,
        network=network,
        optimizer=torch.optim.AdamW(network.parameters(), lr=0.1),
        schedule=cosine_with_warmup(steps, 3),
        make_batch=lambda step, rank: numbers(step, rank, processes),
        compute=compute,
        evaluate=lambda: {"dev_score": float(network.weight.sum().detach())},
        fingerprint=fingerprint,
        evaluate_every=evaluate_every,
        checkpoint_every=4,
        log_every=2,
        rows=len,
        processes=processes,
    )


def log(out):
    with (out / "log.csv").open() as file:
        return [tuple(r) for r in csv.reader(file) if not r[1].endswith("_seconds")]


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path, capsys):
    whole, run = training(tmp_path / "whole")
    run.run(resume=False)
    # A log file gets lines, as from every command, and no bar.
    assert "training: 12/12 steps in " in (said := capsys.readouterr().err) and "\x1b" not in said
    _, run = training(tmp_path / "parts", stop_at=7)
    with pytest.raises(Stop):
        run.run(resume=False)
    parts, run = training(tmp_path / "parts")
    spent = run.run(resume=True)
    assert "training from step 4: 8/8 steps in " in capsys.readouterr().err
    assert torch.equal(parts.weight, whole.weight)
    assert log(tmp_path / "parts") == log(tmp_path / "whole")
    assert spent["wall_seconds"] > 0
    assert (tmp_path / "parts/curve.png").read_bytes().startswith(b"\x89PNG")


def test_steps_that_are_evaluated_are_logged_whatever_else_is(tmp_path):
    """Means in a row of the log are over the steps since the row before; also where a checkpoint lies between."""
    given = {"steps": 11, "evaluate_every": 3}
    seen = []
    _, run = training(tmp_path / "whole", **given)
    inner = run.compute
    run.compute = lambda batch, step: (found := inner(batch, step), seen.append(float(found["loss"])))[0]
    run.run(resume=False)
    rows = log(tmp_path / "whole")
    assert [int(s) for s, name, _ in rows if name == "dev_score"] == [3, 6, 9, 11]
    losses = [(int(s), float(value)) for s, name, value in rows if name == "loss"]
    assert [s for s, _ in losses] == [2, 3, 4, 6, 8, 9, 10, 11]
    for (before, _), (step, mean) in itertools.pairwise([(0, 0.0), *losses]):
        assert mean == pytest.approx(sum(seen[before:step]) / (step - before), rel=1e-6)
    for stop_at in (5, 10):
        parts = tmp_path / f"parts{stop_at}"
        with pytest.raises(Stop):
            training(parts, stop_at=stop_at, **given)[1].run(resume=False)
        training(parts, **given)[1].run(resume=True)
        assert log(parts) == rows


def test_a_figure_that_some_steps_lack_is_averaged_over_those_that_have_it(tmp_path):
    def made(out, stop_at=None):
        _, run = training(out, stop_at=stop_at)
        inner = run.compute
        run.compute = lambda batch, step: {
            **inner(batch, step),
            **({"rare": torch.tensor(float(step))} if step % 3 == 0 else {}),
        }
        run.log_every = 6
        return run

    made(tmp_path / "whole").run(resume=False)
    rows = log(tmp_path / "whole")
    # Rows of the log are at 4, 6, 8 and 12; steps count from 0.
    assert [(s, float(v)) for s, name, v in rows if name == "rare"] == [("4", 1.5), ("8", 6), ("12", 9)]
    with pytest.raises(Stop):
        made(tmp_path / "parts", stop_at=10).run(resume=False)
    made(tmp_path / "parts").run(resume=True)
    assert log(tmp_path / "parts") == rows


def test_processes_that_share_a_batch_learn_what_one_learns(tmp_path):
    alone, run = training(tmp_path / "one")
    run.run(resume=False)
    shared, run = training(tmp_path / "two", processes=2)
    run.run(resume=False)
    torch.testing.assert_close(shared.weight, alone.weight, rtol=1e-5, atol=1e-6)
    for one, two in zip(log(tmp_path / "one")[1:], log(tmp_path / "two")[1:], strict=True):
        assert one[:2] == two[:2]
        assert float(two[2]) == pytest.approx(float(one[2]), rel=1e-4)


def test_processor_time_is_the_whole_teams(tmp_path):
    def burn():
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    for processes in (1, 2):
        _, run = training(tmp_path / str(processes), processes=processes)
        inner = run.compute
        run.compute = lambda batch, step, inner=inner: (burn(), inner(batch, step))[1]
        spent = run.run(resume=False)
        assert spent["cpu_seconds"] >= processes * run.steps * 0.02


@pytest.mark.timeout(60)
def test_a_shared_training_stops_as_one_and_goes_on(tmp_path):
    whole, run = training(tmp_path / "whole", processes=2)
    run.run(resume=False)
    _, run = training(tmp_path / "parts", stop_at=7, processes=2)
    with pytest.raises(Stop):
        run.run(resume=False)
    assert not multiprocessing.active_children()
    parts, run = training(tmp_path / "parts", processes=2)
    run.run(resume=True)
    assert torch.equal(parts.weight, whole.weight)


def test_a_checkpoint_is_neither_overwritten_nor_taken_for_another(tmp_path):
    _, run = training(tmp_path)
    run.run(resume=False)
    _, again = training(tmp_path)
    with pytest.raises(InputError, match="--resume"):
        again.run(resume=False)
    _, other = training(tmp_path, fingerprint="b")
    with pytest.raises(InputError, match="other settings"):
        other.run(resume=True)
    with pytest.raises(InputError, match="nothing to resume"):
        training(tmp_path / "none")[1].run(resume=True)


def test_the_schedule_rises_and_falls():
    factor = cosine_with_warmup(100, 10)
    values = [factor(s) for s in range(100)]
    assert values[:10] == sorted(values[:10])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert max(values) == pytest.approx(1.0)
    assert values[-1] == pytest.approx(0.02, abs=0.01)


def test_a_schedule_can_hold_before_it_falls():
    factor, plain = cosine_with_warmup(100, 10, hold=40), cosine_with_warmup(60, 0)
    assert [factor(s) for s in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert {factor(s) for s in range(9, 41)} == {1.0}
    assert [factor(40 + s) for s in range(60)] == pytest.approx([plain(s) for s in range(60)])


def test_tensorboard_gets_what_the_csv_gets_where_it_is_installed(tmp_path, monkeypatch):
    boards = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            self.folder, self.purge_step, self.rows, self.closed = folder, purge_step, [], False
            boards.append(self)

        def add_scalar(self, name, value, step):
            self.rows.append((str(step), name, str(value)))

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=SummaryWriter))
    _, run = training(tmp_path, stop_at=7)
    with pytest.raises(Stop):
        run.run(resume=False)
    _, run = training(tmp_path)
    run.run(resume=True)
    first, second = boards
    rows = [r for r in (*[r for r in first.rows if int(r[0]) <= 4], *second.rows) if "_seconds" not in r[1]]
    assert rows == log(tmp_path)[1:]
    # What an interrupted training logged after its checkpoint is purged.
    assert (first.purge_step, second.purge_step, second.closed) == (None, 5, True)
    assert first.folder == str(tmp_path / "tensorboard")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_of_the_data_is_told_as_it_is(tmp_path, workers):
    def make(step, rank):
        if step == 3:
            raise DataError(Fault("damaged", "a.jpg", "a.jpg is damaged; copy it again."))
        return numbers(step)

    _, run = training(tmp_path)
    run.make_batch, run.workers = make, workers
    with pytest.raises(DataError, match=r"^a\.jpg is damaged; copy it again\.$") as told:
        run.run(resume=False)
    assert told.value.fault.file == "a.jpg"


def test_parts_of_a_batch_add_up_to_it(tmp_path):
    whole, run = training(tmp_path / "whole")
    run.run(resume=False)
    parts, run = training(tmp_path / "parts")
    run.parts = lambda batch: (batch[:2], batch[2:])
    run.run(resume=False)
    torch.testing.assert_close(parts.weight, whole.weight, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_may_hold_only_what_is_learnable(tmp_path):
    network, run = training(tmp_path, stop_at=7)
    network.register_parameter("frozen", nn.Parameter(torch.ones(3), requires_grad=False))
    run.whole = False
    with pytest.raises(Stop):
        run.run(resume=False)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]
    assert set(state) == {"weight", "bias"}


def test_a_second_training_in_a_folder_is_told(tmp_path):
    with locked(tmp_path, "training"), pytest.raises(InputError, match="Another training is at work"):
        training(tmp_path)[1].run(resume=False)


def test_a_folder_that_cannot_be_written_is_told():
    # Nobody, not even root, makes a folder there.
    with pytest.raises(InputError, match="/proc/refseg/out cannot be written"):
        training(Path("/proc/refseg/out"))[1].run(resume=False)


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_full_disk_costs_what_is_after_the_last_checkpoint(tmp_path, monkeypatch, write):
    whole, run = training(tmp_path / "whole")
    run.run(resume=False)
    replace, done = os.replace, []

    def full(source, target):
        done.append(target)
        if len(done) >= write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    _, run = training(tmp_path / "parts")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(DiskFullError, match=r"No space is left for .*checkpoint\.pt"):
            run.run(resume=False)
    parts, run = training(tmp_path / "parts")
    run.run(resume=write > 1)
    assert torch.equal(parts.weight, whole.weight) and log(tmp_path / "parts") == log(tmp_path / "whole")
    assert not list((tmp_path / "parts").glob(".tmp-*"))


def test_a_log_goes_on_with_what_was_summed_up_before_a_checkpoint(tmp_path):
    """Checkpoints every third step and a log every second one: a mean has a step on either side."""
    logs = []
    for name, stop_at in (("whole", None), ("parts", 5)):
        _, run = training(tmp_path / name, stop_at=stop_at)
        run.checkpoint_every = 3
        if stop_at is not None:
            with pytest.raises(Stop):
                run.run(resume=False)
            _, run = training(tmp_path / name)
            run.checkpoint_every = 3
        run.run(resume=stop_at is not None)
        logs.append(log(tmp_path / name))
    assert logs[0] == logs[1]
