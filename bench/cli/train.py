"""``bench train``: run a training recipe."""

from __future__ import annotations

import argparse
import os

from refseg.bench.cli.common import (
    Commands,
    add_device,
    add_json,
    add_set,
    chosen_device,
    emit,
    guarded_stdout,
)


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train a method by a recipe",
        description="Train a method by a recipe. Checkpoint, log, curve and weights go into --out.",
    )
    parser.add_argument("--method", metavar="NAME", required=True, help="what is trained, e.g. refsam_tiny")
    parser.add_argument("--recipe", metavar="NAME", required=True, help="see `bench list recipes`")
    add_set(parser, "the recipe")
    parser.add_argument("--out", metavar="DIR", help="default: trainings/METHOD-RECIPE")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train."""
    from pathlib import Path

    from refseg.bench import registry
    from refseg.bench.atomic import safe_name
    from refseg.bench.options import split_assignments
    from refseg.bench.types import TrainRequest

    options = split_assignments(args.set)
    recipe = registry.resolve("recipes", args.recipe)
    out = args.out or str(Path("trainings") / safe_name(f"{args.method}-{args.recipe}"))
    request = TrainRequest(args.method, args.recipe, options, out, args.resume, chosen_device(args.device))
    with guarded_stdout(args.json):
        figures = dict(recipe(request) or {})
    if os.environ.get("RANK", "0") != "0":
        # A launcher started several of us; the first one speaks.
        return 0
    value = {"method": args.method, "recipe": args.recipe, "out": out, "figures": figures}
    lines = [f"{name}: {figure:.4g}" for name, figure in figures.items()]
    emit(value, args.json, "\n".join([*lines, f"Written to {out}"]))
    return 0
