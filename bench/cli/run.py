"""``bench run``: predict and score."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from refseg.bench.cli.common import (
    Commands,
    add_csv,
    add_dataset,
    add_device,
    add_json,
    add_protocol,
    add_set,
    add_video,
    chosen_device,
    comma_list,
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
    add_dataset(parser, several=True)
    add_protocol(parser)
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="run folder, of several runs the folder above; default: runs/METHOD-DATASET-SPLIT",
    )
    add_video(parser, " (a partial result)")
    parser.add_argument(
        "--limit", metavar="N", type=positive, help="only the first N videos (a partial result)"
    )
    add_set(parser, "the method; dataset.KEY=VALUE for the dataset")
    add_device(parser)
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="default: float32"
    )
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
    add_csv(parser)
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
    """Run one method or several on one dataset or several, one after the other."""
    from pathlib import Path

    from refseg.bench import registry
    from refseg.bench.errors import RefsegError
    from refseg.bench.progress import for_terminal
    from refseg.bench.scoring.warm import compiling_beside

    progress = for_terminal()
    methods = registry.expand_methods(args.method)
    results: list[dict[str, Any]] = []
    code = 0
    beside = contextlib.nullcontext() if args.dry_run else compiling_beside()
    with guarded_stdout(args.json), beside:
        requests = _requests(args, methods)
        for request in requests:
            try:
                results.append(_one(request, args.dry_run, progress))
            except RefsegError as error:
                if len(requests) == 1:
                    raise
                # The other runs are worth having; this one is told at once and again in the summary.
                named = {"method": request.method, "dataset": request.dataset, "split": request.split}
                results.append(named | {"error": str(error)})
                progress.note(_text(results[-1]))
                code = error.exit_code
    if any(r.get("failures") for r in results):
        code = code or FAILED_VIDEOS
    if args.csv and not args.dry_run:
        from refseg.bench.items import write_items

        write_items([r for r in results if "error" not in r], Path(args.csv))
    value = results[0] if len(requests) == 1 else {"runs": results}
    emit(value, args.json, "\n\n".join(filter(None, [*map(_text, results), _comparison(results)])))
    return code


def _requests(args: argparse.Namespace, methods: list[str]) -> list[Any]:
    """Return a request for each combination of methods, datasets and splits.

    Raises:
        InputError: A dataset is unknown, or blanks name none, or no split.
    """
    from refseg.bench import registry
    from refseg.bench.errors import InputError

    datasets = comma_list([args.dataset])
    if not datasets:
        raise InputError("--dataset names no dataset; see `bench list datasets`.")
    for name in datasets:
        registry.entry("datasets", name)
    splits = comma_list([args.split or ""])
    if args.split and not splits:
        raise InputError(f"--split {args.split!r} names no split; leave it out for the dataset's own.")
    several = len(methods) * len(datasets) * max(1, len(splits)) > 1
    found = []
    for dataset in datasets:
        for split in splits or (None,):
            for method in methods:
                # The folder's name says what the runs differ in.
                parts = [method] if several else []
                parts += [dataset] if len(datasets) > 1 else []
                parts += [split] if split is not None and len(splits) > 1 else []
                found.append(_request(args, method, dataset, split, parts))
    return found


def _request(args: argparse.Namespace, method: str, dataset: str, split: str | None, parts: list[str]) -> Any:
    from pathlib import Path

    from refseg.bench.atomic import safe_name
    from refseg.bench.options import split_assignments
    from refseg.bench.runner import RunRequest

    return RunRequest(
        method=method,
        dataset=dataset,
        split=split,
        root=args.root,
        protocols=comma_list(args.protocol),
        out=str(Path(args.out) / safe_name("-".join(parts))) if parts and args.out else args.out,
        videos=comma_list(args.video),
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
        where = " ".join(filter(None, [result["dataset"], result["split"]]))
        return f"{result['method']} on {where}: {result['error']}"
    return plan_text(result) if "expressions_to_predict" in result else result_text(result)
