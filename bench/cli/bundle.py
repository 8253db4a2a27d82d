"""``bench bundle`` and ``bench verify``: a run as evidence."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

from refseg.bench.cli.common import Commands, add_jobs, add_json, emit, guarded_stdout

DOES_NOT_FOLLOW = 4
_FEW = 5


def add(commands: Commands) -> None:
    """Add both subcommands."""
    parser = commands.add_parser(
        "bundle",
        help="pack a run so that somebody else can verify it",
        description="Pack a run's masks, configuration, fingerprints, scores and hardware into one zip, without a path "
        "of this computer, and print where it is.",
    )
    parser.add_argument("folder", metavar="RUN", help="a finished run's folder, or its zip")
    parser.add_argument("--out", metavar="FILE", help="a new .zip; default: RUN.bundle.zip")
    parser.add_argument("--root", metavar="DIR", help="the dataset's folder, if it moved since the run")
    parser.set_defaults(run=run_bundle)
    parser = commands.add_parser(
        "verify",
        help="score a bundle anew, and say whether its numbers follow from its masks",
        description="Score the masks of a bundle anew, offline, and compare every figure of its report: metrics, "
        "items, intervals. Exit code 4 where one does not follow.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="what `bench bundle` wrote")
    parser.add_argument(
        "--root", metavar="DIR", help="the dataset's folder; default: see `bench data set --help`"
    )
    add_jobs(parser)
    add_json(parser)
    parser.set_defaults(run=run_verify)


def run_bundle(args: argparse.Namespace) -> int:
    """Pack."""
    from refseg.bench.bundle import bundle_run

    print(bundle_run(args.folder, args.out, root=args.root))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Verify."""
    from refseg.bench.progress import for_terminal
    from refseg.bench.verify import verify

    with guarded_stdout(args.json):
        found = verify(args.bundle, root=args.root, jobs=args.jobs, progress=for_terminal())
    emit(found, args.json, _text(found))
    return 0 if found["verified"] else DOES_NOT_FOLLOW


def _text(found: Mapping[str, Any]) -> str:
    from refseg.bench.tables import percent

    lines = [
        f"{found['method']} on {found['dataset']} {found['split']} (version {found['version']}), made by "
        f"{found['made_by']}, verified by {found['verified_by']}"
    ]
    for protocol, metrics in found["metrics"].items():
        figures = ", ".join(f"{name} {percent(value)}" for name, value in metrics.items())
        lines.append(f"{protocol} as reported: {figures or 'nothing scored'}")
    files = f"{found['members']} members, {found['predictions']} of them predictions"
    lines.append(f"{files}; {found['numbers']} figures scored anew")
    told: Counter[str] = Counter()
    for finding in found["findings"]:
        told[finding["kind"]] += 1
        if told[finding["kind"]] <= _FEW:
            lines.append(f"  {finding['kind']:12}{finding['text']}")
    lines += [f"  {kind:12}and {count - _FEW} more" for kind, count in told.items() if count > _FEW]
    if found["verified"]:
        lines.append("Verified: every figure follows from the masks.")
    else:
        anew = "" if found["numbers"] else " The masks could not be scored."
        lines.append(f"NOT verified: {sum(told.values())} findings.{anew}")
    return "\n".join(lines)
