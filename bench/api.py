"""The harness from Python: the same functions as the command line's, with results as tables and plots."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg.bench import registry
from refseg.bench.compare import compare
from refseg.bench.errors import InputError
from refseg.bench.parsing import parse_json
from refseg.bench.predict import IMAGES_AT_ONCE
from refseg.bench.progress import Progress
from refseg.bench.results import each_protocol
from refseg.bench.runner import RunRequest
from refseg.bench.runner import open_dataset as open_registered
from refseg.bench.runner import run as run_request
from refseg.bench.scorer import ScoreRequest
from refseg.bench.scorer import score as score_request
from refseg.bench.types import Dataset, Method, OnMissing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

RESULT = "result.json"


@dataclass(frozen=True)
class Result:
    """What ``bench run`` and ``bench score`` write as JSON, with tables and a plot.

    Attributes:
        json: The JSON value itself (`docs/predictions.md`).
        folder: The run folder; None where predictions of another program were scored.
    """

    json: Mapping[str, Any] = field(repr=False)
    folder: Path | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the first protocol in percent, the headline first; empty where nothing is scored."""
        return dict(self.json["metrics"])

    @property
    def failures(self) -> dict[str, str]:
        """Videos that failed -> why; they are left out of the score."""
        return {f["video"]: f["error"] for f in self.json["failures"]}

    @property
    def table(self) -> DataFrame:
        """One row a protocol and metric: value in percent, ends of its 95 % interval, number of items."""
        import pandas as pd

        rows = [
            {
                "protocol": one["protocol"],
                "metric": metric,
                "value": value,
                "low": (bounds := one.get("intervals", {}).get(metric, (None, None)))[0],
                "high": bounds[1],
                "items": len(one["items"]),
            }
            for one in each_protocol(self.json)
            for metric, value in one["metrics"].items()
        ]
        columns = ["protocol", "metric", "value", "low", "high", "items"]
        return pd.DataFrame(rows, columns=columns).set_index(["protocol", "metric"])

    @property
    def items(self) -> DataFrame:
        """One row a scored item of each protocol: protocol, video, expression, its scores in percent, frames."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"protocol": one["protocol"], **item}
                for one in each_protocol(self.json)
                for item in one["items"]
            ]
        )

    def plot(self, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw the sorted scores of all items of the first protocol, with their mean as a line.

        Args:
            metric: One of :attr:`metrics` that items have; None: the headline.
            ax: Where to draw; None: a new figure.

        Raises:
            InputError: Nothing is scored, or items have no such score.
        """
        import matplotlib.pyplot as plt

        metric = metric or next(iter(self.metrics), "")
        scores = [i[metric] for i in self.json["items"] if isinstance(i.get(metric), int | float)]
        if not scores:
            known = sorted({k for i in self.json["items"] for k, v in i.items() if isinstance(v, float)})
            raise InputError(
                f"No item has a score {metric!r} to plot; there are {', '.join(known) or 'none'}."
            )
        if ax is None:
            ax = plt.subplots()[1]
        ax.plot(range(1, len(scores) + 1), sorted(scores), drawstyle="steps-mid")
        mean = sum(scores) / len(scores)
        ax.axhline(mean, linestyle="--", label=f"mean {mean:.1f}")
        ax.set(xlabel="items, worst first", ylabel=f"{metric} (%)", ylim=(0, 100), title=self._title())
        ax.legend()
        return ax

    def compare(self, other: Result) -> dict[str, Any]:
        """Return what ``bench compare`` says of this result and another: differences are the other's less these.

        Raises:
            InputError: One of them has no run folder, or they are of other datasets.
        """
        if self.folder is None or other.folder is None:
            raise InputError(
                "Results without a run folder cannot be compared; run the methods, or use `bench compare`."
            )
        found: dict[str, Any] = compare(str(self.folder), str(other.folder))
        return found

    def __str__(self) -> str:
        from refseg.bench.cli.results import result_text

        return result_text(self.json)

    def _repr_html_(self) -> str:
        table: str = self.table.to_html(float_format="{:.1f}".format)
        return f"<p>{html.escape(self._title())}</p>\n{table}"

    def _title(self) -> str:
        return f"{self.json.get('method', 'predictions')} on {self.json['dataset']} {self.json['split']}"


def run(
    method: str | Method,
    dataset: str | Dataset,
    *,
    split: str | None = None,
    root: str | Path | None = None,
    protocols: Sequence[str] = (),
    out: str | Path | None = None,
    videos: Sequence[str] = (),
    limit: int | None = None,
    options: Mapping[str, object] | None = None,
    device: str = "auto",
    dtype: str = "float32",
    fresh: bool = False,
    page: bool = False,
    images_at_once: int = IMAGES_AT_ONCE,
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> Result:
    """Run a method on a dataset and score it: ``bench run`` as a function.

    Args:
        method: A registered name, or a method of one's own, which is known by its ``info.name`` for this call.
        dataset: A registered name, or a dataset of one's own.
        split: None: the dataset's default.
        root: Folder of the dataset; None: configured, or none needed.
        protocols: Names; none: all that the dataset is scored with.
        out: Run folder; None: a name of its own under ``runs``.
        videos: Ids of the only videos that are run; none: all. The result is marked partial.
        limit: Only the first so many videos; the result is marked partial.
        options: What ``--set`` sets; keys that begin with ``dataset.`` are the dataset's.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; ``"auto"``: cuda where there is one.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        fresh: Delete what an earlier run left in the folder; else the same call goes on where it stopped.
        page: Write the HTML page.
        images_at_once: How many single images a method that takes several is handed in one call.
        jobs: How many workers predict, with a model each, and how many processes score; None: this process
            predicts, and as many score as are worth it. More than one needs registered names.
        progress: Where it is shown; None: nowhere.

    Raises:
        InputError: The call is wrong; the sentence says how to mend it.
    """
    from refseg.bench.cli.common import chosen_device

    if (jobs or 1) > 1 and not (isinstance(method, str) and isinstance(dataset, str)):
        raise InputError(
            "Workers build the method and the dataset by their registered names, and an object was given; "
            "leave jobs out, or register it (`bench new` writes the package)."
        )
    with _named("methods", method) as method_name, _named("datasets", dataset) as dataset_name:
        request = RunRequest(
            method=method_name,
            dataset=dataset_name,
            split=split,
            root=None if root is None else str(root),
            protocols=tuple(protocols),
            out=None if out is None else str(out),
            videos=tuple(videos),
            limit=limit,
            options={k: str(v) for k, v in (options or {}).items()},
            device=chosen_device(device),
            dtype=dtype,
            fresh=fresh,
            page=page,
            images_at_once=images_at_once,
            jobs=jobs,
        )
        return _result(run_request(request, progress=progress))


def score(
    predictions: str | Path,
    dataset: str | Dataset,
    *,
    split: str | None = None,
    root: str | Path | None = None,
    layout: str | None = None,
    protocols: Sequence[str] = (),
    on_missing: OnMissing = "error",
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> Result:
    """Score a run folder or another program's masks, each also as a zip: ``bench score`` as a function.

    Args:
        predictions: The folder or zip.
        dataset: A registered name, or a dataset of one's own.
        split: None: the run's own, or the dataset's default.
        root: Folder of the dataset; None: configured, or none needed.
        layout: One of :data:`refseg.bench.layouts.LAYOUTS`; None: found out.
        protocols: Names; none: all that the dataset is scored with.
        on_missing: What an expression without a prediction is: an error, or empty masks.
        jobs: How many processes score; None: as many as are worth it.
        progress: Where it is shown; None: nowhere.

    Raises:
        InputError: The predictions cannot be scored; the sentence says why.
    """
    with _named("datasets", dataset) as name:
        request = ScoreRequest(
            predictions=str(predictions),
            dataset=name,
            split=split,
            root=None if root is None else str(root),
            layout=layout,
            protocols=tuple(protocols),
            on_missing=on_missing,
            jobs=jobs,
        )
        return _result(score_request(request, progress=progress))


def load_result(path: str | Path) -> Result:
    """Return the result of a run folder, or of a file that ``--json`` wrote.

    Raises:
        InputError: It is not there, or is no result of one method.
    """
    path = Path(path)
    file = path / RESULT if path.is_dir() else path
    try:
        value = parse_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); give a finished run folder.") from None
    except ValueError as error:
        raise InputError(f"{file} is no JSON ({error}); give a run folder or what --json wrote.") from None
    if not isinstance(value, dict) or "metrics" not in value or "items" not in value:
        raise InputError(f'{file} is no result of one method; give a run folder, or one of its "runs".')
    return _result(value if file is path else value | {"run": str(path)})


def open_dataset(
    name: str,
    *,
    split: str | None = None,
    root: str | Path | None = None,
    options: Mapping[str, object] | None = None,
) -> Dataset:
    """Open a registered dataset, to look at its videos, sentences and truth.

    Raises:
        InputError: The name, split, root or an option is wrong.
    """
    texts = {k: str(v) for k, v in (options or {}).items()}
    return open_registered(name, split, None if root is None else str(root), texts)


@contextlib.contextmanager
def _named(kind: registry.Kind, thing: Any) -> Iterator[str]:
    """Give a registered name, for the duration of a call where it is an object."""
    if isinstance(thing, str):
        yield thing
        return
    name = thing.info.name
    if registry.table(kind).get(name) is not None:
        # A notebook hands over the built object of a registered name; what is recorded must be that name.
        raise InputError(
            f"An object of the name {name!r} was given, which is registered; give the name, or rename it."
        )
    with registry.registered(kind, name, lambda request: thing):
        yield name


def _result(value: Mapping[str, Any]) -> Result:
    return Result(value, Path(value["run"]) if "run" in value else None)
