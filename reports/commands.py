"""The commands that fill a table's empty cells."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from refseg.bench import registry
from refseg.bench.cards import find_card
from refseg.reports.claims import Claim
from refseg.reports.paper import FULL, Spec, slug

ELSEWHERE = "its code is not part of this package; tests/plugin_example shows how to add a method"
HIDDEN = "the labels of this split are hidden; only its server scores it"
NOT_TIMED = "nothing in this version times methods"

_SAM = "sam_"
_NEEDS: Mapping[str, tuple[str, ...]] = {"ftvr_sam": ("source=PATH",)}


def fill(spec: Spec, claims: Sequence[Claim], runs: str) -> dict[tuple[str, str], str]:
    """Return what measures the numbers of one row, by dataset and split.

    Args:
        spec: The table.
        claims: The row's numbers that are not measured.
        runs: The folder that ``bench report`` looks through.
    """
    made = {c.split_key: c for c in reversed(claims)}
    return {key: _one(spec, claim, runs) for key, claim in reversed(made.items())}


def template(commands: Mapping[tuple[str, str], str]) -> list[str]:
    """Return a row's commands for people: those that differ in dataset and split only are one with holes."""
    if len(commands) < 2:
        return list(dict.fromkeys(commands.values()))
    holed = (
        text.replace(f"--dataset {dataset} --split {split}", "--dataset DATASET --split SPLIT").replace(
            f"-{dataset}-{split}", "-DATASET-SPLIT"
        )
        for (dataset, split), text in commands.items()
    )
    return list(dict.fromkeys(holed))


def _one(spec: Spec, claim: Claim, runs: str) -> str:
    if spec.kind == "params":
        return _params(claim, runs)
    if spec.kind == "speed":
        return _speed(claim, runs)
    if spec.grid in registry.table("grids"):
        return _ablate(spec.grid, claim.dataset, runs)
    if not claim.dataset:
        return f"the grid {spec.grid} is not part of this version"
    return _score(spec, claim, runs)


def _ablate(grid: str, dataset: str, runs: str) -> str:
    where = ("--dataset", dataset) if dataset else ()
    return _command("bench", "ablate", grid, *where, "--out", f"{runs}/{grid}")


def _score(spec: Spec, claim: Claim, runs: str) -> str:
    dataset, split = claim.split_key
    where = ("--dataset", dataset, "--split", split)
    card = find_card(dataset)
    if card is not None and card.splits[split].labels == "hidden":
        return HIDDEN
    if claim.id not in registry.table("methods"):
        return _command(
            "bench", "score", "MASKS", *where, "--json", f"{runs}/{spec.id_of(claim)}-{dataset}-{split}.json"
        )
    changed = {k: v for k, v in spec.options(claim).items() if v != FULL.get(k)}
    sets = [f"{k}={str(v).lower()}" for k, v in changed.items()] + list(_NEEDS.get(claim.id, ()))
    if changed:
        # What is varied is varied in training too, and its runs need a folder of their own.
        sets.append("checkpoint=FILE")
    name = slug(claim.id, claim.setting) if changed else claim.id
    target = f"{runs}/{name}-{dataset}-{split}"
    return _command("bench", "run", "--method", claim.id, *where, "--out", target, *_sets(sets))


def _params(claim: Claim, runs: str) -> str:
    target = ("--json", f"{runs}/params-{claim.id}.json")
    if claim.id.startswith(_SAM):
        size = claim.id.removeprefix(_SAM)
        return _command("bench", "params", "--method", "persam_gdino", *_sets([f"sam={size}"]), *target)
    if claim.id not in registry.table("methods"):
        return ELSEWHERE
    return _command("bench", "params", "--method", claim.id, *target)


def _speed(claim: Claim, runs: str) -> str:
    if claim.id not in registry.table("methods"):
        return ELSEWHERE
    if find_spec("refseg.bench.cli.speed") is None:
        return NOT_TIMED
    target = ("--json", f"{runs}/speed-{claim.id}.json")
    return _command("bench", "speed", "--method", claim.id, "--dataset", "refdavis17", *target)


def _sets(pairs: Sequence[str]) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


def _command(*words: str) -> str:
    return shlex.join(words)
