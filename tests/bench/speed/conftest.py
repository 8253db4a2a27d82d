"""A method whose masks, stages and sizes are known, over RefShapes or the real videos."""

from types import MappingProxyType

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.stages import stage
from refseg.bench.types import FramePrediction, MethodInfo


class Squares:
    """Answers every sentence with a square; ``--set wrong=true`` moves it away from the reference's."""

    reference_options = MappingProxyType({"wrong": "false"})
    once_per_video = ("text",)

    def __init__(self, request):
        import torch

        self.request = request
        self.wrong = request.options.get("wrong") == "true"
        self.info = MethodInfo("squares", "1", config={"wrong": self.wrong})
        self.text, self.net = torch.nn.Linear(3, 5), torch.nn.Linear(7, 2, bias=False)

    def modules(self):
        return {"text": self.text, "net": self.net}

    def text_encoder(self):
        return self.text

    def flops_formula(self):
        return {"net": 2 * 7 * 2}

    def segment(self, video, expressions):
        import torch

        with stage("text"):
            self.text(torch.ones(len(expressions), 3))
        for frame in range(len(video)):
            video.read(frame)
            with stage("visual encoder"):
                self.net(torch.ones(1, 7))
            masks = np.zeros((len(expressions), *video.size), bool)
            if self.wrong:
                masks[:, :5, :5] = True
            else:
                masks[:, 20:90, 20:90] = True
            yield FramePrediction(frame, masks, np.ones(len(expressions), np.float32))


@pytest.fixture
def squares():
    with registry.registered("methods", "squares", Squares):
        yield Squares
