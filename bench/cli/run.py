"""``bench run``: predict and score."""

from __future__ import annotations

import argparse
from typing import Any

from refseg.bench.cli.common import (
    Commands,
    add_dataset,
    add_device,
    add_json,
    add_protocol,
    add_set,
    chosen_device,
    chosen_protocols,
    emit,
    guarded_stdout,
    positive,
)

FAILED_VIDEOS = 3


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "run",
        help="run a method on a dataset, score it, write its page",
        description="Run a method on a dataset, score it and write its page. "
        "The same command goes on where it was interrupted.",
    )
    parser.add_argument(
        "--method",
        metavar="NAME",
        required=True,
        help="a name, a comma list or all_tiny; see `bench list methods`",
    )
    add_dataset(parser, required=True)
    add_protocol(parser)
    parser.add_argument("--out", metavar="DIR", help="run folder; default: runs/METHOD-DATASET-SPLIT")
    parser.add_argument(
        "--limit", metavar="N", type=positive, help="only the first N videos (a partial result)"
    )
    add_set(parser, "the method; dataset.KEY=VALUE for the dataset")
    add_device(parser)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument(
        "--images-at-once",
        metavar="N",
        type=positive,
        default=8,
        help="single images that a method which can is handed together; default: 8",
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--fresh", action="store_true", help="delete what an earlier run left in the folder")
    again.add_argument(
        "--resume", action="store_true", help="go on where an earlier run stopped (the default)"
    )
    parser.add_argument("--no-page", action="store_true", help="do not write the HTML page")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and do nothing")
    _add_workers(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        metavar="E",
        default="local",
        help="local: this machine (default); ray: a Ray cluster, $RAY_ADDRESS or one started here",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=positive,
        help="workers that predict, one model each, and processes that score; default: predict in this process "
        "(ray: one worker a GPU, or a CPU), score in as many as are worth it",
    )
    parser.add_argument(
        "--time-limit",
        metavar="SECONDS",
        type=float,
        help="end a worker that is longer than this at one video, and try the video again; default: none",
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="only the I-th of N parts, into a folder of its own; `bench score` takes all of them together",
    )


def run(args: argparse.Namespace) -> int:
    """Run one method or several, one after the other."""
    from refseg.bench import registry
    from refseg.bench.errors import RefsegError
    from refseg.bench.progress import for_terminal

    progress = for_terminal()
    names = registry.expand_methods(args.method)
    results: list[dict[str, Any]] = []
    code = 0
    with guarded_stdout(args.json):
        requests = [_request(args, name, several=len(names) > 1) for name in names]
        for request in requests:
            try:
                results.append(_one(request, args.dry_run, progress))
            except RefsegError as error:
                if len(names) == 1:
                    raise
                # The other methods' runs are worth having; this one is told at once and again in the summary.
                progress.note(f"{request.method}: {error}")
                results.append({"method": request.method, "error": str(error)})
                code = error.exit_code
    if any(r.get("failures") for r in results):
        code = code or FAILED_VIDEOS
    value = results[0] if len(names) == 1 else {"runs": results}
    emit(value, args.json, "\n\n".join(filter(None, [*map(_text, results), _comparison(results)])))
    return code


def _request(args: argparse.Namespace, name: str, *, several: bool) -> Any:
    from pathlib import Path

    from refseg.bench.atomic import safe_name
    from refseg.bench.options import split_assignments
    from refseg.bench.runner import RunRequest

    return RunRequest(
        method=name,
        dataset=args.dataset,
        split=args.split,
        root=args.root,
        protocols=chosen_protocols(args.protocol),
        out=str(Path(args.out) / safe_name(name)) if several and args.out else args.out,
        limit=args.limit,
        options=split_assignments(args.set),
        device=chosen_device(args.device),
        dtype=args.dtype,
        fresh=args.fresh,
        page=not args.no_page,
        images_at_once=args.images_at_once,
        jobs=args.jobs,
        engine=args.engine,
        time_limit=args.time_limit,
        shard=args.shard,
    )


def _one(request: Any, dry: bool, progress: Any) -> dict[str, Any]:
    from refseg.bench import runner

    return runner.plan(request).describe() if dry else runner.run(request, progress=progress)


def _comparison(results: list[dict[str, Any]]) -> str:
    from refseg.bench.cli.results import comparison_text

    return comparison_text(results)


def _text(result: dict[str, Any]) -> str:
    from refseg.bench.cli.results import plan_text, result_text

    if "error" in result:
        return f"{result['method']}: {result['error']}"
    return plan_text(result) if "expressions_to_predict" in result else result_text(result)
