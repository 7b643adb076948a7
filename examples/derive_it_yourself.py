"""A backward pass to be derived, line by line, with every answer graded.

    python examples/derive_it_yourself.py

Change the answers until all are right. Each is a function of what it needs, by name; the
program prints which names there are.
"""

import tinygrad_rnn as tg
from tinygrad_rnn import study

task = study.exercise(tg.ElmanCell(input_size=2, hidden_size=3, rng=0))

ANSWERS = {
    "s": lambda e, next_s: e + next_s,
    "a": lambda d_s, s: d_s * (1 - s),  # a slip: the slope of tanh is another
    "next_s": lambda d_a, W: d_a @ W,  # and another: which way round is W?
    "U": lambda x, d_a: x.T @ d_a,
}

print(task)
print()
for name, answer in ANSWERS.items():
    print(task.check(name, answer))
print(f"{task.points} of {len(task.questions)} points")
if task.next:
    print(f"next: {task.next.text}. You may use {', '.join(task.names(task.next.name))}")
