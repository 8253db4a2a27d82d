"""``bench new``: write a package of one's own that adds a method or a dataset."""

from __future__ import annotations

import argparse

from refseg.bench.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "new",
        help="write a package that adds a method or a dataset of your own",
        description="Write a package with one file, the two lines that register it, and a test. It works as it is: "
        "install it, check it, and put your own code in.",
    )
    parser.add_argument("kind", choices=("method", "dataset"), metavar="KIND", help="method or dataset")
    parser.add_argument("name", metavar="NAME", help="its registered name, e.g. my_method")
    parser.add_argument("--out", metavar="DIR", help="the new folder; default: refseg-NAME")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the package and say how to go on."""
    from refseg.bench.scaffold import write_package

    files = write_package(args.kind, args.name, args.out)
    folder = files[0].parent
    go_on = [f"pip install -e {folder}"]
    if args.kind == "method":
        go_on += [f"bench check-method {args.name}", f"bench run --method {args.name} --dataset refshapes"]
    else:
        go_on += [f"bench check-dataset {args.name} --root DIR"]
    print("\n".join([*map(str, files), "", "Next:", *(f"  {line}" for line in [*go_on, f"pytest {folder}"])]))
    return 0
