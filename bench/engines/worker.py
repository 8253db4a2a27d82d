"""What a worker does, wherever it runs: builds method and dataset once, and predicts the videos it is handed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from refseg.bench import provenance, registry
from refseg.bench.errors import InputError
from refseg.bench.predict import Work, is_final, one_line, predict_each
from refseg.bench.reading import AHEAD, ReadAhead
from refseg.bench.store import Recorder, StoredPrediction
from refseg.bench.types import Dataset, DatasetRequest, Method, MethodInfo, MethodRequest

Order = tuple[int, tuple[str, ...]]
"""A video by its place in the dataset, and the ids of the expressions that are asked for."""


@dataclass(frozen=True)
class Answer:
    """What a worker says of one video.

    Attributes:
        predictions: One per expression; empty where the video failed.
        error: Why it failed, one line; empty where it did not.
        final: It would fail again.
        waited: Seconds in which the method waited for frames.
    """

    predictions: tuple[StoredPrediction, ...] = ()
    error: str = ""
    final: bool = False
    waited: float = 0.0


@dataclass(frozen=True)
class Blueprint:
    """What a process builds its method and dataset from.

    Attributes:
        method: The method's request.
        dataset: The dataset's request, its root found.
        images_at_once: How many single images a method that takes several is handed in one call.
    """

    method: MethodRequest
    dataset: DatasetRequest
    images_at_once: int

    def on(self, device: str) -> Blueprint:
        """Return the same for another device."""
        return replace(self, method=replace(self.method, device=device))

    def key_parts(self, method: MethodInfo, dataset: Dataset) -> dict[str, Any]:
        """Return what the run's key hashes, as this process sees method, dataset and code."""
        return provenance.key_parts(
            method,
            dataset.info,
            device=self.method.device,
            dtype=self.method.dtype,
            dataset_options=self.dataset.options,
        )


class Worker:
    """Method and dataset, built.

    Args:
        blueprint: What they are built from.
        key: The run's key, which this process must arrive at too.

    Raises:
        InputError: They cannot be built, or are no longer what the run began with.
    """

    def __init__(self, blueprint: Blueprint, key: str) -> None:
        self._blueprint, self._key = blueprint, key
        self._dataset = registry.build_dataset(blueprint.dataset)
        self._method: Method = registry.build_method(blueprint.method)
        if provenance.run_key(blueprint.key_parts(self._method.info, self._dataset)) != key:
            raise InputError(
                f"A worker found another {blueprint.method.name}, {self._dataset.info.name} or version of the code "
                "than the run began with, so it does not predict; give every machine the same files, and leave them "
                "alone while a run is at work."
            )
        bind = getattr(self._method, "bind", None)
        if bind is not None:
            bind(self._dataset)

    def predict(self, orders: Sequence[Order], advance: Callable[[int], None]) -> list[Answer]:
        """Predict some videos; what fails is said in its answer.

        Args:
            orders: The videos, several only where they are single images.
            advance: Is told how many frames are done.
        """
        work = [self._work(order) for order in orders]
        with ReadAhead([video for video, _ in work], max(AHEAD, self._blueprint.images_at_once)) as reader:
            early = [(video, expressions) for video, (_, expressions) in zip(reader, work, strict=True)]
            outcomes = predict_each(self._method, early, self._key, self._blueprint.images_at_once, advance)
            answers = []
            for outcome in outcomes:
                if isinstance(outcome, Recorder):
                    answers.append(Answer(tuple(outcome.finished())))
                else:
                    answers.append(Answer(error=one_line(outcome), final=is_final(outcome)))
        answers[0] = replace(answers[0], waited=reader.waited)
        return answers

    def _work(self, order: Order) -> Work:
        place, wanted = order
        video = self._dataset.videos()[place]
        return video, [e for e in video.expressions if e.id in wanted]
