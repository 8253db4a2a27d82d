"""``bench speed``: how fast a method is (Table X)."""

from __future__ import annotations

import argparse
from typing import Any

from refseg.bench.cli.common import (
    Commands,
    add_dataset,
    add_device,
    add_json,
    add_set,
    add_video,
    chosen_device,
    comma_list,
    emit,
    guarded_stdout,
    positive,
)
from refseg.bench.errors import InputError

GATE_FAILED = 4


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "speed",
        help="time a method by stages, with an accuracy gate",
        description="Time a method on a dataset's first videos: frames a second for one expression and several, "
        "latencies, stages, memory, operations; and whether its masks are still those of the float32 reference. "
        "Nothing is stored, resumed or shared with a scored run. docs/speed.md says how.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--method", metavar="NAME", help="a name or a comma list; see `bench list methods`")
    which.add_argument("--all", action="store_true", help="the methods of Table X, beside published figures")
    add_dataset(parser)
    add_set(parser, "the method; dataset.KEY=VALUE for the dataset")
    add_device(parser)
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="default: float32"
    )
    add_video(parser)
    parser.add_argument(
        "--limit",
        metavar="N",
        type=positive,
        help="the first N videos; default: 3, or all that --video names",
    )
    parser.add_argument(
        "--frames", metavar="N", type=positive, default=24, help="frames of each; default: 24"
    )
    parser.add_argument(
        "--expressions", metavar="K[,K…]", default="1,4,16", help="expressions a video; default: 1,4,16"
    )
    parser.add_argument("--repetitions", metavar="N", type=positive, default=3, help="3 or more; default: 3")
    parser.add_argument("--no-gate", action="store_true", help="do not compare with the reference")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure one method or several."""
    from refseg.bench import registry
    from refseg.bench.progress import for_terminal
    from refseg.bench.speed.report import gate_passed, summary, table_x

    progress = for_terminal()
    with guarded_stdout(args.json):
        if args.all:
            from refseg.reports.published_speed import published_speeds

            published = published_speeds()
            names = [row.name for row in published if row.name in registry.table("methods")]
        else:
            names = registry.expand_methods(args.method)
        results = [_one(args, name, progress, alone=len(names) == 1) for name in names]
    value = results[0] if len(results) == 1 else {"runs": results}
    text = table_x(published, results) if args.all else "\n\n".join(map(summary, results))
    emit(value, args.json, text)
    return GATE_FAILED if any(gate_passed(r) is False for r in results) else 0


def _one(args: argparse.Namespace, name: str, progress: Any, *, alone: bool) -> dict[str, Any]:
    from refseg.bench.errors import RefsegError
    from refseg.bench.options import split_assignments
    from refseg.bench.speed.measure import SpeedRequest, measure

    request = SpeedRequest(
        method=name,
        dataset=args.dataset,
        split=args.split,
        root=args.root,
        options=split_assignments(args.set),
        device=chosen_device(args.device),
        dtype=args.dtype,
        video_ids=comma_list(args.video),
        videos=args.limit,
        frames=args.frames,
        expressions=_counts(args.expressions),
        repetitions=args.repetitions,
        gate=not args.no_gate,
    )
    try:
        return measure(request, progress=progress)
    except RefsegError as error:
        if alone:
            raise
        progress.note(f"{name}: {error}")
        return {"method": name, "error": str(error)}


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(positive(part.strip()) for part in text.split(","))
    except argparse.ArgumentTypeError:
        raise InputError(
            f"--expressions {text} is no list of whole numbers; give for instance 1,4,16."
        ) from None
