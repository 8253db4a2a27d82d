"""Trainings of a grid's settings: each is made once, goes on where it stopped, and is used again as it is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refseg.bench import registry
from refseg.bench.atomic import safe_name, write_json
from refseg.bench.errors import InputError
from refseg.bench.grids import Setting, Training
from refseg.bench.progress import Progress
from refseg.bench.provenance import code_revision
from refseg.bench.types import TrainRequest

RECORD = "trained.json"
"""Name of what a finished training leaves beside its weights."""


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        name: The training's name in its grid.
        out: Its folder.
        weights: The file of what was learnt.
        sha256: Hash of that file.
        facts: What it was: method, recipe, options, figures, code revision.
    """

    name: str
    out: Path
    weights: Path
    sha256: str
    facts: Mapping[str, Any]


def train_setting(
    setting: Setting,
    trainings: Sequence[Training],
    folder: Path,
    *,
    seed: int,
    quick: bool,
    fresh: bool,
    device: str,
    progress: Progress,
) -> list[Trained]:
    """Do a setting's trainings in order, those that are not done yet.

    Args:
        setting: What is trained.
        trainings: How.
        folder: Where trainings lie; those that two settings share are made once.
        seed: Of all of them.
        quick: Take a few steps only.
        fresh: Train anew.
        device: torch device string.
        progress: Where notes go.

    Raises:
        InputError: What the recipes raise.
    """
    done: list[Trained] = []
    for training in trainings:
        options = options_of(setting, training, seed=seed, quick=quick)
        method = training.method or setting.method
        key = {"method": method, "recipe": training.recipe, "options": _by_content(options, done)}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:10]
        out = folder / safe_name(f"{training.name}-{digest}")
        paths = {t.name: str(t.weights) for t in done}
        request = TrainRequest(
            method,
            training.recipe,
            {k: v.format(**paths) for k, v in options.items()},
            str(out),
            device=device,
        )
        done.append(_train(training.name, request, key, fresh=fresh, progress=progress))
    return done


def options_of(setting: Setting, training: Training, *, seed: int, quick: bool) -> dict[str, str]:
    """Return the options of a setting's training; weights of earlier ones stand as ``{name}``."""
    given = {"seed": str(seed), **setting.switches, **setting.training}
    taken = {k: v for k, v in given.items() if training.takes is None or k in training.takes}
    return {**training.options, **taken, **(training.quick if quick else {})}


def _by_content(options: Mapping[str, str], done: Sequence[Trained]) -> dict[str, str]:
    """Return options with the hashes of weights in the place of their paths."""
    return {k: v.format(**{t.name: t.sha256 for t in done}) for k, v in options.items()}


def _train(
    name: str, request: TrainRequest, key: Mapping[str, Any], *, fresh: bool, progress: Progress
) -> Trained:
    out = Path(request.out)
    if fresh and out.exists():
        _clear(out)
    facts = _read(out)
    if facts is None:
        recipe = registry.resolve("recipes", request.recipe)
        resume = (out / "checkpoint.pt").exists()
        progress.note(f"{'goes on' if resume else 'begins'}: {request.recipe} in {out}")
        figures = dict(recipe(replace(request, resume=resume)) or {})
        facts = {**key, "figures": figures, "code": code_revision()}
        write_json(out / RECORD, facts, indent=2)
        # The checkpoint has done its work and is larger than the weights.
        (out / "checkpoint.pt").unlink(missing_ok=True)
    elif facts["code"] != code_revision():
        progress.note(f"{out} was trained by other code ({facts['code']}); --fresh trains it anew")
    found = list(out.glob("*.safetensors"))
    if len(found) != 1:
        raise InputError(
            f"{out} holds {len(found)} weights where one is expected; give --fresh to train it anew."
        )
    with found[0].open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Trained(name, out, found[0], sha256, facts)


def _read(out: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads((out / RECORD).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise InputError(f"{out / RECORD} is damaged; give --fresh to train it anew.") from None
    return facts


def _clear(out: Path) -> None:
    """Delete a training's folder, and nothing that is none."""
    if not any((out / name).exists() for name in (RECORD, "checkpoint.pt", "log.csv")):
        raise InputError(f"{out} is no training's folder, so --fresh does not delete it; give another --out.")
    shutil.rmtree(out)
