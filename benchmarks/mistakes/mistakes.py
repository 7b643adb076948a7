"""Planted mistakes. Written down before anything was run: the sentence that a teacher would say, and the place.

A case: name, program, edits of the part by hand (old text, new text[, how often it is there]), `says`, `place`, `source`.
`source`: the address of a public question, issue, review or text that has this mistake (or asks for it); None: own.
Where a source is a picture or a title only, the note says "after".
"""

GIST = "https://gist.github.com/karpathy/d4dee566867f8291f086?permalink_comment_id=4206177"
GH = "https://github.com/"
ONE, TWO = [], []


def one(name, program, edits, says, place, source=None, note=""):
    ONE.append(
        dict(
            name=name,
            program=program,
            edits=edits,
            says=says,
            place=place,
            source=source,
            note=note,
        )
    )


def two(name, program, edits, says, place):
    TWO.append(
        dict(name=name, program=program, edits=edits, says=says, place=place, source=None, note="")
    )


# ---------------------------------------------------------------- column (deeplearning.ai)
one(
    "col_plus",
    "column",
    [("(1 - a_next ** 2)", "(1 + a_next ** 2)")],
    "The slope of tanh has the wrong sign: 1 + a² where 1 - a² is wanted (tan's slope).",
    "dz = dL/d(pre-activation), every step",
    GH + "nicodjimenez/lstm/issues/41",
)
one(
    "col_division",
    "column",
    [("da_next * (1 - a_next ** 2)", "da_next / (1 - a_next ** 2)")],
    "Divided by the slope of tanh instead of multiplied with it.",
    "dz, every step",
    GH + "oreilly-japan/deep-learning-from-scratch-2/issues/26",
)
one(
    "col_bias_no_slope",
    "column",
    [("dba = np.sum(dz,", "dba = np.sum(da_next,")],
    "The bias's gradient is summed from dL/da instead of dL/dz: the slope of tanh is left out, in dL/dba only.",
    "dL/dba",
    GH + "arthurdouillard/deepcourse/pull/9",
)
one(
    "col_no_carry",
    "column",
    [('p["Wya"].T @ dy + da_prev', 'p["Wya"].T @ dy')],
    "The gradient from the later steps is not added: each step sees its own loss only.",
    "da_next, all steps but the last; path a_{t+1} -> a_t",
    GH + "qixianbiao/RNN/issues/2",
)
one(
    "col_tanh_of_gradient",
    "column",
    [("da_next * (1 - a_next ** 2)", "1 - np.square(np.tanh(da_next))")],
    "tanh's slope is taken of the incoming gradient, and the incoming gradient isn't multiplied with it (not linear in dL/do).",
    "dz, every step",
    GH + "yizt/numpy_neural_network/issues/6",
)
one(
    "col_Waa_next",
    "column",
    [("dWaa = dz @ a_prev.T", "dWaa = dz @ a_next.T")],
    "dL/dWaa uses the state after the step, a_t, where a_{t-1} is wanted.",
    "dL/dWaa",
)
one(
    "col_untransposed",
    "column",
    [('da_prev = p["Waa"].T @ dz', 'da_prev = p["Waa"] @ dz')],
    "Waa is not transposed on the way back to the previous state.",
    "da_prev (recurrent path)",
)

# ---------------------------------------------------------------- rowbatch (cs231n)
one(
    "row_slope_of_output",
    "rowbatch",
    [("(1 - next_h ** 2)", "(1 - np.tanh(next_h) ** 2)")],
    "The slope of tanh is taken at h instead of at the pre-activation: tanh is applied a second time.",
    "dtanh, every step",
    GH + "davidrmiller/neural2d/issues/40",
)
one(
    "row_divided_by_N",
    "rowbatch",
    [
        ("dWx = x.T @ dtanh", "dWx = x.T @ dtanh / N"),
        ("dWh = prev_h.T @ dtanh", "dWh = prev_h.T @ dtanh / N"),
        ("db = np.sum(dtanh, axis=0)", "db = np.sum(dtanh, axis=0) / N"),
    ],
    "The gradients of the recurrent layer's parameters are averaged over the batch; the loss is a sum.",
    "dL/dWx, dL/dWh, dL/db (factor 1/N)",
    GH + "Kulbear/deep-learning-coursera/issues/8",
)
one(
    "row_overwritten",
    "rowbatch",
    [("dWh += dWh_t", "dWh = dWh_t")],
    "dL/dWh is overwritten in each step instead of summed: only the first step's part is left.",
    "dL/dWh",
    GH + "tensorflow/swift-apis/issues/518",
)
one(
    "row_first_state",
    "rowbatch",
    [
        (
            "        prev_h = next_h\n    return np.stack(h), cache",
            "        prev_h = next_h\n    cache[0] = (xs[0], h[0]) + cache[0][2:]\n    return np.stack(h), cache",
        )
    ],
    "In the first step dL/dWh uses h_1 where h_0 is wanted.",
    "dL/dWh, step 1",
    GH + "VikParuchuri/zero_to_gpt/issues/9",
)
one(
    "row_dh0",
    "rowbatch",
    [("dh0 = dprev_h", "dh0 = dnext_h")],
    "The initial state's gradient is that of h_1: one step off (not taken back through the first step).",
    "dL/dh_0",
)
one(
    "row_bias_mean",
    "rowbatch",
    [("db = np.sum(dtanh, axis=0)", "db = np.mean(dtanh, axis=0)")],
    "The bias's gradient is a mean over the batch where a sum is wanted.",
    "dL/db",
)
one(
    "row_readout_shift",
    "rowbatch",
    [
        (
            'np.einsum("tbh,tbo->ho", h, e)',
            'np.einsum("tbh,tbo->ho", np.concatenate([s_0[None], h[:-1]]), e)',
        )
    ],
    "dL/dWo uses h_{t-1} where h_t is wanted.",
    "dL/dWo",
)

# ---------------------------------------------------------------- minchar, own settings
one(
    "mc_untransposed",
    "minchar",
    [("dhnext = np.dot(Whh.T, dhraw)", "dhnext = np.dot(Whh, dhraw)")],
    "Whh is not transposed on the way to the previous state.",
    "dhnext (path h_t -> h_{t-1})",
    GIST,
    "after a question about this line",
)
one(
    "mc_overwritten",
    "minchar",
    [("dWxh += np.dot(dhraw, xs[t].T)", "dWxh = np.dot(dhraw, xs[t].T)")],
    "dL/dWxh is overwritten instead of summed: only the first step is left.",
    "dL/dWxh",
)
one(
    "mc_forward_in_time",
    "minchar",
    [("for t in reversed(range(len(inputs))):", "for t in range(0, len(inputs)):")],
    "The backward loop runs forward in time: gradients are carried from step t to t+1.",
    "the loop; dhnext",
)

# ---------------------------------------------------------------- minchar_own: dL/dy in the pass
one(
    "mo_no_one_hot",
    "minchar_own",
    [("        dy[targets[t]] -= 1\n", "")],
    "dL/dy is softmax without subtracting the one-hot target.",
    "dL/dy (dL/do), every step",
    GIST,
)
one(
    "mo_divided_by_T",
    "minchar_own",
    [("        dy[targets[t]] -= 1\n", "        dy[targets[t]] -= 1\n        dy /= len(inputs)\n")],
    "Divided by the number of steps, where the loss is a sum over the steps: all gradients are 1/T of what they should be.",
    "dL/dy; everything by 1/T",
    GH + "karpathy/char-rnn/issues/104",
)
one(
    "mo_softmax_twice",
    "minchar_own",
    [("dy = np.copy(ps[t])", "dy = np.exp(ps[t]) / np.sum(np.exp(ps[t]), axis=0)")],
    "The softmax is applied twice in dL/dy.",
    "dL/dy, every step",
    GH + "arthurdouillard/deepcourse/pull/9",
)
one(
    "mo_slope_missing_in_time",
    "minchar_own",
    [("dhnext = np.dot(Whh.T, dhraw)", "dhnext = np.dot(Whh.T, dh)")],
    "The slope of tanh is left out on the path to the previous state (dh instead of dhraw).",
    "dhnext (path h_t -> h_{t-1})",
    GIST,
    "after a question about this line",
)
one(
    "mo_own_input",
    "minchar_own",
    [("dy[targets[t]] -= 1", "dy[inputs[t].argmax(axis=1)] -= 1")],
    "The target of the step before (the step's own input) is taken as the target.",
    "dL/dy, every step",
)
one(
    "mo_sign",
    "minchar_own",
    [
        (
            "dy = np.copy(ps[t])\n        dy[targets[t]] -= 1",
            "dy = -ps[t]\n        dy[targets[t]] += 1",
        )
    ],
    "The sign of dL/dy is wrong: target - p instead of p - target; every gradient is the negative.",
    "dL/dy; all gradients times -1",
)

# ---------------------------------------------------------------- vectorised
one(
    "ve_same_state",
    "vectorised",
    [("S[:-1], delta", "S[1:], delta")],
    "dL/dW pairs delta_t with s_t where s_{t-1} is wanted.",
    "dL/dW",
)
one(
    "ve_first_left_out",
    "vectorised",
    [("S[:-1], delta", "S[1:-1], delta[1:]")],
    "The first step is left out of dL/dW (s_0 is not zero here).",
    "dL/dW, step 1",
)
one(
    "ve_bias_mean",
    "vectorised",
    [("delta.sum(axis=(0, 1))", "delta.sum(axis=0).mean(axis=0)")],
    "dL/db is a mean over the batch where a sum is wanted.",
    "dL/db",
)
one(
    "ve_not_turned",
    "vectorised",
    [("np.stack(deltas[::-1])", "np.stack(deltas)")],
    "The deltas were collected backwards and are not turned round: delta_{T+1-t} is paired with step t.",
    "delta in dL/dU, dL/dW (time order)",
    GH + "keras-team/keras/pull/1001",
)
one(
    "ve_slope_twice",
    "vectorised",
    [('carry = delta @ p["W"].T', 'carry = (delta * slope[t]) @ p["W"].T')],
    "The slope of tanh is there twice on the recurrent path.",
    "carry (recurrent path)",
)
one(
    "ve_readout",
    "vectorised",
    [('np.einsum("tbh,tbo->ho", S[1:], e)', 'np.einsum("tbh,tbo->ho", S[:-1], e)')],
    "dL/dV uses s_{t-1} where s_t is wanted.",
    "dL/dV",
)

# ---------------------------------------------------------------- double loop
one(
    "dl_direct_only",
    "double_loop",
    [("for k in range(t, -1, -1):", "for k in range(t, t - 1, -1):")],
    "Only the direct term of each loss: s_{t-1} is held constant, nothing goes back further than the step itself (truncation after 1 step).",
    "dL/dU, dL/dW: parts with k < t missing",
    GH + "d2l-ai/d2l-en/issues/2616",
)
one(
    "dl_truncated",
    "double_loop",
    [("for k in range(t, -1, -1):", "for k in range(t, max(-1, t - 3), -1):")],
    "Truncated: each loss goes back three steps only.",
    "dL/dU, dL/dW: parts with k <= t - 3 missing",
    GH + "rsokl/MyGrad/pull/4",
)
one(
    "dl_V_not_summed",
    "double_loop",
    [("dLdV += np.outer(do[t], s[t])", "dLdV = np.outer(do[t], s[t])")],
    "dL/dV is overwritten in each step, not summed; the first step's part is left.",
    "dL/dV",
    GH + "slds-lmu/lecture_i2dl/issues/10",
)
one(
    "dl_slope_index",
    "double_loop",
    [("(1 - s[k - 1] ** 2)", "(1 - s[k] ** 2)")],
    "The slope is off by one in time: that of s_k where s_{k-1}'s is wanted.",
    "delta in the inner loop (recurrent path)",
)
one(
    "dl_delta_not_reset",
    "double_loop",
    [
        ("    for t in range(T)[::-1]:\n", "    delta_t = 0\n    for t in range(T)[::-1]:\n"),
        (
            "delta_t = V.T.dot(do[t]) * (1 - s[t] ** 2)",
            "delta_t = delta_t + V.T.dot(do[t]) * (1 - s[t] ** 2)",
        ),
    ],
    "delta is not reset for each loss: what is left from the loss before (walked back to before the first step) is carried into the next.",
    "delta at the start of each t",
)
one(
    "dl_first_left_out",
    "double_loop",
    [("for k in range(t, -1, -1):", "for k in range(t, 0, -1):")],
    "The inner loop ends one step early: the first step is left out of dL/dU and dL/dW.",
    "dL/dU, dL/dW, step 1",
)

# ---------------------------------------------------------------- LSTM, gates apart
one(
    "la_forget_slope",
    "lstm_apart",
    [("df = f * (1 - f) * df", "df = sigmoid(f) * df")],
    "At the forget gate the value sigmoid(f) stands where the slope f (1 - f) is wanted.",
    "df, every step",
    GH + "CaptainE/RNN-LSTM-in-numpy/issues/1",
)
one(
    "la_nothing_carried",
    "lstm_apart",
    [("dh_next = dz[:4]", "dh_prev = dz[:4]"), ("dC_next = f * dC", "dC_prev = f * dC")],
    "dh_next and dC_next are never updated: nothing is carried from a step to the one before.",
    "dh_next, dC_next (both recurrent paths)",
    GH + "CaptainE/RNN-LSTM-in-numpy/issues/1",
)
one(
    "la_biases_of_f",
    "lstm_apart",
    [
        ('        d["b_o"] += do.sum(1, keepdims=True)\n', ""),
        ('        d["b_i"] += di.sum(1, keepdims=True)\n', ""),
        (
            '        d["b_f"] += df.sum(1, keepdims=True)\n',
            '        d["b_f"] += df.sum(1, keepdims=True)\n        d["b_i"] += df.sum(1, keepdims=True)\n        d["b_o"] += df.sum(1, keepdims=True)\n',
        ),
    ],
    "The gradients of b_i and b_o are the forget gate's.",
    "dL/db_i, dL/db_o",
    GH + "hanbt/learn_dl/issues/53",
)
one(
    "la_forward_biases",
    "lstm_apart",
    [
        ('np.dot(p["W_f"], z) + p["b_f"]', 'np.dot(p["W_f"], z) + p["b_o"]'),
        ('np.dot(p["W_i"], z) + p["b_i"]', 'np.dot(p["W_i"], z) + p["b_o"]'),
    ],
    "The forward pass takes b_o as the bias of the forget and of the input gate.",
    "forward: f and i (b_o for b_f and b_i)",
    GH + "ddbourgin/numpy-ml/issues/42",
)
one(
    "la_no_dC_next",
    "lstm_apart",
    [("dC = dC_next + dh * o", "dC = dh * o")],
    "The gradient that comes from the next cell state is not added to dC.",
    "dC (path C_{t+1} -> C_t), all steps but the last",
    GH + "apache/mxnet/issues/4057",
)
one(
    "la_candidate_slope",
    "lstm_apart",
    [("dg = (1 - g ** 2) * dg", "dg = (1 - np.tanh(g) ** 2) * dg")],
    "The slope of the candidate's tanh is taken at g, which already is a tanh.",
    "dg, every step",
    GH + "jinzishuai/learn2deeplearn/issues/44",
    "after equation (8) for dcct there; its wrong form is in a picture",
)
one(
    "la_forward_f_for_i",
    "lstm_apart",
    [("C = f * C_s[-1] + i * g", "C = f * C_s[-1] + f * g")],
    "The forward pass lets in f g where i g is wanted.",
    "forward: C",
    GH + "ARM-software/CMSIS-NN/pull/181",
)
one(
    "la_forward_no_tanh",
    "lstm_apart",
    [("h = o * np.tanh(C)\n", "h = o * C\n")],
    "The forward pass forgets the tanh of the cell state: h = o C.",
    "forward: h",
    GH + "nicodjimenez/lstm/issues/47",
)
one(
    "la_bias_of_itself",
    "lstm_apart",
    [('d["b_v"] += dv.sum(1, keepdims=True)', 'd["b_v"] += d["b_v"]')],
    "The readout bias's gradient is added to itself instead of dv: it stays zero.",
    "dL/db_v",
    GH + "javaidnabi31/RNN-from-scratch/issues/2",
)
one(
    "la_do_C",
    "lstm_apart",
    [("do = dh * np.tanh(C)", "do = dh * C")],
    "The output gate's gradient uses C where tanh(C) is wanted.",
    "do, every step",
)

# ---------------------------------------------------------------- LSTM, stacked
one(
    "ls_block_order",
    "lstm_stacked",
    [("np.hstack((da_i, da_f, da_o, da_g))", "np.hstack((da_i, da_f, da_g, da_o))")],
    "The blocks of o and g are exchanged in the stacked gradient.",
    "da (blocks o, g)",
)
one(
    "ls_forget_missing",
    "lstm_stacked",
    [("dprev_c = dc * f", "dprev_c = dc")],
    "The forget gate is left out on the way to the previous cell state.",
    "dprev_c (path c_t -> c_{t-1})",
)
one(
    "ls_next_c",
    "lstm_stacked",
    [("df = dc * prev_c", "df = dc * next_c")],
    "The forget gate's gradient uses c_t where c_{t-1} is wanted.",
    "df, every step",
)
one(
    "ls_no_slope_o",
    "lstm_stacked",
    [("da_o = do * o * (1 - o)", "da_o = do")],
    "The slope of the output gate's sigmoid is missing.",
    "da_o, every step",
)
one(
    "ls_sigmoid_slope_g",
    "lstm_stacked",
    [("da_g = dg * (1 - g ** 2)", "da_g = dg * g * (1 - g)")],
    "The candidate is given a sigmoid's slope g (1 - g); it is a tanh, 1 - g².",
    "da_g, every step",
)
one(
    "ls_from_h",
    "lstm_stacked",
    [
        ("df = dc * prev_c", "df = dnext_h * prev_c"),
        ("di = dc * g", "di = dnext_h * g"),
        ("dg = dc * i", "dg = dnext_h * i"),
    ],
    "The gradients of f, i and g start from dL/dh where dL/dc is wanted.",
    "df, di, dg, every step",
    GH + "lhnguyen102/cuTAGI/issues/77",
)
one(
    "ls_only_carried",
    "lstm_stacked",
    [("dprev_c = dc * f", "dprev_c = dnext_c * f")],
    "What goes to the previous cell state is only what came from the next one: the path from h through tanh(c) is left out there.",
    "dprev_c",
)

# ---------------------------------------------------------------- peepholes
one(
    "pe_no_error_to_cell",
    "peephole",
    [(' + d_o * p["po"]', ""), (' + d_i * p["pi"] + d_f * p["pf"]', "")],
    "No gradient flows from the gates through the peepholes to the cell states (all three).",
    "eps_c: paths through po, pi, pf",
    GH + "automan000/Convolutional_LSTM_PyTorch/issues/20",
)
one(
    "pe_forward_outside",
    "peephole",
    [
        (
            'o.append(sig(x @ p["Wxo"] + hp @ p["Who"] + c[-1] * p["po"] + p["bo"]))',
            'o.append(sig(x @ p["Wxo"] + hp @ p["Who"] + p["bo"]) + c[-1] * p["po"])',
        )
    ],
    "The forward pass adds the output gate's peephole after the sigmoid instead of inside.",
    "forward: o",
    GH + "Lasagne/Lasagne/issues/448",
)
one(
    "pe_old_cell",
    "peephole",
    [("(d_o * c[t + 1]).sum(0)", "(d_o * c[t]).sum(0)")],
    "dL/dpo uses the old cell state c_{t-1}; the output gate looks at the new one, c_t.",
    "dL/dpo",
)
one(
    "pe_no_po",
    "peephole",
    [(' + d_o * p["po"]', "")],
    "The path from the output gate through its peephole to the cell state is missing.",
    "eps_c (path o_t -> c_t)",
)
one(
    "pe_exchanged",
    "peephole",
    [('d_i * p["pi"] + d_f * p["pf"]', 'd_i * p["pf"] + d_f * p["pi"]')],
    "The peepholes of i and f are exchanged on the way back to the cell state.",
    "eps_c (paths i_t, f_t -> c_{t-1})",
)

# ---------------------------------------------------------------- leaky
one(
    "lk_no_leak",
    "leaky",
    [('dh = dh * (1 - alpha) + da @ p["W"].T', 'dh = da @ p["W"].T')],
    "The direct path (1 - alpha) h is missing on the way back.",
    "dh (path h_t -> h_{t-1} without the tanh)",
)
one(
    "lk_rate_half",
    "leaky",
    [("dh * (n[t] - h[t])", "dh * n[t]")],
    "The rate's gradient lacks the part of (1 - alpha) h: n where n - h_{t-1} is wanted.",
    "dalpha / dL/dr",
)
one(
    "lk_rate_slope",
    "leaky",
    [('g["r"] = dalpha * alpha * (1 - alpha)', 'g["r"] = dalpha')],
    "The slope of the rate's sigmoid is missing.",
    "dL/dr",
)
one(
    "lk_no_alpha",
    "leaky",
    [("dn = dh * alpha", "dn = dh")],
    "The factor alpha is left out on the way to the candidate.",
    "dn, every step",
)
one(
    "lk_wrong_share",
    "leaky",
    [("dh = dh * (1 - alpha)", "dh = dh * alpha")],
    "alpha where 1 - alpha is wanted on the direct path back.",
    "dh (direct path)",
)

# ---------------------------------------------------------------- MGU
one(
    "mg_forward_exchanged",
    "mgu",
    [("new = (1 - f) * h + f * m", "new = f * h + (1 - f) * m")],
    "The forward pass has f and 1 - f exchanged.",
    "forward: h",
    GH + "google/flax/issues/4608",
)
one(
    "mg_gate_path",
    "mgu",
    [(" + dfh * h\n", "\n")],
    "The forget gate's gradient lacks the path through the candidate (f h).",
    "df, every step",
)
one(
    "mg_W_m_operand",
    "mgu",
    [('"W_m": (f * h).T @ da_m', '"W_m": h.T @ da_m')],
    "dL/dW_m uses h where f h is wanted.",
    "dL/dW_m",
)
one(
    "mg_f_for_1mf",
    "mgu",
    [("dh = dnew * (1 - f)\n", "dh = dnew * f\n")],
    "f where 1 - f is wanted on the direct path to the previous state.",
    "dh (direct path)",
)
one(
    "mg_sign",
    "mgu",
    [("df = dnew * m - dnew * h", "df = dnew * m + dnew * h")],
    "Wrong sign: the old state's part of the forget gate's gradient is added where it is subtracted.",
    "df, every step",
)

# ---------------------------------------------------------------- GRU before
one(
    "gb_forward_no_reset",
    "gru_before",
    [('np.dot(r * h_prev, p["Whh"])', 'np.dot(h_prev, p["Whh"])')],
    "The forward pass does not use the reset gate in the candidate.",
    "forward: h_hat",
    GH + "SEUNKOREA/TIL",
)
one(
    "gb_forward_U",
    "gru_before",
    [('np.dot(h_prev, p["Whz"]) + p["bz"]', 'np.dot(h_prev, p["Whh"]) + p["bz"]')],
    "The forward pass computes the update gate with the candidate's recurrent matrix Whh instead of Whz.",
    "forward: z",
    GH + "thsis/INFOSYS",
)
one(
    "gb_one_minus",
    "gru_before",
    [("dz = dh_next * h_hat - dh_next * h_prev", "dz = dh_next * h_hat + (1 - dh_next * h_prev)")],
    "1 - dh h_{t-1} where - dh h_{t-1} is wanted (the 1 of 1 - z is kept in the gradient): not linear in dL/do.",
    "dz, every step",
    "http://cran.r-project.org/web/packages/rnn/vignettes/GRU_units.html",
)
one(
    "gb_z_for_h",
    "gru_before",
    [("dz = dh_next * h_hat - dh_next * h_prev", "dz = dh_next * h_hat + dh_next * z")],
    "The update gate's gradient adds dh z where - dh h_{t-1} is wanted.",
    "dz, every step",
    "http://cran.r-project.org/web/packages/rnn/vignettes/GRU_units.html",
)
one(
    "gb_forward_reset_outside",
    "gru_before",
    [('np.dot(r * h_prev, p["Whh"])', 'r * np.dot(h_prev, p["Whh"])')],
    "The forward pass applies the reset gate after the product with Whh instead of before.",
    "forward: h_hat",
    GH + "ooples/AiDotNet/pull/722",
)
one(
    "gb_Whh_operand",
    "gru_before",
    [("np.dot((r * h_prev).T, dt)", "np.dot(h_prev.T, dt)")],
    "dL/dWhh uses h_{t-1} where r h_{t-1} is wanted.",
    "dL/dWhh",
    GH + "libxsmm/libxsmm/pull/245",
    "after its title: recurrent weight's update in the GRU's backward pass",
)
one(
    "gb_no_r",
    "gru_before",
    [("dh_prev += r * dhr", "dh_prev += dhr")],
    "The reset gate is left out on the way from the candidate to the previous state.",
    "dh_prev (path through r h)",
)
one(
    "gb_dr_next",
    "gru_before",
    [("dr = dhr * h_prev", "dr = dhr * h_next")],
    "The reset gate's gradient uses h_t where h_{t-1} is wanted.",
    "dr, every step",
)
one(
    "gb_dz_sign",
    "gru_before",
    [("dz = dh_next * h_hat - dh_next * h_prev", "dz = dh_next * h_prev - dh_next * h_hat")],
    "The update gate's gradient has the wrong sign: h_{t-1} - h_hat where h_hat - h_{t-1} is wanted.",
    "dz, every step",
)

# ---------------------------------------------------------------- GRU after
one(
    "ga_forward_no_d",
    "gru_after",
    [("        gh_n = gh[:, 2 * H:]\n", "        gh_n = hs[-1] @ W[:, 2 * H:]\n")],
    "The forward pass leaves the recurrent bias out of the candidate.",
    "forward: n (d's last block)",
    GH + "pytorch/pytorch/pull/529",
)
one(
    "ga_no_r",
    "gru_after",
    [
        (
            "np.concatenate([da_r, da_z, da_n * r], axis=1)",
            "np.concatenate([da_r, da_z, da_n], axis=1)",
        )
    ],
    "The reset gate is left out of the candidate's recurrent part: da_n where r da_n is wanted.",
    "dgh, block n: dL/dW, dL/dd, and the path to h_{t-1}",
)
one(
    "ga_share",
    "gru_after",
    [("dh = dh * z + dgh", "dh = dh * (1 - z) + dgh")],
    "1 - z where z is wanted on the direct path to the previous state.",
    "dh (direct path)",
)
one(
    "ga_blocks",
    "gru_after",
    [
        (
            "dgx = np.concatenate([da_r, da_z, da_n], axis=1)",
            "dgx = np.concatenate([da_z, da_r, da_n], axis=1)",
        )
    ],
    "The blocks of r and z are exchanged in the input's part.",
    "dgx: dL/dU, dL/db, dL/dx",
)
one(
    "ga_same_bias",
    "gru_after",
    [("dd += dgh.sum(axis=0)", "dd += dgx.sum(axis=0)")],
    "dL/dd is given dL/db's: the reset gate is left out in the candidate's block.",
    "dL/dd, block n",
)

# ---------------------------------------------------------------- loss at the end
one(
    "lo_clip_on_the_way",
    "last_only",
    [('d_h = p["Whh"].T @ temp', 'd_h = np.clip(p["Whh"].T @ temp, -1, 1)')],
    "The gradient is clipped on the way back, inside the loop.",
    "d_h, inside the loop",
    GH + "open-lm-engine/lm-engine/pull/505",
)
one(
    "lo_mean_of_two",
    "last_only",
    [
        ("d_Whh += temp @ last_hs[t].T", "d_Whh += temp @ last_hs[t].T / temp.shape[1]"),
        ("d_Wxh += temp @ last_inputs[t].T", "d_Wxh += temp @ last_inputs[t].T / temp.shape[1]"),
    ],
    "dL/dWhh and dL/dWxh are means over the batch where sums are wanted.",
    "dL/dWhh, dL/dWxh (factor 1/B)",
    "https://binne.notion.site/Assignment-2-RNN-Backpropagation-684ec99c986e473585336e860a02670a",
)
one(
    "lo_clip_at_end",
    "last_only",
    [
        (
            "    return {",
            "    for d in [d_Wxh, d_Whh, d_Why, d_bh, d_by]:\n        np.clip(d, -1, 1, out=d)\n    return {",
        )
    ],
    "All gradients are clipped to [-1, 1] at the end.",
    "every parameter's gradient, after the loop",
    GH + "guevara/read-it-later/issues/8634",
)
one(
    "lo_slope_index",
    "last_only",
    [("(1 - last_hs[t + 1] ** 2)", "(1 - last_hs[t] ** 2)")],
    "The slope is off by one in time: that of h_{t-1} where h_t's is wanted.",
    "temp, every step",
)
one(
    "lo_last_left_out",
    "last_only",
    [("for t in reversed(range(n)):", "for t in reversed(range(n - 1)):")],
    "The last step is left out: the loop starts one step too early, with the gradient of h_T.",
    "the loop (step T)",
)
one(
    "lo_loss_each_step",
    "last_only",
    [('d_h = p["Whh"].T @ temp', 'd_h = p["Whh"].T @ temp + p["Why"].T @ d_y')],
    "The loss's gradient is added in every step, though there is a loss at the end only.",
    "d_h, every step but the last",
)

# ---------------------------------------------------------------- bidirectional
one(
    "bi_not_reversed",
    "bidirectional",
    [("xs_rev = xs[::-1]", "xs_rev = xs")],
    "The backward layer reads the inputs forwards (they are not reversed).",
    "forward: the backward layer's inputs",
    GH + "stanfordmlgroup/nlc/issues/8",
)
one(
    "bi_gradients_not_reversed",
    "bidirectional",
    [("    e_b = e_b[::-1]\n", "")],
    "The outputs' gradients of the backward layer are not reversed: those of step t meet its step T+1-t.",
    "dL/do of the backward layer (time order)",
    GH + "keras-team/keras/pull/1282",
)
one(
    "bi_dx_not_turned",
    "bidirectional",
    [("dx = dx_f + dx_b[::-1]", "dx = dx_f + dx_b")],
    "The backward layer's dL/dx is not turned back into the order of the inputs.",
    "dL/dx (the backward layer's part)",
    GH + "keras-team/keras/pull/1001",
)
one(
    "bi_halves",
    "bidirectional",
    [("e_f, e_b = e[:, :, :H], e[:, :, H:]", "e_b, e_f = e[:, :, :H], e[:, :, H:]")],
    "The halves of the outputs' gradient are exchanged between the directions.",
    "dL/do of both directions",
)
one(
    "bi_dx_half",
    "bidirectional",
    [("dx = dx_f + dx_b[::-1]", "dx = dx_f")],
    "dL/dx lacks the backward layer's part.",
    "dL/dx",
)

one(
    "bl_padding_reversed",
    "bidirectional_lengths",
    [
        ("        out[:length, n] = a[:length, n][::-1]\n", "        out[:, n] = a[:, n][::-1]\n"),
        (
            "                                   e_rev, mask)",
            "                                   e_rev, mask[::-1])",
        ),
    ],
    "The padding is reversed with the sequence: the backward layer reads the padding first.",
    "forward: the backward layer, sequences 2 and 3",
    GH + "pytorch/pytorch/issues/1811",
)
one(
    "bl_off_by_one",
    "bidirectional_lengths",
    [
        (
            "        out[:length, n] = a[:length, n][::-1]\n",
            "        out[:length - 1, n] = a[:length - 1, n][::-1]\n",
        )
    ],
    "The lengths are off by one in the reversal: the last step of each sequence is lost in the backward layer.",
    "the backward layer (reversal by length - 1)",
)
one(
    "bl_dx_not_turned",
    "bidirectional_lengths",
    [("    dx_b = reverse_sequence(dx_b, lengths)\n", "")],
    "The backward layer's dL/dx is not turned back into the order of the inputs.",
    "dL/dx (the backward layer's part)",
)

# ---------------------------------------------------------------- lengths
one(
    "ln_mask_ignored",
    "lengths",
    [("do = e[t] * mask[t]", "do = e[t]")],
    "The mask is not applied to dL/do: the padding contributes to the gradients.",
    "do, steps after a sequence's end",
    GH + "tensorflow/tensorflow/issues/563",
)
one(
    "ln_mean",
    "lengths",
    [("do = e[t] * mask[t]", "do = e[t] * mask[t] / T")],
    "A mean over the steps (padding included) where a sum is wanted: everything by 1/T.",
    "do; all gradients times 1/T",
    GH + "d2l-ai/d2l-en/issues/2076",
)
one(
    "ln_short",
    "lengths",
    [
        (
            "(np.arange(T)[:, None] < lengths[None, :])",
            "(np.arange(T)[:, None] < lengths[None, :] - 1)",
        )
    ],
    "The lengths are off by one: the last step of each sequence is masked.",
    "mask, the last step of each sequence",
)
one(
    "ln_long",
    "lengths",
    [("(np.arange(T)[:, None] < lengths[None, :])", "(np.arange(T)[:, None] <= lengths[None, :])")],
    "The lengths are off by one: one step of padding is taken as real.",
    "mask, the step after each sequence's end",
)

# ---------------------------------------------------------------- two layers
one(
    "tl_wrong_state",
    "two_layers",
    [('g["layers.1.W"] += h2[t].T @ da2', 'g["layers.1.W"] += h1[t].T @ da2')],
    "The upper layer's dL/dW uses the lower layer's state.",
    "dL/dlayers.1.W",
    GH + "pclucas14/GansFallingShort/pull/2",
)
one(
    "tl_wrong_input",
    "two_layers",
    [('g["layers.1.U"] += h1[t + 1].T @ da2', 'g["layers.1.U"] += xs[t].T @ da2')],
    "The upper layer's dL/dU uses the network's input x where the lower layer's output is wanted.",
    "dL/dlayers.1.U",
    GH + "HareeshBahuleyan/tf-var-attention/issues/2",
)
one(
    "tl_no_time_path",
    "two_layers",
    [("dh1 = dh1 + da2 @ U2.T", "dh1 = da2 @ U2.T")],
    "In the lower layer the gradient from the next step is overwritten by the one from the upper layer.",
    "dh1 (path h1_{t+1} -> h1_t)",
)
one(
    "tl_W_for_U",
    "two_layers",
    [("dh1 = dh1 + da2 @ U2.T", "dh1 = dh1 + da2 @ W2.T")],
    "W2 where U2 is wanted on the way from the upper to the lower layer.",
    "dh1 (path upper -> lower layer)",
)
one(
    "tl_forward_old_input",
    "two_layers",
    [("h2.append(np.tanh(h1[t + 1] @ U2", "h2.append(np.tanh(h1[t] @ U2")],
    "The forward pass feeds the upper layer with the lower layer's previous state.",
    "forward: the upper layer's input",
)

# ---------------------------------------------------------------- learned initial state
one(
    "h0_mean",
    "learned_state",
    [("dh0 = dh_next.sum(axis=0)", "dh0 = dh_next.mean(axis=0)")],
    "The initial state's gradient is a mean over the batch where a sum is wanted.",
    "dL/dh0",
)
one(
    "h0_one_step_off",
    "learned_state",
    [("dh0 = dh_next.sum(axis=0)", "dh0 = dh.sum(axis=0)")],
    "The learned initial state is given the gradient of h_1: one step off.",
    "dL/dh0",
)
one(
    "h0_first_sequence",
    "learned_state",
    [("dh0 = dh_next.sum(axis=0)", "dh0 = dh_next[0]")],
    "Only the first sequence of the batch counts in the initial state's gradient.",
    "dL/dh0",
)

# ---------------------------------------------------------------- softmax as the output
one(
    "so_diagonal",
    "softmax_out",
    [
        (
            "dy = prob[t] * (dp - np.sum(dp * prob[t], axis=1, keepdims=True))",
            "dy = dp * prob[t] * (1 - prob[t])",
        )
    ],
    "Only the diagonal of the softmax's Jacobian, p (1 - p), is used.",
    "dy (softmax), every step",
    GH + "deeplearning4j/libnd4j/issues/440",
)
one(
    "so_copied",
    "softmax_out",
    [("dy = prob[t] * (dp - np.sum(dp * prob[t], axis=1, keepdims=True))", "dy = dp")],
    "The gradient is handed through the softmax unchanged: the softmax's slope is missing.",
    "dy (softmax), every step",
    GH + "pjreddie/darknet/pull/96",
)
one(
    "so_no_sum",
    "softmax_out",
    [("dy = prob[t] * (dp - np.sum(dp * prob[t], axis=1, keepdims=True))", "dy = prob[t] * dp")],
    "The sum over the classes is missing in the softmax's backward pass.",
    "dy (softmax), every step",
    GH + "HomericIntelligence/Odyssey/issues/2134",
)
one(
    "so_axis",
    "softmax_out",
    [
        (
            "np.sum(dp * prob[t], axis=1, keepdims=True)",
            "np.sum(dp * prob[t], axis=0, keepdims=True)",
        )
    ],
    "The sum in the softmax's backward pass runs over the batch instead of the classes.",
    "dy (softmax), every step",
)

# ---------------------------------------------------------------- residual
one(
    "re_no_skip",
    "residual",
    [('dh = dh + da @ p["W"].T', 'dh = da @ p["W"].T')],
    "The skip connection is missing in the backward pass.",
    "dh (path h_t -> h_{t-1} directly)",
)
one(
    "re_slope_of_h",
    "residual",
    [("(1 - n[t] ** 2)", "(1 - h[t + 1] ** 2)")],
    "tanh's slope is computed from the state h where the tanh's own value n is wanted.",
    "da, every step",
)
one(
    "re_M_operand",
    "residual",
    [('g["M"] += n[t].T @ dh', 'g["M"] += h[t].T @ dh')],
    "dL/dM uses h_{t-1} where n_t is wanted.",
    "dL/dM",
)
one(
    "re_M_untransposed",
    "residual",
    [('dn = dh @ p["M"].T', 'dn = dh @ p["M"]')],
    "M is not transposed on the way back.",
    "dn, every step",
)

# ---------------------------------------------------------------- layer norm
one(
    "ly_no_gain",
    "layernorm",
    [("da = norm_backward(dn, caches[t])", "da = norm_backward(dz, caches[t])")],
    "The gain is left out on the way back through the norm.",
    "dn -> da, every step",
    GH + "denizyuret/Knet.jl/issues/288",
)
one(
    "ly_wrong_m",
    "layernorm",
    [("m = a.shape[1]", "m = a.shape[0]")],
    "Divided by the number of sequences where the number of units is wanted in the norm's backward pass.",
    "da (layer norm: 1/m), every step",
    GH + "flagos-ai/FlagGems/issues/5392",
)
one(
    "ly_no_variance",
    "layernorm",
    [("return dn * inv_std + dvar * 2 * (a - mu) / m + dmu / m", "return dn * inv_std + dmu / m")],
    "The path through the variance is missing in the norm's backward pass.",
    "da (layer norm), every step",
)
one(
    "ly_no_mean",
    "layernorm",
    [
        (
            "return dn * inv_std + dvar * 2 * (a - mu) / m + dmu / m",
            "return dn * inv_std + dvar * 2 * (a - mu) / m",
        )
    ],
    "The path through the mean is missing in the norm's backward pass.",
    "da (layer norm), every step",
)

# ---------------------------------------------------------------- attention
one(
    "at_no_scale",
    "attention",
    [("        dscores = dscores / scale\n", "")],
    "The factor 1/sqrt(H) of the scores is forgotten in the backward pass.",
    "dscores, every step",
    GH + "AlphaGPU/leetgpu-challenges/pull/302",
    "after: the task names the factor",
)
one(
    "at_keys_constant",
    "attention",
    [("            dh[t + 2 - j] += dscores[j][:, None] * q[t]\n", "")],
    "The states get no gradient as keys (path through the scores): only as values.",
    "dh of the three states (path score -> key)",
)
one(
    "at_query_constant",
    "attention",
    [('        dh[t + 2] += dq @ p["Q"].T\n', "")],
    "The path from the query to the newest state is missing.",
    "dh_t (path q_t -> h_t)",
)
one(
    "at_no_sum",
    "attention",
    [("dscores = w[t] * (dw - (dw * w[t]).sum(axis=0))", "dscores = w[t] * dw")],
    "The sum is missing in the backward pass of the attention's softmax.",
    "dscores, every step",
    GH + "huggingface/candle/pull/3724",
    "after: the formula with the sum is given there as the missing backward",
)
one(
    "at_values_constant",
    "attention",
    [
        (
            "            dh[t + 2 - j] += w[t][j][:, None] * dc\n",
            "            dh[t + 2] += w[t][j][:, None] * dc\n",
        )
    ],
    "The context's gradient goes to the newest state only: all three weights' parts are given to h_t instead of to h_{t-j}.",
    "dh of the states (path context -> value)",
)

# ---------------------------------------------------------------- mean squared error in the pass
one(
    "ms_not_averaged",
    "mse_own",
    [("do = 2 * (o[t] - ys[t]) / o[t].size", "do = 2 * (o[t] - ys[t])")],
    "The loss is a mean and its gradient is not divided by the number of entries: everything is B O = 6 times too large.",
    "do; all gradients times 6",
    GH + "dennybritz/nn-from-scratch/issues/13",
)
one(
    "ms_no_two",
    "mse_own",
    [("do = 2 * (o[t] - ys[t])", "do = (o[t] - ys[t])")],
    "The factor 2 of the square is missing: every gradient is half.",
    "do; all gradients times 1/2",
)
one(
    "ms_sign",
    "mse_own",
    [("(o[t] - ys[t])", "(ys[t] - o[t])")],
    "The sign of the error is wrong (target - output): every gradient is the negative.",
    "do; all gradients times -1",
)
one(
    "ms_target_before",
    "mse_own",
    [("(o[t] - ys[t])", "(o[t] - ys[t - 1])")],
    "The target of the step before is taken.",
    "do, every step",
)
one(
    "ms_batch_only",
    "mse_own",
    [("/ o[t].size", "/ B")],
    "Divided by the batch size only, not by the number of outputs too: every gradient is twice too large.",
    "do; all gradients times 2",
)

# ================================================================ two at once
two(
    "2_col_same_line",
    "column",
    [('da_prev = p["Waa"].T @ dz', 'da_prev = p["Waa"] @ da_next')],
    "On the way to the previous state Waa is not transposed, and the slope of tanh is left out (same line).",
    "da_prev",
)
two(
    "2_row",
    "rowbatch",
    [
        ("dWh += dWh_t", "dWh = dWh_t"),
        ("db = np.sum(dtanh, axis=0)", "db = np.mean(dtanh, axis=0)"),
    ],
    "dL/dWh is overwritten in each step; dL/db is a mean over the batch.",
    "dL/dWh; dL/db",
)
two(
    "2_mo",
    "minchar_own",
    [("        dy[targets[t]] -= 1\n", "        dy /= len(inputs)\n")],
    "dL/dy lacks the one-hot target, and is divided by the number of steps.",
    "dL/dy",
)
two(
    "2_ve",
    "vectorised",
    [("S[:-1], delta", "S[1:], delta"), ('carry = delta @ p["W"].T', 'carry = delta @ p["W"]')],
    "dL/dW uses s_t for s_{t-1}; W is not transposed on the recurrent path.",
    "dL/dW; carry",
)
two(
    "2_dl",
    "double_loop",
    [
        ("for k in range(t, -1, -1):", "for k in range(t, max(-1, t - 3), -1):"),
        ("dLdV += np.outer(do[t], s[t])", "dLdV += np.outer(do[t], s[t - 1])"),
    ],
    "Truncated after three steps; dL/dV uses s_{t-1} for s_t.",
    "dL/dU, dL/dW (k <= t - 3); dL/dV",
)
two(
    "2_la",
    "lstm_apart",
    [("df = f * (1 - f) * df", "df = sigmoid(f) * df"), ("dC = dC_next + dh * o", "dC = dh * o")],
    "The forget gate's slope is sigmoid(f); the gradient of the next cell state is not added.",
    "df; dC",
)
two(
    "2_la_gate",
    "lstm_apart",
    [("df = dC * C_prev", "df = dC * C"), ("di = i * (1 - i) * di", "di = (1 - i ** 2) * di")],
    "The forget gate's gradient uses C_t for C_{t-1}; the input gate is given tanh's slope.",
    "df; di",
)
two(
    "2_ls_same_line",
    "lstm_stacked",
    [
        (
            "dc = dnext_c + dnext_h * o * (1 - tanh_c ** 2)",
            "dc = dnext_c + dnext_h * (1 - next_c ** 2)",
        )
    ],
    "In dc the factor o is missing, and the slope is 1 - c² where 1 - tanh(c)² is wanted (same line).",
    "dc, every step",
)
two(
    "2_pe",
    "peephole",
    [("(d_o * c[t + 1]).sum(0)", "(d_o * c[t]).sum(0)"), (' + d_o * p["po"]', "")],
    "dL/dpo uses the old cell state; the path from o through its peephole to c is missing.",
    "dL/dpo; eps_c",
)
two(
    "2_lk_same_line",
    "leaky",
    [("dalpha += np.sum(dh * (n[t] - h[t]), axis=0)", "dalpha += np.mean(dh * n[t], axis=0)")],
    "The rate's gradient is a mean over the batch, and lacks - h_{t-1} (same line).",
    "dalpha / dL/dr",
)
two(
    "2_mg",
    "mgu",
    [(" + dfh * h\n", "\n"), ('"W_m": (f * h).T @ da_m', '"W_m": h.T @ da_m')],
    "The forget gate lacks the path through the candidate; dL/dW_m uses h for f h.",
    "df; dL/dW_m",
)
two(
    "2_gb",
    "gru_before",
    [
        ("dr = dhr * h_prev", "dr = dhr * h_next"),
        ("np.dot((r * h_prev).T, dt)", "np.dot(h_prev.T, dt)"),
    ],
    "The reset gate's gradient uses h_t for h_{t-1}; dL/dWhh uses h for r h.",
    "dr; dL/dWhh",
)
two(
    "2_gb_z",
    "gru_before",
    [
        ("dz = dh_next * h_hat - dh_next * h_prev", "dz = dh_next * h_prev - dh_next * h_hat"),
        ("dt = dz * z * (1 - z)", "dt = dz * z"),
    ],
    "The update gate's gradient has the wrong sign, and its slope is z where z (1 - z) is wanted.",
    "dz",
)
two(
    "2_ga",
    "gru_after",
    [
        ("da_z = dh * (hs[t] - n)", "da_z = dh * (hs[t + 1] - n)"),
        (
            "np.concatenate([da_r, da_z, da_n * r], axis=1)",
            "np.concatenate([da_r, da_z, da_n], axis=1)",
        ),
    ],
    "The update gate uses h_t for h_{t-1}; r is left out of the candidate's recurrent part.",
    "da_z; dgh block n",
)
two(
    "2_lo",
    "last_only",
    [
        ("(1 - last_hs[t + 1] ** 2)", "(1 - last_hs[t + 1])"),
        ("d_Whh += temp @ last_hs[t].T", "d_Whh += temp @ last_hs[t + 1].T"),
    ],
    "The slope is 1 - h, the square is forgotten; dL/dWhh uses h_t for h_{t-1}.",
    "temp; dL/dWhh",
)
two(
    "2_bi",
    "bidirectional",
    [("    e_b = e_b[::-1]\n", ""), ("dx = dx_f + dx_b[::-1]", "dx = dx_f")],
    "The backward layer's output gradients are not reversed; dL/dx lacks its part.",
    "dL/do of the backward layer; dL/dx",
)
two(
    "2_tl",
    "two_layers",
    [
        ("dh1 = dh1 + da2 @ U2.T", "dh1 = dh1 + da2 @ W2.T"),
        ('g["layers.1.b"] += da2.sum(axis=0)', 'g["layers.1.b"] += da2.mean(axis=0)'),
    ],
    "W2 for U2 on the way to the lower layer; the upper layer's dL/db is a mean over the batch.",
    "dh1; dL/dlayers.1.b",
)
two(
    "2_so",
    "softmax_out",
    [
        ("dy = prob[t] * (dp - np.sum(dp * prob[t], axis=1, keepdims=True))", "dy = prob[t] * dp"),
        ('g["W"] += h[t].T @ da', 'g["W"] += h[t + 1].T @ da'),
    ],
    "The softmax's sum is missing; dL/dW uses h_t for h_{t-1}.",
    "dy; dL/dW",
)
two(
    "2_re",
    "residual",
    [('dh = dh + da @ p["W"].T', 'dh = da @ p["W"].T'), ("(1 - n[t] ** 2)", "(1 - h[t + 1] ** 2)")],
    "The skip connection is missing going back; the slope is computed from h instead of n.",
    "dh; da",
)
two(
    "2_at",
    "attention",
    [("        dscores = dscores / scale\n", ""), ('        dh[t + 2] += dq @ p["Q"].T\n', "")],
    "The factor 1/sqrt(H) is forgotten; the path from the query to the newest state is missing.",
    "dscores; dh_t",
)
two(
    "2_ly",
    "layernorm",
    [
        ("da = norm_backward(dn, caches[t])", "da = norm_backward(dz, caches[t])"),
        ('g["beta"] += np.sum(dz, axis=0)', 'g["beta"] += np.mean(dz, axis=0)'),
    ],
    "The gain is left out on the way back; beta's gradient is a mean over the batch.",
    "dn; dL/dbeta",
)
two(
    "2_h0",
    "learned_state",
    [("dh0 = dh_next.sum(axis=0)", "dh0 = dh.mean(axis=0)")],
    "The initial state's gradient is that of h_1, and a mean over the batch (same line).",
    "dL/dh0",
)
