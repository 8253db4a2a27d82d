import pytest
import torch

from refseg.methods.deaot import attention
from refseg.methods.deaot.attention import WindowRead, attend


def by_hand(query, key, value, relative, size, reach, relative_value):
    """Window attention, one query and one offset at a time."""
    height, width = size
    side = 2 * reach + 1
    out = torch.zeros(*query.shape[:3], value.shape[-1], dtype=query.dtype)
    for y in range(height):
        for x in range(width):
            n = y * width + x
            scores, values = [], []
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    if not (0 <= y + dy < height and 0 <= x + dx < width):
                        continue
                    m, j = (y + dy) * width + x + dx, (dy + reach) * side + dx + reach
                    product = (query[:, :, n] * key[:, :, m]).sum(-1) / query.shape[-1] ** 0.5
                    scores.append(product + relative[:, :, n, j])
                    bias = 0 if relative_value is None else relative_value[:, j]
                    values.append(value[:, :, m] + bias)
            weights = torch.stack(scores, -1).softmax(-1)
            out[:, :, n] = torch.einsum("bhj,jbhe->bhe", weights, torch.stack(values))
    return out


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (6, 5), (9, 4)])
@pytest.mark.parametrize("learnt_values", [False, True])
def test_windows_read_as_by_hand(size, learnt_values):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    reach, heads, n = 2, 3, size[0] * size[1]
    inputs = [draw(2, heads, n, 4), draw(2, heads, n, 4), draw(2, heads, n, 5), draw(2, heads, n, 25)]
    if learnt_values:
        inputs.append(draw(heads, 25, 5))
    q, k, v, r, *rest = inputs
    rv = rest[0] if rest else None
    found = WindowRead(reach=reach)(q, k, v, r, size, rv)
    expected = by_hand(q, k, v, r, size, reach, rv)
    torch.testing.assert_close(found, expected)
    weight = draw(*found.shape).detach()
    found_grads = torch.autograd.grad((found * weight).sum(), inputs, allow_unused=True)
    expected_grads = torch.autograd.grad((expected * weight).sum(), inputs, allow_unused=True)
    for a, b in zip(found_grads, expected_grads, strict=True):
        torch.testing.assert_close(a, b)


def test_blocks_of_queries_change_nothing(monkeypatch):
    q, k, v = torch.randn(3, 2, 2, 50, 8, dtype=torch.float64).unbind()
    expected = (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1) @ v
    torch.testing.assert_close(attend(q, k, v), expected)
    for scores in (1, 1000):
        monkeypatch.setattr(attention, "MAX_SCORES", scores)
        torch.testing.assert_close(attend(q, k, v), expected)
