"""Mistakes in hand-written passes, each with the sentence that is expected of a search for it.

`SINGLE` are passes with one mistake, `PAIRS` passes with two, `CORRECT` passes without any.
"""

from dataclasses import dataclass, field

from .held_cells import Problem
from .held_passes import TEXTS

# words of which one must be in the message, as regular expressions
TRANSPOSE = ("transpos", "ᵀ is wanted")
SLOPE = ("f'", "derivative", "slope", "missing factor.*1 [-−]")
TERM = ("missing term", "missing path", r"(term|path|way|part)\b.*(left out|missing)", "lacks")
FACTOR = ("factor", "missing f'", "slope")
TIME = ("off by one", "in time", "step too", "(another|neighbouring|next|previous) step")
SIGN = (r"\bsign",)
MEAN = ("mean", "divided by", "constant factor", "1/[23]", r"0\.(5|33)")


def where(wrong, right):
    """The words for one operand in the place of another."""
    return (f"{wrong}.* where .*{right}.* is wanted", f"wrong operand.*{right}")


ANY = -1  # a place by its name alone


@dataclass(frozen=True)
class Mistake:
    """A mistake of a pass: the edits (old, new) that plant it, and what should be said of it.

    `says` is the expected sentence, `words` are alternatives of which the message has one,
    `places` are pairs (quantity, step): it is placed if the first wrong quantity is one of them.
    `more` are settings of the problem.
    """

    text: str
    edits: tuple[tuple[str, str], ...]
    says: str
    words: tuple[str, ...]
    places: tuple[tuple[str, int | None], ...]
    more: dict[str, object] = field(default_factory=dict)

    @property
    def cell(self) -> str:
        return self.text.split("_")[0]

    @property
    def problem(self) -> Problem:
        return Problem(self.cell, **settings(self.text) | self.more)

    @property
    def source(self) -> str:
        return planted(self.text, self.edits)


def settings(text):
    """The problem that a pass is tried on, unless it is said otherwise."""
    if text.startswith("keyhole"):
        return {"loss": "mean"}
    if text.startswith("bare"):
        return {"T": 6}
    if text.startswith("ends"):
        return {"B": 3, "lengths": (5, 3, 4)}
    if text.startswith("echo"):
        return {"B": 3, "started": True}
    return {}


def planted(text, edits):
    """The source of a pass after the edits; each has exactly one place."""
    source = TEXTS[text]
    for old, new in edits:
        if source.count(old) != 1:
            raise ValueError(f"{text} has {source.count(old)} of {old!r}")
        source = source.replace(old, new)
    return source


def one(text, old, new, says, words, *places, edits=(), **more):
    return Mistake(text, ((old, new), *edits), says, words, places, more)


M = {
    # one column at a time
    "whh": one(
        "scribe_columns",
        "dhnext = np.dot(Whh.T, dhraw)",
        "dhnext = np.dot(Whh, dhraw)",
        "The transpose of Whh is missing on the way from h_t back to h_{t-1}.",
        TRANSPOSE,
        ("h", 4),
    ),
    "raw": one(
        "scribe_columns",
        "np.dot(Whh.T, dhraw)",
        "np.dot(Whh.T, dh)",
        "The derivative 1 - h_t^2 is missing on the way to h_{t-1}; the parameters have it.",
        SLOPE,
        ("h", 4),
        single=True,
    ),
    "reset": one(
        "scribe_columns",
        "        dhnext = np.zeros_like(hs[0])\n",
        "",
        "The carry is not set to zero before the next sequence of the batch, so that the last step "
        "of a sequence gets what is left of the one before.",
        ("not reset", "carried over", "sequence", "batch"),
        ("h", 5),
        edits=(
            ("    for n in range(B):", "    dhnext = np.zeros_like(bh)\n    for n in range(B):"),
        ),
    ),
    "dwhh": one(
        "scribe_columns",
        "np.dot(dhraw, hs[t - 1].T)",
        "np.dot(dhraw, hs[t].T)",
        "dL/dWhh is from h_t where h_{t-1} is wanted.",
        TIME,
        ("Whh", None),
    ),
    "clip": one(
        "scribe_columns",
        "    return {",
        "    for d in (dWxh, dWhh, dWhy, dbh, dby):\n"
        "        np.clip(d, -1, 1, out=d)\n    return {",
        "The gradients are clipped to -1..1.",
        ("clip",),
        *((k, None) for k in ("Wxh", "Whh", "Why", "bh", "by")),
        B=3,
        T=6,
        scale=2.0,
        seed=2,
    ),
    # the loss's own gradient
    "onehot": one(
        "scribe_targets",
        "        dy[np.arange(B), ys[t]] -= 1\n",
        "",
        "1 is not subtracted at the target: the gradient of the cross entropy is softmax less the "
        "one-hot target, here it is the softmax alone.",
        ("one-hot", "target", "softmax"),
        ("o", 5),
        ("y", 5),
        ("e", 5),
        ("by", None),
        ("Why", None),
    ),
    "late": one(
        "scribe_targets",
        "dy[np.arange(B), ys[t]] -= 1",
        "dy[np.arange(B), ys[t - 1]] -= 1",
        "The target of the step before is taken.",
        ("target", *TIME),
        ("o", 5),
        ("y", 5),
        ("e", 5),
        ("by", None),
        ("Why", None),
        seed=1,
    ),
    "averaged": one(
        "scribe_targets",
        '        grads["Why"] += dy.T',
        '        dy /= B\n        grads["Why"] += dy.T',
        "The gradient at the output is divided by the size of the batch, the loss is a sum.",
        MEAN,
        ("o", 5),
        ("y", 5),
        ("e", 5),
        ("by", None),
        ("Why", None),
        B=3,
    ),
    # one vectorised pass after the loop, cotangents given
    "lam": one(
        "scribe_adjoint",
        "(lam[t + 1] * (1 - h[t + 1] ** 2))",
        "(lam[t + 1] * (1 - h[t] ** 2))",
        "On the way to h_t the derivative is 1 - h_t^2 where 1 - h_{t+1}^2 is wanted.",
        TIME,
        ("h", 4),
    ),
    "shifted": one(
        "scribe_adjoint",
        "delta = lam[1:] * (1 - h[1:] ** 2)",
        "delta = lam[1:] * (1 - h[:-1] ** 2)",
        "For the parameters the derivative is 1 - h_{t-1}^2 where 1 - h_t^2 is wanted.",
        TIME,
        ("a", 5),
        ("h", 5),
        ("bh", None),
        ("Wxh", None),
        ("Whh", None),
    ),
    "influence": one(
        "scribe_realtime",
        "P[np.arange(H), np.arange(H)] += z\n            P *= (1 - h**2)[:, None, None]\n",
        "P *= (1 - h**2)[:, None, None]\n            P[np.arange(H), np.arange(H)] += z\n",
        "What a step adds to the influence of the weights lacks 1 - h_t^2.",
        SLOPE,
        ("h", 5),
        ("a", 5),
        ("bh", None),
        ("Wxh", None),
        ("Whh", None),
    ),
    # one loss at a time
    "truncated": one(
        "bare_truncated",
        "bptt_truncate = T",
        "bptt_truncate = 2",
        "Every loss goes back two steps only: the rest is cut off.",
        ("truncat", "cut off", "after .* steps"),
        ("s", 3),
        single=True,
    ),
    "slope": one(
        "bare_truncated",
        "(1 - s[bptt_step - 1] ** 2)",
        "(1 - s[bptt_step] ** 2)",
        "On the way to s_{k-1} the derivative is that at s_k where that at s_{k-1} is wanted.",
        TIME,
        ("s", 5),
        ("a", 5),
    ),
    "outer": one(
        "bare_truncated",
        "dLdW += np.outer(delta_t, s[bptt_step - 1])",
        "dLdW += np.outer(delta_t, s[t - 1])",
        "dL/dW takes the state before the loss's step, s_{t-1}, for every step k: s_{k-1} is "
        "wanted.",
        (*TIME, *where("s", "s")),
        ("W", None),
    ),
    "output": one(
        "bare_truncated",
        "delta_t = V.T.dot(delta_o[t]) * (1 - (s[t] ** 2))",
        "delta_t = V.T.dot(delta_o[t])",
        "The derivative 1 - s_t^2 is missing between the output and the pre-activation; the "
        "way from later steps has it.",
        SLOPE,
        ("s", 6),
        ("a", 6),
    ),
    "range": one(
        "bare_truncated",
        "np.arange(max(0, t - bptt_truncate), t + 1)[::-1]",
        "np.arange(max(0, t - bptt_truncate), t)[::-1]",
        "The inner loop begins one step early: the error of step k meets x_{k-1} and s_{k-2}.",
        (*TIME, "left out"),
        ("W", None),
        ("U", None),
        ("s", 6),
        ("a", 6),
    ),
    # steps as objects
    "wrapped": one(
        "bare_layers",
        "before = layers[t - 1].s if t > 0 else s_0[n]",
        "before = layers[t - 1].s",
        "In the first step layers[-1] is the last one: dL/dW takes s_T where s_0 is wanted.",
        ("s_0", "s₀", "first step", "last state", "initial"),
        ("W", None),
    ),
    "preactivation": one(
        "bare_layers",
        "np.square(self.s)) * ds",
        "np.square(self.add)) * ds",
        "The derivative of tanh is taken as 1 - a^2 of the pre-activation; 1 - tanh(a)^2 is "
        "wanted.",
        ("pre-activation", "preactivation", *SLOPE),
        ("s", 6),
        ("a", 6),
    ),
    "cut": one(
        "bare_layers",
        "np.dot(V.T, dmulv) + diff_s",
        "np.dot(V.T, dmulv)",
        "The gradient from the next step is not added: s_t gets its own output's only.",
        (*TERM, "truncat", "carry"),
        ("s", 5),
    ),
    # a peephole LSTM with caches
    "peep_o": one(
        "keyhole_caches",
        ' + dao * p["po"]',
        "",
        "dL/dc_t lacks the way through the output gate's peephole, po.",
        TERM,
        ("c", 5),
    ),
    "peep_f": one(
        "keyhole_caches",
        'dc_prev = dc * f + dai * p["pi"] + daf * p["pf"]',
        'dc_prev = dc * f + dai * p["pi"]',
        "dL/dc_{t-1} lacks the way through the forget gate's peephole, pf.",
        TERM,
        ("c", 4),
        single=True,
    ),
    "dpo": one(
        "keyhole_caches",
        "(dao * c).sum(0)",
        "(dao * c_prev).sum(0)",
        "dL/dpo is from c_{t-1} where c_t is wanted.",
        TIME,
        ("po", None),
    ),
    "exchanged": one(
        "keyhole_caches",
        "di, df, dg = dc * g, dc * c_prev, dc * i",
        "di, df, dg = dc * i, dc * c_prev, dc * g",
        "i and g are exchanged in their gradients: dL/di = dL/dc g.",
        ("exchanged", "swapped", *where("i", "g"), *where("g", "i")),
        ("i", 5),
        ("g", 5),
    ),
    "memory": one(
        "keyhole_blocks",
        "dc[t + 1] * gates[t + 1][1]",
        "dc[t + 1] * gates[t][1]",
        "dL/dc_t takes the forget gate of its own step, f_t, where f_{t+1} is wanted.",
        TIME,
        ("c", 4),
    ),
    "cell": one(
        "keyhole_blocks",
        "o * (1 - np.tanh(c[t + 1]) ** 2)",
        "o * (1 - np.tanh(c[t]) ** 2)",
        "dL/dc_t takes the derivative of tanh at c_{t-1} where c_t is wanted.",
        TIME,
        ("c", 5),
    ),
    # an LSTM of [h, x]
    "slice": one(
        "strand_concat",
        "dh_next = dz[:, :H]",
        "dh_next = dz[:, -H:]",
        "Of dL/d[h, x] the last H columns are taken for h: the first H are wanted.",
        ("slice", "column", "row", "block", "part of", "concat"),
        ("h", 4),
    ),
    "sigmoid": one(
        "strand_concat",
        "dg * (1 - g * g)",
        "dg * g * (1 - g)",
        "The candidate g is a tanh, its derivative is taken as a sigmoid's.",
        ("sigmoid", "σ", *SLOPE),
        ("g", 5),
    ),
    "gate": one(
        "strand_concat",
        "dc_next = dc * f",
        "dc_next = dc * i",
        "The memory's gradient goes back through i where f is wanted.",
        where("i", "f"),
        ("c", 4),
    ),
    "forget": one(
        "strand_concat",
        "df = dc * c_prev",
        "df = dc * c",
        "dL/df_t is from c_t where c_{t-1} is wanted.",
        TIME,
        ("f", 5),
        single=True,
    ),
    "overwritten": one(
        "strand_concat",
        "dW += z.T @ da",
        "dW = z.T @ da",
        "dL/dW is overwritten in every step, not added up: only step 1 is left.",
        ("overwrit", "accumul", "added up", "only .*step", "first step"),
        ("W", None),
    ),
    "squash": one(
        "strand_nodes",
        "self.o * (1.0 - np.tanh(self.s) ** 2) * top_diff_h",
        "self.o * top_diff_h",
        "The derivative of the memory's tanh is missing.",
        SLOPE,
        ("c", 5),
    ),
    "held": one(
        "strand_nodes",
        "e[t, n] + diff_h, diff_s)",
        "e[t, n], diff_s)",
        "dL/dh_t lacks what comes from the next step's gates; the memory's carry is there.",
        TERM,
        ("h", 4),
    ),
    "kept": one(
        "strand_nodes",
        "self.bottom_diff_s = ds * self.f",
        "self.bottom_diff_s = ds",
        "The memory's gradient goes back without the forget gate.",
        FACTOR,
        ("c", 4),
    ),
    # a GRU that resets before
    "inner": one(
        "before_vectorised",
        "        dh_next = dh_next + drh * rs[t]\n",
        "",
        "dL/dh_{t-1} lacks the way through the candidate, r_t h_{t-1}.",
        TERM,
        ("h", 4),
    ),
    "update": one(
        "before_vectorised",
        "dz = dh * (before[t] - ns[t])",
        "dz = dh * (ns[t] - before[t])",
        "dL/dz has the wrong sign: h = z h + (1 - z) n.",
        SIGN,
        ("z", 5),
        single=True,
    ),
    "un": one(
        "before_vectorised",
        '("n", dan, rs * before)',
        '("n", dan, before)',
        "dL/dUn is from h_{t-1} where r_t h_{t-1} is wanted.",
        (*FACTOR, *where("h", "r"), *where("h", "u")),
        ("Un", None),
    ),
    "resetting": one(
        "before_vectorised",
        "dr = drh * before[t]",
        "dr = drh * hs[t + 1]",
        "dL/dr_t is from h_t where h_{t-1} is wanted.",
        TIME,
        ("r", 5),
    ),
    "opposite": one(
        "before_numbered",
        "dh_fz = dh * z[t]",
        "dh_fz = dh * (1 - z[t])",
        "The state's direct way back is 1 - z where z is wanted.",
        ("1 [-−] z.* where .*z.* is wanted", "complement"),
        ("h", 4),
    ),
    "untransposed": one(
        "before_numbered",
        "drhp = np.dot(Un.T, dhhat_l)",
        "drhp = np.dot(Un, dhhat_l)",
        "The transpose of Un is missing on the way to r_t h_{t-1}.",
        TRANSPOSE,
        ("r", 5),
        ("u", 5),
    ),
    "no_reset": one(
        "before_numbered",
        "dh_fz_inner + dh_fz + dh_fhh + dh_fr",
        "dh_fz_inner + dh_fz + dh_fhh",
        "dL/dh_{t-1} lacks the way through the reset gate.",
        TERM,
        ("h", 4),
    ),
    # a GRU that resets after
    "inside": one(
        "after_stacked",
        "np.concatenate([dr, dz, dn * r], axis=1)",
        "np.concatenate([dr, dz, dn], axis=1)",
        "The part of h Wh + bh that is reset gets its gradient without r_t.",
        FACTOR,
        ("q", 5),
        single=True,
    ),
    "biasless": one(
        "after_stacked",
        "tape.append((x, h, r, z, n, gh[:, 2 * H :]))",
        'tape.append((x, h, r, z, n, h @ p["Wh"][:, 2 * H :]))',
        "dL/dr is from h Wh without its bias: r multiplies h Wh + bh.",
        ("bias", *TERM),
        ("r", 5),
    ),
    "bias": one(
        "after_stacked",
        'grads["bh"] += dgh.sum(0)',
        'grads["bh"] += dgi.sum(0)',
        "dL/dbh is dL/dbi: r_t is missing in its last third.",
        (*FACTOR, "bi", "another gradient"),
        ("bh", None),
    ),
    "first": one(
        "after_one_loss",
        "for k in range(t, -1, -1):",
        "for k in range(t, 0, -1):",
        "The first step is left out of the sums.",
        ("first step", "step 1", "left out"),
        ("h", 1),
        ("n", 1),
        ("z", 1),
        ("r", 1),
        *((k, None) for k in ("Wi", "Wh", "bi", "bh")),
    ),
    "own": one(
        "after_one_loss",
        "            h_prev = states[k]\n",
        "            h_prev = states[k + 1]\n",
        "h_t is taken where h_{t-1} is wanted, in dL/dz and in dL/dWh.",
        TIME,
        ("z", 5),
    ),
    # the minimal gated unit
    "twice": one(
        "single_einsum",
        "df = dh[t + 1] * (m[t] - h[t]) + dfh * h[t]",
        "df = dh[t + 1] * (m[t] - h[t])",
        "dL/df lacks the gate's use inside the candidate, f h_{t-1}.",
        TERM,
        ("f", 5),
    ),
    "stays": one(
        "single_einsum",
        "dh[t] = dh[t + 1] * (1 - f[t]) +",
        "dh[t] = dh[t + 1] +",
        "The direct way back to h_{t-1} lacks 1 - f_t.",
        FACTOR,
        ("h", 4),
    ),
    "logistic": one(
        "single_einsum",
        "daf[t] = df * f[t] * (1 - f[t])",
        "daf[t] = df * af[t] * (1 - af[t])",
        "The sigmoid's derivative is taken of the pre-activation: a (1 - a) where f (1 - f) is "
        "wanted.",
        ("pre-activation", "preactivation", *SLOPE),
        ("f", 5),
    ),
    "batch": one(
        "single_einsum",
        'np.einsum("tbh->h", dam)',
        "dam.sum(0).mean(0)",
        "dL/dbm is a mean over the batch where a sum is wanted.",
        MEAN,
        ("bm", None),
        B=3,
    ),
    "nested": one(
        "single_jacobians",
        'm_h = Dm @ p["Um"].T @ np.diag(f) + m_f @ f_h',
        'm_h = Dm @ p["Um"].T @ np.diag(f)',
        "The candidate's derivative by h_{t-1} holds the gate fixed: the way through f inside "
        "it is missing.",
        TERM,
        ("h", 4),
    ),
    # rates in continuous time
    "leak": one(
        "bath_realtime",
        "J = np.diag(1 - a) + (a",
        "J = (a",
        "The way through the leak, 1 - a, is missing from one step's influence on the next.",
        TERM,
        ("v", 4),
    ),
    "later": one(
        "bath_realtime",
        "(W * (1 - r**2)[:, None])",
        "(W * (1 - np.tanh(v + a * (x @ U + r @ W + b - v)) ** 2)[:, None])",
        "The derivative of tanh is taken at v_t where v_{t-1} is wanted.",
        TIME,
        ("v", 4),
    ),
    "rate": one(
        "bath_realtime",
        'np.einsum("j,jl,k->jkl", a, eye, r)',
        'np.einsum("jl,k->jkl", eye, r)',
        "dL/dW lacks the rate a.",
        FACTOR,
        ("W", None),
    ),
    "dk": one(
        "bath_adjoint",
        "(dv * drives[t]).sum(0) * a * (1 - a)",
        "(dv * drives[t]).sum(0)",
        "dL/dk lacks the sigmoid's derivative a (1 - a): it is dL/da.",
        SLOPE,
        ("k", None),
        ("a", None),
    ),
    "decay": one(
        "bath_adjoint",
        "dv = dv - ddrive + (ddrive",
        "dv = dv + (ddrive",
        "dL/dv_{t-1} lacks - a dL/dv_t, the leak.",
        (*TERM, *FACTOR),
        ("v", 4),
    ),
    "readout": one(
        "bath_adjoint",
        "dv = dv + e[t] * (1 - r[t + 1] ** 2)",
        "dv = dv + e[t]",
        "The derivative of the output's tanh is missing.",
        SLOPE,
        ("v", 5),
    ),
    # relu with a learned start
    "guided": one(
        "ratchet_rows",
        "da = dh * (pre[t] > 0)",
        "da = dh * (dh > 0)",
        "The relu's derivative is taken by the sign of the gradient, not of the pre-activation.",
        ("relu", *SLOPE),
        ("h", 5),
        ("a", 5),
    ),
    "started": one(
        "ratchet_rows",
        "dstart = dh.sum(axis=0)",
        "dstart = da.sum(axis=0)",
        "The start's gradient is that of step 1's pre-activation: W is missing.",
        (*TERM, *FACTOR),
        ("start", ANY),
        ("h", 0),
        ("s_0", ANY),
        ("h_0", ANY),
    ),
    "alive": one(
        "ratchet_rows",
        "(pre[t] > 0)",
        "(hs[t] > 0)",
        "The relu's derivative is taken at h_{t-1} where h_t is wanted.",
        TIME,
        ("h", 5),
        ("a", 5),
    ),
    "shared": one(
        "ratchet_copied",
        'grads["start"] + dh[:, 0]',
        'grads["start"] + dh[:, 0] / B',
        "The start's gradient is a mean over the batch: a sum is wanted, all sequences share it.",
        MEAN,
        ("start", None),
        B=3,
    ),
    "linear": one(
        "ratchet_copied",
        "            dh[h <= 0] = 0\n",
        "",
        "The relu's derivative is missing.",
        SLOPE,
        ("h", 5),
        ("a", 5),
    ),
    # normalised
    "constants": one(
        "level_steps",
        "return dn / std + dvar * 2 * (a - mu) / D + dmu / D",
        "return dn / std",
        "Mean and spread are taken as constants: their own ways back are missing.",
        (*TERM, "constant", "mean"),
        ("a", 5),
    ),
    "variance": one(
        "level_steps",
        "dvar * 2 * (a - mu) / D",
        "dvar * 2 * (a - mu)",
        "The way through the variance lacks 1/H.",
        (*FACTOR, "constant", "mean"),
        ("a", 5),
        single=True,
    ),
    "unbiased": one(
        "level_compact",
        "a.var(1, keepdims=True)",
        "a.var(1, keepdims=True, ddof=1)",
        "The pass's own forward step takes the variance over H - 1: other values of n.",
        ("forward", "value"),
        ("n", 5),
        ("h", 5),
        ("a", 5),
        ("n", 1),
        ("h", 1),
    ),
    "gain": one(
        "level_steps",
        "(ds * n).sum(0)",
        "ds.sum(0)",
        "dL/dg lacks n: it is dL/db.",
        (*FACTOR, "another gradient"),
        ("g", None),
    ),
    # a highway of two storeys
    "carried": one(
        "overpass_steps",
        "dlow = ds * (1 - t2) + dc2",
        "dlow = dc2",
        "The way that is carried past the upper storey, 1 - t2, is missing.",
        TERM,
        ("low", 5),
    ),
    "transform": one(
        "overpass_steps",
        "dt1 = dlow * (c1 - s) * t1",
        "dt1 = dlow * c1 * t1",
        "dL/dt1 lacks - s_{t-1}: the gate also closes the carry.",
        (*TERM, *FACTOR),
        ("t1", 5),
        single=True,
    ),
    "r1": one(
        "overpass_steps",
        'G["R1"] += s.T @ dt1',
        'G["R1"] += low.T @ dt1',
        "dL/dR1 is from the middle of the step, low_t, where s_{t-1} is wanted.",
        (*where("low", "s"), *TIME),
        ("R1", None),
    ),
    "below": one(
        "overpass_steps",
        ' + dt1 @ p["R1"].T',
        "",
        "dL/ds_{t-1} lacks the way through the lower gate.",
        TERM,
        ("s", 4),
    ),
    # two layers
    "between": one(
        "storeys_rows",
        'da2 @ p["U2"].T + dh1next',
        'dh2 @ p["U2"].T + dh1next',
        "From the upper layer to the lower the derivative 1 - high^2 is missing.",
        SLOPE,
        ("low", 5),
    ),
    "skip": one(
        "storeys_rows",
        'dh1 = e[t] @ p["S"].T + da2',
        "dh1 = da2",
        "dL/dlow lacks the output's direct part, S.",
        TERM,
        ("low", 5),
    ),
    "w2": one(
        "storeys_rows",
        "h2[t - 1].T @ da2",
        "h2[t].T @ da2",
        "dL/dW2 is from high_t where high_{t-1} is wanted.",
        TIME,
        ("W2", None),
    ),
    "crossed": one(
        "storeys_rows",
        'dh1next = da1 @ p["W1"].T\n        dh2next = da2 @ p["W2"].T',
        'dh2next = da1 @ p["W1"].T\n        dh1next = da2 @ p["W2"].T',
        "What comes from the next step is exchanged between the layers.",
        ("exchanged", "swapped", *where("w2", "w1"), *where("w1", "w2")),
        ("low", 4),
        ("high", 4),
    ),
    "downwards": one(
        "storeys_layerwise",
        "return das @ U.T, dU",
        "return das @ W.T, dU",
        "From the upper layer to the lower W2 is taken where U2 is wanted.",
        where("w2", "u2"),
        ("low", 5),
    ),
    # both directions
    "sideways": one(
        "both_loops",
        "hb[t + 1].T @ da",
        "hb[t - 1].T @ da",
        "The backward direction's dL/dW is from b_{t-1} where b_{t+1} is wanted.",
        TIME,
        ("backward.W", None),
        ("W", None),
    ),
    "unflipped": one(
        "both_flipped",
        "e_b[::-1])",
        "e_b)",
        "The errors of the backward direction are in the order of time where the reverse is "
        "wanted.",
        ("order", "revers", *TIME),
        ("backward.s", ANY),
        ("s", ANY),
        ("b", ANY),
        ("e", ANY),
        ("o", ANY),
        ("backward.b", None),
        ("backward.h", ANY),
        ("h", ANY),
    ),
    # tokens and a tied matrix
    "rows": one(
        "echo_tokens",
        "np.add.at(dE, ids[t], da)",
        "dE[ids[t]] += da",
        "A token that is in several sequences of the batch at once is counted once only.",
        ("batch", "counted once", "repeated", "duplicate", "same token"),
        ("E", None),
        B=4,
    ),
    "reading": one(
        "echo_tokens",
        "        dE += e[t].T @ hs[t + 1]\n",
        "",
        "dL/dE lacks the part of the readout.",
        TERM,
        ("E", None),
    ),
    "embedding": one(
        "echo_dense",
        "flat(xs).T @ flat(da) + flat(e).T @ flat(hs[1:])",
        "flat(xs).T @ flat(da) + flat(e).T @ flat(hs[:-1])",
        "The readout's part of dL/dE is from h_{t-1} where h_t is wanted.",
        TIME,
        ("E", None),
    ),
    # a mask
    "skipped": one(
        "absent_masked",
        'dh = da @ p["W"].T + dh * (1 - m)',
        'dh = da @ p["W"].T',
        "A sequence that has not this step loses its gradient: the way of the kept state, 1 - m, "
        "is missing.",
        TERM,
        ("h", 4),
        B=3,
        seed=1,
        single=True,
    ),
    "unmasked": one(
        "absent_masked",
        "dnew = dh * m",
        "dnew = dh",
        "The new state's gradient lacks the mask m.",
        FACTOR,
        ("n", 5),
        B=3,
        seed=1,
    ),
    # softmax
    "diagonal": one(
        "chances_softmax",
        "dz = ps[t] * (dp - (dp * ps[t]).sum(axis=1, keepdims=True))",
        "dz = dp * ps[t] * (1 - ps[t])",
        "Of the softmax's Jacobian only the diagonal p (1 - p) is taken, as of a sigmoid.",
        ("softmax", "diagonal", "sigmoid", *TERM, *SLOPE),
        ("l", 5),
    ),
    "straight": one(
        "chances_softmax",
        "dz = ps[t] * (dp - (dp * ps[t]).sum(axis=1, keepdims=True))",
        "dz = dp",
        "The derivative of the softmax is missing.",
        ("softmax", *SLOPE),
        ("l", 5),
    ),
    # multiplicative
    "already": one(
        "product_rows",
        "dA += x.T @ (dm * hm)",
        "dA += x.T @ (dm * m)",
        "dL/dA is from m = (x A) (h M) where h M is wanted.",
        (*where("m", "m"), "factor twice", "twice"),
        ("A", None),
    ),
    "unscaled": one(
        "product_rows",
        "dh = (dm * xa) @ M.T",
        "dh = dm @ M.T",
        "dL/dh_{t-1} lacks the factor x A.",
        FACTOR,
        ("h", 4),
    ),
    # oscillators
    "speed": one(
        "pendulum_steps",
        "dz = dz + dt * dy",
        "dz = dz + dy",
        "On the way from the place to the speed of the same step the factor dt is missing.",
        (*FACTOR, "constant"),
        ("z", 5),
    ),
    "place": one(
        "pendulum_steps",
        'dy = dy - dt * p["k"] * dz +',
        'dy = -dt * p["k"] * dz +',
        "dL/dy_{t-1} lacks dL/dy_t itself.",
        TERM,
        ("y", 4),
        single=True,
    ),
    "spring": one(
        "pendulum_steps",
        'g["k"] -=',
        'g["k"] +=',
        "dL/dk has the wrong sign.",
        SIGN,
        ("k", None),
    ),
    # the whole sequence at once
    "carry": one(
        "weave_vectorised",
        "dc[t] += f[t + 1] * dc[t + 1]",
        "dc[t] += f[t] * dc[t + 1]",
        "dL/dc_t takes f_t where f_{t+1} is wanted.",
        TIME,
        ("c", 4),
    ),
    "complement": one(
        "weave_vectorised",
        "daf = dc * (prev - w) * f",
        "daf = dc * prev * f",
        "dL/df lacks - x W: the gate also closes the input.",
        (*TERM, *FACTOR),
        ("f", 5),
    ),
    "highway": one(
        "weave_vectorised",
        " + e * (1 - r)",
        "",
        "dL/dx lacks the way beside the memory, 1 - r.",
        TERM,
        ("x", 5),
        ("x", None),
    ),
    "window": one(
        "weave_products",
        "np.prod(f[k + 1 : t + 1], axis=0)",
        "np.prod(f[k:t], axis=0)",
        "The product of forget gates from k to t is f_k ... f_{t-1} where f_{k+1} ... f_t is "
        "wanted.",
        TIME,
        ("c", 4),
        T=6,
    ),
    # antisymmetric
    "halved": one(
        "skew_rows",
        '"W": dS - dS.T',
        '"W": dS',
        "dL/dW lacks - (dL/dS)^T: W is used twice, once transposed.",
        (*TERM, *TRANSPOSE),
        ("W", None),
    ),
    "turned": one(
        "skew_rows",
        "da @ S.T",
        "da @ S",
        "The transpose of W - W^T is missing on the way to h_{t-1}, which is its sign.",
        (*TRANSPOSE, *SIGN),
        ("h", 4),
    ),
    # weight normalisation
    "direction": one(
        "reins_rows",
        "dV = g / norm * dW - g * dg / norm**2 * V",
        "dV = g / norm * dW",
        "dL/dV takes the columns' lengths as constant: their way back is missing.",
        (*TERM, "constant", "norm"),
        ("V", None),
    ),
    "unnormed": one(
        "reins_rows",
        "dh = da @ W.T",
        "dh = da @ V.T",
        "On the way to h_{t-1} V is taken where W = g V / |V| is wanted.",
        (*where("v", "w"), *FACTOR),
        ("h", 4),
    ),
    # error feedback
    "feedback": one(
        "guess_rows",
        "dh_next = da @ W.T - dmiss @ P.T",
        "dh_next = da @ W.T + dmiss @ P.T",
        "The way to h_{t-1} through the miss x - h P has the wrong sign.",
        SIGN,
        ("h", 4),
    ),
    "p": one(
        "guess_rows",
        "        dP -= h_prev.T @ dmiss\n",
        "",
        "dL/dP lacks the part of the next step's miss.",
        TERM,
        ("P", None),
    ),
    # fast weights
    "fading": one(
        "plastic_einsum",
        'dA = lam * dA + np.einsum("bi,bj->bij", h_prev, da)',
        'dA = np.einsum("bi,bj->bij", h_prev, da)',
        "dL/dA_{t-1} lacks what the fast weights carry, 0.8 dL/dA_t.",
        TERM,
        ("A", 3),
    ),
    "sides": one(
        "plastic_einsum",
        'eta * (np.einsum("bij,bj->bi", dA, h) + np.einsum("bij,bi->bj", dA, h))',
        'eta * np.einsum("bij,bj->bi", dA, h)',
        "Of the two factors of h^T h only one has a way back to h_t.",
        TERM,
        ("h", 4),
    ),
    "symmetric": one(
        "plastic_loops",
        "0.5 * (dA + dA.T) @ hs[t]",
        "0.5 * 2 * dA @ hs[t]",
        "dL/dA is taken as symmetric: dA^T is missing in one of the two ways from h^T h.",
        (*TRANSPOSE, *TERM),
        ("h", 4),
    ),
    # unequal lengths
    "padding": one(
        "ends_lengths",
        "dh = dh + e[t] * alive[t]",
        "dh = dh + e[t]",
        "The losses after a sequence's end reach its last state, where the output is a constant "
        "zero.",
        ("length", "after .*end", "padding", "mask"),
        ("h", ANY),
    ),
    "early": one(
        "ends_lengths",
        "(1 - hs[t + 1] ** 2) * alive[t]",
        "(1 - hs[t + 1] ** 2) * (t + 1 < np.array(lengths))[:, None]",
        "The last step of every sequence is left out.",
        ("last step", "length", "left out"),
        ("h", 5),
        ("a", 5),
    ),
    # these come in pairs only
    "memory_gate": one(
        "keyhole_caches",
        "dc_prev = dc * f +",
        "dc_prev = dc * i +",
        "The memory's gradient goes back through i where f is wanted.",
        where("i", "f"),
        ("c", 4),
    ),
    "output_gate": one(
        "strand_concat",
        "do * o * (1 - o)",
        "do * o",
        "The output gate's derivative lacks 1 - o.",
        (*FACTOR, *SLOPE),
        ("o", 5),
    ),
    "pull": one(
        "pendulum_steps",
        'dy = dy - dt * p["k"] * dz',
        'dy = dy + dt * p["k"] * dz',
        "The spring's way back to the place has the wrong sign.",
        SIGN,
        ("y", 4),
    ),
}


@dataclass(frozen=True)
class Pair:
    """Two mistakes of one pass; `edits` if they are in one line, else those of both."""

    first: Mistake
    second: Mistake
    edits: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        return self.first.text

    @property
    def problem(self) -> Problem:
        return self.first.problem

    @property
    def source(self) -> str:
        return planted(self.text, self.edits or self.first.edits + self.second.edits)


PAIRS = [
    Pair(M["whh"], M["raw"], (("np.dot(Whh.T, dhraw)", "np.dot(Whh, dh)"),)),
    Pair(
        M["memory_gate"],
        M["peep_f"],
        (('dc * f + dai * p["pi"] + daf * p["pf"]', 'dc * i + dai * p["pi"]'),),
    ),
    Pair(
        M["pull"],
        M["place"],
        (('dy = dy - dt * p["k"] * dz +', 'dy = dt * p["k"] * dz +'),),
    ),
    Pair(M["sigmoid"], M["output_gate"]),
    Pair(M["inner"], M["un"]),
    Pair(M["biasless"], M["bias"]),
    Pair(M["stays"], M["logistic"]),
    Pair(M["below"], M["r1"]),
    Pair(M["skip"], M["w2"]),
    Pair(M["complement"], M["carry"]),
    Pair(M["readout"], M["dk"]),
    Pair(M["constants"], M["gain"]),
]

# not among the single ones, for another time
SPARE_NAMES = (
    "dwhh", "shifted", "output", "dpo", "cell", "kept", "un", "no_reset", "bias", "logistic",
    "rate", "gain", "r1", "below", "w2", "skip", "embedding", "unmasked", "straight",
    "unscaled", "carry", "complement", "unnormed", "alive", "own", "exchanged", "shared",
    "symmetric", "held", "resetting", "reading", "decay", "speed", "memory_gate", "output_gate",
    "pull",
)  # fmt: skip
SPARE = {k: M[k] for k in SPARE_NAMES}
SINGLE = {k: m for k, m in M.items() if k not in SPARE}


@dataclass(frozen=True)
class Correct:
    """A pass without a mistake, and the problem that it is tried on."""

    text: str
    more: dict[str, object] = field(default_factory=dict)

    @property
    def problem(self) -> Problem:
        return Problem(self.text.split("_")[0], **settings(self.text) | {"seed": 7} | self.more)

    @property
    def source(self) -> str:
        return TEXTS[self.text]


CORRECT = [
    *(Correct(text) for text in TEXTS),
    Correct("scribe_columns", {"T": 1}),
    Correct("scribe_adjoint", {"steps": (4,)}),
    Correct("bare_layers", {"B": 1, "started": True}),
    Correct("keyhole_caches", {"T": 12, "single": True}),
    Correct("strand_concat", {"single": True}),
    Correct("before_vectorised", {"scale": 30.0}),
    Correct("after_stacked", {"T": 1}),
    Correct("single_einsum", {"steps": (0,)}),
    Correct("bath_realtime", {"started": True, "single": True}),
    Correct("ratchet_rows", {"T": 6, "B": 1, "scale": 20.0}),
    Correct("level_steps", {"single": True}),
    Correct("chances_softmax", {"scale": 10.0}),
    Correct("plastic_einsum", {"single": True}),
    Correct("ends_lengths", {"lengths": (5, 0, 2)}),
    Correct("pendulum_steps", {"T": 10, "single": True}),
]
