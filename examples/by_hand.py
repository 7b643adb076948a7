"""Backpropagation through time by hand: three steps of a recurrent network, and one gradient.

    python examples/by_hand.py

Nothing here is special to recurrent networks. The loop records operations, `backward` walks back
over them, and the result is BPTT. Writes bptt.svg.
"""

import numpy as np

import tinygrad_rnn as tg

rng = np.random.default_rng(0)
xs = rng.normal(size=(3, 1, 3))  # three steps, a batch of one, three inputs
targets = np.array([[0], [1], [1]])

U, W, V = (
    tg.Parameter(rng.normal(0, 0.3, shape), name)
    for name, shape in [("U", (3, 4)), ("W", (4, 4)), ("V", (4, 2))]
)

s, loss = tg.tensor(rng.normal(0, 0.3, (1, 4)), name="s_0"), tg.tensor(0.0)
states, losses = [s], []
for t, (x, target) in enumerate(zip(xs, targets, strict=True), start=1):
    with tg.timestep(t):
        s = tg.tanh(x @ U + s @ W).named("s")
        loss_t = tg.cross_entropy(s @ V, target, reduction="sum").named("L")
        loss = loss + loss_t
    states.append(s)
    losses.append(loss_t)

# dL_3/dW reaches back through s_3, s_2 and s_1: one term for every use of W, and all are summed.
terms = tg.gradients_of_uses(losses[2], W, keep_record=True)
total = tg.gradients(losses[2], W, keep_record=True)
for term in terms:
    print(f"through the use of W in step {term.step}: norm {np.linalg.norm(term.gradient):.5f}")
print(f"their sum:                      norm {np.linalg.norm(total):.5f}")
np.testing.assert_allclose(sum(term.gradient for term in terms), total, atol=1e-15)

# Any recorded value can be asked for, not only parameters: how L_3 depends on each state.
for k, state in enumerate(states):
    g = tg.gradients(losses[2], state, keep_record=True)
    print(f"norm of dL_3/ds_{k}: {np.linalg.norm(g):.5f}")

loss.backward(keep_record=True)  # keep_record: the picture below asks for gradients once more
assert W.grad is not None  # for type checkers: a backward pass leaves it
print("dL/dW, all losses together:", W.grad, sep="\n")

# And by the textbook's recursion, to compare: d_t = (e_t + d_{t+1} W^T) * (1 - s_t^2)
d, dW = np.zeros((1, 4)), np.zeros((4, 4))
for t in (2, 1, 0):
    p = np.exp((states[t + 1] @ V).numpy())
    e = (p / p.sum() - np.eye(2)[targets[t]]) @ V.numpy().T
    d = (e + d @ W.numpy().T) * (1 - states[t + 1].numpy() ** 2)
    dW += states[t].numpy().T @ d
np.testing.assert_allclose(W.grad, dW, rtol=1e-10)
print("the hand-derived gradient agrees")

print("picture:", tg.draw(loss, edges="gradient").save("bptt.svg"))
