"""Worked examples of every subcommand, shown at the end of its ``--help``. A test parses each of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

_HEAD = "examples:"
_DAVIS = "--dataset refdavis17 --root /data/ref-davis"

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "run": (
        ("what is shipped, on what is shipped", "bench run --method refsam_tiny --dataset refshapes"),
        ("real videos, the first two", f"bench run --method refsam_tiny {_DAVIS} --limit 2"),
        (
            "an option of the method",
            "bench run --method refsam_tiny --dataset refshapes --set track_token=false",
        ),
        (
            "a run for each method and split, and a table of all",
            "bench run --method empty,full --dataset refshapes --split val,test",
        ),
        ("one video, looked at closely", f"bench run --method refsam_tiny {_DAVIS} --video car-shadow"),
        ("a row for every sentence", f"bench run --method refsam_tiny {_DAVIS} --csv items.csv"),
        (
            "a program in another environment",
            "bench run --method command --set run='/envs/mine/bin/python infer.py' --dataset refshapes",
        ),
        ("what would run", "bench run --method refsam_tiny --dataset refshapes --dry-run --json -"),
    ),
    "score": (
        ("masks of another repository", f"bench score results/ {_DAVIS}"),
        ("what is wrong with them", f"bench score results.zip {_DAVIS} --lint-only"),
        ("a run, by another protocol", f"bench score runs/mine {_DAVIS} --protocol refdavis/per_expression"),
    ),
    "compare": (
        ("two runs on the same sentences", "bench compare runs/before runs/after"),
        ("for a script", "bench compare runs/before runs/after --json -"),
    ),
    "report": (
        ("all runs below a folder", "bench report --runs runs"),
        ("the same as a site", "bench report --runs runs --format html --out site"),
        ("for a paper", "bench report --runs runs --format latex --out tables"),
        ("the paper's Table I, with what was measured beside it", "bench report --table 1"),
    ),
    "view": (
        ("a site over one run", "bench view runs/refsam_tiny-refshapes-val"),
        ("two runs side by side", "bench view runs/before runs/after --out comparison"),
    ),
    "export": (
        ("for a server", "bench export runs/mine --layout mevis --out submission.zip"),
        ("for davis2017-evaluation", "bench export runs/mine --layout davis --out masks"),
    ),
    "train": (
        (
            "the shipped weights anew",
            "bench train --method refsam_tiny --recipe refsam_refshapes --out trainings/mine",
        ),
        (
            "a tracker, with shorter clips",
            "bench train --method deaot_tiny --recipe deaot_refshapes --set frames=3 --out trainings/tracker",
        ),
        (
            "on after an interruption",
            "bench train --method refsam_tiny --recipe refsam_refshapes --out trainings/mine --resume",
        ),
    ),
    "ablate": (
        ("what the dataset measures", "bench ablate controls"),
        ("a grid of the paper, to see that it runs", "bench ablate itm_token --quick"),
        ("the same on real videos", f"bench ablate controls {_DAVIS}"),
        ("a grid of one's own, docs/ablations.md says how to write it", "bench ablate thresholds.toml"),
    ),
    "params": (
        ("of the headline, without its weights", "bench params --method refsam_vit_h"),
        ("of the three sizes, beside the paper's", "bench params --method refsam_vit_{b,l,h}"),
        ("of a variant", "bench params --method refsam_vit_b --set use_adapter=false --json -"),
    ),
    "list": (
        ("everything", "bench list"),
        ("names for a script", "bench list methods --names"),
    ),
    "data describe": (("a card, and how the folder must look", "bench data describe refdavis17"),),
    "data check": (
        ("every frame and mask", "bench data check refdavis17 --root /data/ref-davis"),
        ("names and headers only", "bench data check refytvos --root /data/rvos --quick"),
    ),
    "data cards": (("docs/datasets.md", "bench data cards"),),
    "data sheet": (("a picture of a split", "bench data sheet refshapes --out refshapes.png --videos 4"),),
    "data set": (("no --root from then on", "bench data set refdavis17 /data/ref-davis"),),
    "new": (
        ("a method", "bench new method my_method"),
        ("a dataset, in a folder of another name", "bench new dataset my_videos --out plugins/videos"),
    ),
    "check-method": (
        ("before the first long run", "bench check-method my_method"),
        ("one that remembers every frame on purpose", "bench check-method my_method --skip memory"),
    ),
    "check-dataset": (("a dataset of one's own", "bench check-dataset my_videos --root /data/my-videos"),),
    "speed": (
        ("frames a second of one method", "bench speed --method refsam_tiny --dataset refshapes"),
        ("every size, beside published figures", f"bench speed --all {_DAVIS}"),
    ),
    "regress": (
        ("against the committed baseline", "bench regress --baseline reports/baselines/refshapes.json"),
        (
            "a baseline of what is there now",
            "bench regress --baseline mine.json --update --reason 'new weights'",
        ),
    ),
    "figure": (("runs side by side", "bench figure runs/mine runs/theirs --video val-0001 --out figure"),),
    "bundle": (("a run as evidence", "bench bundle runs/mine --out mine.zip"),),
    "verify": (("whether its numbers follow from its masks", "bench verify mine.zip"),),
    "claims list": (("published results of a dataset", "bench claims list --dataset refdavis17"),),
    "claims lint": (("what does not hold in them", "bench claims lint"),),
    "fetch": (
        ("what there is", "bench fetch"),
        ("SAM's largest checkpoint", "bench fetch sam_vit_h --to checkpoints"),
    ),
    "cache": (
        ("what is kept, and where", "bench cache"),
        ("without what can be made again", "bench cache --clear all"),
    ),
    "completion": (
        ("bash, now", 'eval "$(bench completion bash)"'),
        ("bash, always", "bench completion bash > ~/.local/share/bash-completion/completions/bench"),
        ("zsh, always, where ~/.zfunc is in fpath", "bench completion zsh > ~/.zfunc/_bench"),
    ),
    "traps": (("two folders VIDEO/FRAME.png", "bench traps truth predictions"),),
    "doctor": (("before a report of a fault", "bench doctor --json doctor.json"),),
}
"""Subcommand, with its action after a space -> (what for, command line)."""


def subcommands(
    parser: argparse.ArgumentParser, prefix: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every subcommand that does something, by its name; ``data`` itself only holds others."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if prefix and not groups:
        yield prefix.strip(), parser
    for group in groups:
        for name, inner in group.choices.items():
            yield from subcommands(inner, f"{prefix} {name}")


class _Formatter(argparse.HelpFormatter):
    """Wraps text as usual, and leaves examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_HEAD) else super()._fill_text(text, width, indent)


def add_examples(parser: argparse.ArgumentParser) -> None:
    """Put the examples at the end of every subcommand's help."""
    for name, inner in subcommands(parser):
        found = EXAMPLES.get(name, ())
        lines = [f"  # {what}\n  {command}" for what, command in found]
        if lines:
            inner.formatter_class = _Formatter
            inner.epilog = "\n".join([_HEAD, *lines])
