"""Functions that NumPy does not have, as they are put above a printed program that needs them."""

from __future__ import annotations

import textwrap


def helper(name: str) -> str | None:
    """The text of a function, or None if there is none of that name."""
    text = _TEXTS.get(name)
    return None if text is None else textwrap.dedent(text).strip()


_TEXTS = {
    "sigmoid": """
        def sigmoid(a):
            return 0.5 + 0.5 * np.tanh(0.5 * a)
    """,
    "softplus": """
        def softplus(a):
            return np.logaddexp(a, 0)
    """,
    "log_sigmoid": """
        def log_sigmoid(a):
            return -np.logaddexp(-a, 0)
    """,
    "softsign": """
        def softsign(a):
            return a / (1 + np.abs(a))
    """,
    "silu": """
        def silu(a):
            return a * (0.5 + 0.5 * np.tanh(0.5 * a))
    """,
    "elu": """
        def elu(a, alpha):
            return np.where(a > 0, a, alpha * np.expm1(np.minimum(a, 0)))
    """,
    "leaky_relu": """
        def leaky_relu(a, slope):
            return np.where(a > 0, a, slope * a)
    """,
    "mish": """
        def mish(a):
            return a * np.tanh(np.logaddexp(a, 0))
    """,
    "hard_sigmoid": """
        def hard_sigmoid(a):
            return np.clip(a / 6 + 0.5, 0, 1)
    """,
    "hard_tanh": """
        def hard_tanh(a):
            return np.clip(a, -1, 1)
    """,
    "softmax": """
        def softmax(a, axis):
            a = np.exp(a - a.max(axis=axis, keepdims=True))
            return a / a.sum(axis=axis, keepdims=True)
    """,
    "log_softmax": """
        def log_softmax(a, axis):
            a = a - a.max(axis=axis, keepdims=True)
            return a - np.log(np.exp(a).sum(axis=axis, keepdims=True))
    """,
    "logsumexp": """
        def logsumexp(a, axis, keepdims):
            top = a.max(axis=axis, keepdims=True)
            y = top + np.log(np.exp(a - top).sum(axis=axis, keepdims=True))
            return y if keepdims else y.squeeze(axis)
    """,
    "deviation": """
        def deviation(a, axis):
            return a - a.mean(axis=axis, keepdims=True)
    """,
    "scatter": """
        def scatter(a, index, shape):
            whole = np.zeros(shape)
            np.add.at(whole, index, a)
            return whole
    """,
}
