"""A run as one HTML file: scores, what made them, and a gallery; it opens from the file system."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from refseg.bench.atomic import write_bytes
from refseg.bench.errors import InputError, RefsegError
from refseg.bench.parsing import parse_json
from refseg.bench.results import each_protocol
from refseg.bench.runner import open_dataset
from refseg.bench.store import RunFolder
from refseg.bench.tables import coverage_text, interval, percent
from refseg.bench.types import Dataset
from refseg.reports.gallery import FOLDER, Picture, Selection, draw, score_names, select

_TEMPLATES = Path(__file__).parent / "templates"

BreakdownRow = tuple[str, str, int, list[tuple[str, str]]]

_FOLDERS = re.compile(r"(?<![\w.:/<])(?:/|[A-Za-z]:[\\/])(?:[^\s\\/'\"<>|]+[\\/])+")


def write_run_page(run_dir: Path) -> Path:
    """Write a run folder's page ``index.html`` and the pictures of its gallery (``pictures/NN.gif``, ``NN.png``).

    Args:
        run_dir: A run folder with run.json and result.json.

    Returns:
        The page: one file without scripts or links to others, the same bytes for the same run.

    Raises:
        InputError: The folder holds no finished run, or cannot be written.
    """
    folder = RunFolder(run_dir)
    record, result = folder.read_record(), _result(run_dir)
    if record is None:
        raise InputError(f"{run_dir} is no run folder: it has no run.json; give what `bench run` wrote.")
    dataset, trouble = reopened(record)
    selection = Selection(()) if dataset is None else select(dataset, result, folder)
    pictures = [] if dataset is None else list(draw(dataset, selection.choices, folder, record["key"]))
    html = (
        environment(_TEMPLATES)
        .get_template("run.html")
        .render(
            record=record,
            result=result,
            coverage_text=coverage_text,
            title=f"{result.get('method', record['method']['name'])} on {result['dataset']} {result['split']}",
            protocols=[_protocol(one, dataset) for one in each_protocol(result)],
            selection=selection,
            trouble=without_folders(trouble),
            ranks=_by_rank(pictures),
            pictures_folder=FOLDER,
            provenance=list(provenance(record)),
        )
    )
    page = run_dir / "index.html"
    write_bytes(page, html.encode("utf-8", "replace"))
    return page


def without_folders(value: Any) -> str:
    """Return a text with every absolute path cut to its last part: where things lie is nobody else's business."""
    return _FOLDERS.sub("…/", str(value))


def _result(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "result.json"
    try:
        result = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{run_dir} has no result.json; run the same `bench run` again to score it."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); run the same `bench run` again.") from None
    if not isinstance(result, dict) or "items" not in result:
        raise InputError(f"{path} is not a run's result; run the same `bench run` again.")
    return result


def reopened(record: Mapping[str, Any]) -> tuple[Dataset | None, str]:
    """Return the dataset that the run was made on, or None and why it cannot be shown."""
    made = record["dataset"]
    options = record.get("key_parts", {}).get("dataset", {}).get("options", {})
    try:
        dataset = open_dataset(made["name"], made["split"], made.get("root"), options)
        info = dataset.info
    except (RefsegError, OSError) as error:
        return None, str(error)
    if (info.version, info.fingerprint) != (made["version"], made["fingerprint"]):
        return None, f"{made['name']} {made['split']} is another version now than the one that was run on."
    return dataset, ""


def _protocol(one: Mapping[str, Any], dataset: Dataset | None) -> dict[str, Any]:
    """Return one protocol's tables: metrics with intervals and kinds of sentences, and all items."""
    metrics, items = one["metrics"], one["items"]
    intervals = one.get("intervals") or {}
    rows = [("all", str(len(items)), [percent(v) for v in metrics.values()])] if metrics else []
    if intervals:
        rows.append(("95 % interval", "", [interval(intervals.get(m)) for m in metrics]))
    groups = breakdown_rows(one)
    texts = {(v.id, e.id): e.text for v in dataset.videos() for e in v.expressions} if dataset else {}
    names = score_names(items)
    listed = [
        (
            i["video"],
            i["expression"],
            texts.get((i["video"], i["expression"]), ""),
            [percent(i.get(n)) for n in names],
        )
        for i in items
    ]
    return {
        "name": one["protocol"],
        "metrics": list(metrics),
        "rows": rows,
        "groups": groups,
        "bootstrap": one.get("bootstrap"),
        "missing": one.get("missing", 0),
        "score_names": names,
        "items": listed,
    }


def breakdown_rows(one: Mapping[str, Any]) -> list[BreakdownRow]:
    """Return what a protocol's result says of kinds of sentences: attribute, value, items, metrics with intervals."""
    return [
        (name.replace("_", " "), label, int(means["n"]), with_intervals(means, list(one["metrics"])))
        for name, by_label in one.get("breakdown", {}).items()
        for label, means in by_label.items()
    ]


def _by_rank(pictures: Iterable[Picture]) -> dict[str, list[dict[str, Any]]]:
    """Return the gallery's cards by rank, in the order they were chosen."""
    ranks: dict[str, list[dict[str, Any]]] = {}
    for picture in pictures:
        choice = picture.choice
        card = {
            "number": f"{picture.number:02}",
            "image": None if picture.gif is None else data_uri(picture.gif, "image/gif"),
            "trouble": without_folders(picture.trouble),
            "text": choice.expression.text,
            "video": choice.video.id,
            "expression": choice.expression.id,
            "scores": [(name, percent(value)) for name, value in choice.scores.items()],
            "facts": [(n.replace("_", " "), _said(v)) for n, v in choice.expression.attributes.items()],
        }
        ranks.setdefault(choice.rank, []).append(card)
    return ranks


def provenance(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a run's record says of its making, as name and value."""
    method, dataset = record["method"], record["dataset"]
    yield "method", f"{method['name']}, revision {method['revision']}"
    for name, value in _flat(method.get("config", {})):
        yield f"option {name}", value
    for name, digest in sorted(method.get("weights", {}).items()):
        yield f"weights {name}", f"SHA-256 {digest}"
    yield "dataset", f"{dataset['name']} {dataset['split']}, version {dataset['version']}"
    yield "dataset's fingerprint", dataset.get("fingerprint", "")
    for name, value in _flat(record.get("key_parts", {}).get("dataset", {}).get("options", {})):
        yield f"dataset option {name}", value
    yield "run's key", record["key"]
    yield "code", record.get("code", {}).get("revision", "")
    yield "sources, SHA-256", record.get("code", {}).get("sources_sha256", "")
    yield "started, finished", f"{record.get('started', '?')}, {record.get('finished', '?')}"
    yield "number type", record.get("dtype", "")
    for name, value in _flat(record.get("hardware", {})):
        yield f"hardware {name.replace('_', ' ')}", value
    yield "system", f"Python {record.get('python', '?')}, {record.get('platform', '?')}"
    yield "packages", ", ".join(f"{n} {v}" for n, v in record.get("packages", {}).items())


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value != "":
            yield f"{prefix}{name}", _said(value)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def with_intervals(means: Mapping[str, Any], metrics: list[str]) -> list[tuple[str, str]]:
    """Return each metric of a kind of sentences and its interval, empty where it has none."""
    bounds = means.get("intervals", {})
    return [(percent(means.get(m)), interval(bounds[m]) if m in bounds else "") for m in metrics]


def data_uri(content: bytes, kind: str) -> str:
    """Return a file as a ``data:`` address of a MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def environment(templates: Path) -> jinja2.Environment:
    """Return what renders the templates of a folder; whatever they print is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["without_folders"] = without_folders
    return made
