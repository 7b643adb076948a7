"""A mistake in a backward pass, as it is reported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A mistake in a backward pass.

    kind      "missing f'(a)", "missing transpose", "missing term", "off by one in time", "wrong
              sign", ..., or "unknown"
    name      the quantity v whose gradient dL/dv is the first wrong one, walking back from the
              loss; "" if it was not found
    step      at which step, 1 for the first; None for the gradient of a parameter
    words     the mistake
    explains  the gradients that are wrong by exactly this mistake
    equation  the right equation, as `derive` prints it; "" if it is not known
    instead   the equation that was computed
    right     the gradients that were right before it, walking back
    also      other mistakes that give the same numbers
    helper    whether `name` is that of a part which several backward equations share
    """

    kind: str
    name: str
    step: int | None
    words: str
    explains: tuple[str, ...] = ()
    equation: str = ""
    instead: str = ""
    right: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    helper: bool = False

    def __str__(self) -> str:
        at = self.name if self.helper else f"dL/d{self.name}"
        at += "" if self.step is None else f" at step {self.step}"
        if self.kind == "forward pass":
            at = f"the forward pass, {self.name}"
        if self.kind == "unknown":
            return f"{at if self.name else 'not found'}. {self.words}"
        text = f"{at}. {self.kind[0].upper()}{self.kind[1:]}: {self.words}."
        if self.instead:
            text += f" Computed was {self.instead}; right is {self.equation}."
        by = ", ".join(f"dL/d{name}" for name in self.explains if not name.endswith("_t"))
        if by:
            text += f" This alone gives exactly the given {by}."
        if self.right:
            text += f" Right before it: {', '.join(f'dL/d{name}' for name in self.right)}."
        if self.also:
            text += f" The same numbers come from: {'; '.join(self.also)}."
        return text


__all__ = ["Finding"]
