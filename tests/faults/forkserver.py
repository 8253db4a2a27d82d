"""Runs command lines in children that find everything imported, so that fifty of them take seconds and not minutes.

Reads one JSON object a line, ``{"argv", "cwd", "env", "log", "die_at", "kill_after"}``, and answers ``{"status",
"cpu"}``: what waitpid says, and the seconds of processor time. A child with ``die_at`` N kills itself before its N-th
change of a file below its folder, and any child leaves the number of its changes in ``<log>.changes``. One with
``kill_after`` is killed from here after so many seconds of processor time, which a loaded machine does not stretch.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import faulty
import torch
from torch import nn

from refseg.bench import registry
from refseg.bench.cli import main
from refseg.bench.grids import Grid, Setting
from refseg.methods.training import Training, cosine_with_warmup

_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree")


def grid():
    settings = tuple(Setting(f"level {i}", "faulty", {"level": str(i)}, seeded=i == 1) for i in range(2))
    return Grid("levels", "Levels", "tiles", settings)


def recipe(request):
    """A linear model, trained by the loop that all recipes share."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1)

    def compute(batch, step):
        faulty.burn()
        loss = (network(batch) - batch.sum(1, keepdim=True)).square().mean()
        return {"loss": loss, "dropped": nn.functional.dropout(batch).mean()}

    return Training(
        out=Path(request.out),
        steps=60,
        network=network,
        optimizer=torch.optim.AdamW(network.parameters(), lr=0.1),
        schedule=cosine_with_warmup(60, 5),
        make_batch=lambda step, rank: torch.randn(5, 3, generator=torch.Generator().manual_seed(step)),
        compute=compute,
        evaluate=lambda: {"dev": float(network.weight.sum().detach())},
        fingerprint="a",
        evaluate_every=20,
        # Neither divides the other: what is summed up for the log outlives a checkpoint.
        checkpoint_every=7,
        log_every=5,
    ).run(resume=request.resume)


def child(order):
    changes = 0

    def watch(event, arguments):
        nonlocal changes
        if event == "open":
            changed = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        else:
            changed = event in _CHANGES
        if not changed or not str(arguments[0]).startswith(order["cwd"]):
            return
        changes += 1
        if changes == order["die_at"]:
            os.kill(os.getpid(), signal.SIGKILL)

    os.chdir(order["cwd"])
    os.environ.update(order["env"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    me = os.getpid()
    sys.addaudithook(lambda event, arguments: watch(event, arguments) if os.getpid() == me else None)
    code = main(order["argv"])
    with open(order["log"] + ".changes", "w") as file:
        file.write(str(changes))
    os._exit(code)


def ended(pid, kill_after):
    """Wait for a child's end, and bring it about in time."""
    clock = time.clock_gettime
    # The processor time of another process, as clock_getcpuclockid(3) names its clock.
    its_clock = ((~pid) << 3) | 2
    while kill_after is not None:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if clock(its_clock) >= kill_after:
            os.kill(pid, signal.SIGKILL)
            kill_after = None
        time.sleep(0.001)
    else:
        _, status, usage = os.wait4(pid, 0)
    return {"status": status, "cpu": usage.ru_utime + usage.ru_stime}


def warm_up():
    """Do once what children do, so that they find every module there and every kernel compiled."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        method = ("--method", "faulty", "--dataset", "tiles", "--limit", "1", "--no-page")
        assert main(["run", *method, "--out", f"{folder}/run"]) == 0
        assert main(["train", "--method", "line", "--recipe", "linear", "--out", f"{folder}/train"]) == 0


def serve():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    registry.register("grids", "levels", grid)
    registry.register("recipes", "linear", recipe)
    warm_up()
    print("{}", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            child(order)
        print(json.dumps(ended(pid, order["kill_after"])), flush=True)


if __name__ == "__main__":
    serve()
