"""Encoded sentences that are kept: where the text encoder is frozen, a sentence is encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from refseg.bench.errors import InputError
from refseg.methods.refsam.text import TextOutput

Encode = Callable[[Sequence[str]], TextOutput]


def encode_alone(encode: Encode, text: str) -> Tensor:
    """Return the (L, C_e) last hidden state of one sentence; its bits depend on nothing but the sentence."""
    output = encode([text])
    return output.hidden[0, output.mask[0]]


def stacked(sentences: Sequence[Tensor]) -> TextOutput:
    """Return sentences of different lengths as one padded output."""
    lengths = torch.tensor([len(s) for s in sentences], device=sentences[0].device)
    hidden = pad_sequence(list(sentences), batch_first=True)
    mask = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    return TextOutput(hidden, mask)


class TextStore:
    """The sentences of a dataset, encoded once; the text encoder is not needed afterwards."""

    def __init__(self, encode: Encode, texts: Iterable[str]) -> None:
        self._known = {text: encode_alone(encode, text) for text in dict.fromkeys(texts)}

    def __call__(self, texts: Sequence[str]) -> TextOutput:
        """Return the encoded sentences.

        Raises:
            InputError: One of them is not the dataset's.
        """
        new = [t for t in texts if t not in self._known]
        if new:
            raise InputError(
                f"The sentence {new[0]!r} is none of the dataset's, and the text encoder has left memory; leave "
                "offload_text out."
            )
        return stacked([self._known[t] for t in texts])
