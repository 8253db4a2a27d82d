"""A site's pages: what the templates are given, and the files that the pages load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.bench.results import each_protocol
from refseg.reports.decomposition import RIGHT_IOU, TOUCH_IOU, Kind
from refseg.reports.gallery import score_names
from refseg.reports.page import breakdown_rows, environment, provenance, with_intervals, without_folders
from refseg.reports.site.board import Board, boards, bootstrap_text, part_of, without_score
from refseg.reports.site.browse import Browsed, rounded, script
from refseg.reports.site.charts import segments, whisker
from refseg.reports.site.runs import Group, Run
from refseg.reports.site.stages import Stage, stages

ASSETS = ("site.css", "site.js", "tables.js", "run.js", "masks.js", "player.js", "browse.js")
"""The files that pages share."""

TEMPLATES = Path(__file__).parents[1] / "templates" / "site"


@dataclass(frozen=True)
class Chapter:
    """A group as the pages show it.

    Attributes:
        group: The group.
        boards: Its tables.
        stages: What its runs' stages lose.
        browsed: What is known beside its data.
        rest: Runs that stand in no table, and why.
    """

    group: Group
    boards: Sequence[Board]
    stages: Sequence[Stage]
    browsed: Browsed
    rest: Sequence[tuple[Run, str]]


def chapter(group: Group, browsed: Browsed) -> Chapter:
    """Return what the pages show of a group."""
    rest = [(run, without_folders(why)) for run, why in without_score(group.runs)]
    return Chapter(group, boards(group), list(stages(group.runs)), browsed, rest)


def site_pages(chapters: Sequence[Chapter]) -> Iterator[tuple[str, bytes]]:
    """Yield every page, and what the pages load, by name."""
    templates = environment(TEMPLATES)
    shared = {
        "kinds": [*Kind],
        "whisker": whisker,
        "segments": segments,
        "right": RIGHT_IOU,
        "touch": TOUCH_IOU,
    }

    def page(template: str, **values: Any) -> bytes:
        return templates.get_template(template).render(shared | values).encode("utf-8", "replace")

    yield "index.html", page("index.html", chapters=chapters)
    for one in chapters:
        yield one.group.page, page("browse.html", chapter=one)
        for run in one.group.runs:
            if run.result is not None:
                yield run.page, page("run.html", chapter=one, **_about(run, one.browsed))
                yield f"data/run-{run.number:03}.js", script("run", _items(run))
    for name in ASSETS:
        yield name, (TEMPLATES / name).read_bytes()


def _about(run: Run, browsed: Browsed) -> dict[str, Any]:
    """Return what a run's page shows."""
    assert run.result is not None
    return {
        "run": run,
        "result": run.result,
        "part": part_of(run),
        "protocols": [_protocol(one) for one in each_protocol(run.result)],
        "errors": next((e for e in browsed.errors if e.run.number == run.number), None),
        "provenance": list(provenance(run.record)),
    }


def _protocol(one: Mapping[str, Any]) -> dict[str, Any]:
    metrics = list(one["metrics"])
    whole = one["metrics"] | {"intervals": one.get("intervals") or {}}
    rows = [("", "all", len(one["items"]), with_intervals(whole, metrics)), *breakdown_rows(one)]
    return {
        "name": one["protocol"],
        "metrics": metrics,
        "rows": rows if metrics else [],
        "bootstrap": bootstrap_text(one),
        "missing": one.get("missing", 0),
    }


def _items(run: Run) -> dict[str, Any]:
    """Return a run's scores by protocol, item for item, as its page's script reads them."""
    protocols = []
    for one in run.scored:
        names = score_names(one["items"])
        rows = [[i["video"], i["expression"], [rounded(i.get(n)) for n in names]] for i in one["items"]]
        protocols.append({"name": one["protocol"], "scores": names, "items": rows})
    return {"number": run.number, "protocols": protocols}
