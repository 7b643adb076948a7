"""Backward passes through time written by hand, each in its own way: all of them right.

A text defines `hand(p, xs, s_0, e)`; `np` and `sigmoid` are there. Those of LABELLED read the
targets `ys` themselves; those of MEASURED the `lengths`.
"""

SCRIBE_COLUMNS = """
def hand(p, xs, s_0, e):
    Wxh, Whh, Why = p["Wxh"], p["Whh"], p["Why"]
    bh, by = p["bh"].reshape(-1, 1), p["by"].reshape(-1, 1)
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    T, B = xs.shape[:2]
    for n in range(B):
        hs = {-1: s_0[n].reshape(-1, 1)}
        for t in range(T):
            x = xs[t, n].reshape(-1, 1)
            hs[t] = np.tanh(np.dot(Wxh, x) + np.dot(Whh, hs[t - 1]) + bh)
        dhnext = np.zeros_like(hs[0])
        for t in reversed(range(T)):
            x = xs[t, n].reshape(-1, 1)
            dy = e[t, n].reshape(-1, 1)
            dWhy += np.dot(dy, hs[t].T)
            dby += dy
            dh = np.dot(Why.T, dy) + dhnext
            dhraw = (1 - hs[t] * hs[t]) * dh
            dbh += dhraw
            dWxh += np.dot(dhraw, x.T)
            dWhh += np.dot(dhraw, hs[t - 1].T)
            dhnext = np.dot(Whh.T, dhraw)
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh.ravel(), "by": dby.ravel()}
"""

SCRIBE_TARGETS = """
def hand(p, xs, s_0, e):
    T, B, _ = xs.shape
    hs, ps = {-1: s_0}, {}
    for t in range(T):
        hs[t] = np.tanh(xs[t] @ p["Wxh"].T + hs[t - 1] @ p["Whh"].T + p["bh"])
        y = hs[t] @ p["Why"].T + p["by"]
        ps[t] = np.exp(y) / np.sum(np.exp(y), axis=1, keepdims=True)
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dhnext = np.zeros_like(s_0)
    for t in reversed(range(T)):
        dy = np.copy(ps[t])
        dy[np.arange(B), ys[t]] -= 1
        grads["Why"] += dy.T @ hs[t]
        grads["by"] += dy.sum(axis=0)
        dh = dy @ p["Why"] + dhnext
        dhraw = (1 - hs[t] ** 2) * dh
        grads["bh"] += dhraw.sum(axis=0)
        grads["Wxh"] += dhraw.T @ xs[t]
        grads["Whh"] += dhraw.T @ hs[t - 1]
        dhnext = dhraw @ p["Whh"]
    return grads
"""

SCRIBE_ADJOINT = """
def hand(p, xs, s_0, e):
    T = len(xs)
    h = np.empty((T + 1, *s_0.shape), s_0.dtype)
    h[0] = s_0
    for t, x in enumerate(xs):
        h[t + 1] = np.tanh(x.dot(p["Wxh"].T) + h[t].dot(p["Whh"].T) + p["bh"])
    lam = np.zeros_like(h)
    for t in range(T, 0, -1):
        lam[t] = e[t - 1].dot(p["Why"])
        if t < T:
            lam[t] += (lam[t + 1] * (1 - h[t + 1] ** 2)).dot(p["Whh"])
    delta = lam[1:] * (1 - h[1:] ** 2)
    grads = {
        "Wxh": np.einsum("tbh,tbi->hi", delta, xs),
        "Whh": np.einsum("tbh,tbk->hk", delta, h[:-1]),
        "Why": np.einsum("tbo,tbh->oh", e, h[1:]),
        "bh": delta.sum((0, 1)),
        "by": e.sum((0, 1)),
    }
    return grads, {"h": lam[1:]}
"""

BARE_TRUNCATED = """
def hand(p, xs, s_0, e):
    U, V, W = p["U"], p["V"], p["W"]
    dLdU, dLdV, dLdW = np.zeros(U.shape), np.zeros(V.shape), np.zeros(W.shape)
    T = len(xs)
    bptt_truncate = T
    for n in range(xs.shape[1]):
        x = xs[:, n]
        s = np.zeros((T + 1, len(W)))
        s[-1] = s_0[n]
        for t in np.arange(T):
            s[t] = np.tanh(U.dot(x[t]) + W.dot(s[t - 1]))
        delta_o = e[:, n]
        for t in np.arange(T)[::-1]:
            dLdV += np.outer(delta_o[t], s[t].T)
            delta_t = V.T.dot(delta_o[t]) * (1 - (s[t] ** 2))
            for bptt_step in np.arange(max(0, t - bptt_truncate), t + 1)[::-1]:
                dLdW += np.outer(delta_t, s[bptt_step - 1])
                dLdU += np.outer(delta_t, x[bptt_step])
                delta_t = W.T.dot(delta_t) * (1 - s[bptt_step - 1] ** 2)
    return {"U": dLdU, "V": dLdV, "W": dLdW}
"""

BARE_LAYERS = """
class Layer:
    def forward(self, x, prev_s, U, W, V):
        self.mulu = np.dot(U, x)
        self.mulw = np.dot(W, prev_s)
        self.add = self.mulw + self.mulu
        self.s = np.tanh(self.add)
        self.mulv = np.dot(V, self.s)

    def backward(self, x, prev_s, U, W, V, diff_s, dmulv):
        dV = np.outer(dmulv, self.s)
        ds = np.dot(V.T, dmulv) + diff_s
        dadd = (1.0 - np.square(self.s)) * ds
        dprev_s = np.dot(W.T, dadd)
        return dprev_s, np.outer(dadd, x), np.outer(dadd, prev_s), dV


def hand(p, xs, s_0, e):
    U, V, W = p["U"], p["V"], p["W"]
    dU, dV, dW = np.zeros_like(U), np.zeros_like(V), np.zeros_like(W)
    T, B = xs.shape[:2]
    for n in range(B):
        layers, prev = [], s_0[n]
        for t in range(T):
            layer = Layer()
            layer.forward(xs[t, n], prev, U, W, V)
            layers.append(layer)
            prev = layer.s
        diff_s = np.zeros(len(W))
        for t in reversed(range(T)):
            before = layers[t - 1].s if t > 0 else s_0[n]
            layer, x, dmulv = layers[t], xs[t, n], e[t, n]
            diff_s, dU_t, dW_t, dV_t = layer.backward(x, before, U, W, V, diff_s, dmulv)
            dU += dU_t
            dW += dW_t
            dV += dV_t
    return {"U": dU, "V": dV, "W": dW}
"""

KEYHOLE_CACHES = """
def forward_step(p, x, h_prev, c_prev):
    i = sigmoid(x @ p["Wi"] + h_prev @ p["Ui"] + c_prev * p["pi"] + p["bi"])
    f = sigmoid(x @ p["Wf"] + h_prev @ p["Uf"] + c_prev * p["pf"] + p["bf"])
    g = np.tanh(x @ p["Wg"] + h_prev @ p["Ug"] + p["bg"])
    c = f * c_prev + i * g
    o = sigmoid(x @ p["Wo"] + h_prev @ p["Uo"] + c * p["po"] + p["bo"])
    h = o * np.tanh(c)
    return h, c, (x, h_prev, c_prev, i, f, g, o, c)


def backward_step(p, grads, dh, dc_next, cache):
    x, h_prev, c_prev, i, f, g, o, c = cache
    do = dh * np.tanh(c)
    dao = do * o * (1 - o)
    dc = dc_next + dh * o * (1 - np.tanh(c) ** 2) + dao * p["po"]
    di, df, dg = dc * g, dc * c_prev, dc * i
    dai, daf, dag = di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2)
    dh_prev = dai @ p["Ui"].T + daf @ p["Uf"].T + dag @ p["Ug"].T + dao @ p["Uo"].T
    dc_prev = dc * f + dai * p["pi"] + daf * p["pf"]
    for k, da in zip("ifgo", (dai, daf, dag, dao)):
        grads["W" + k] += x.T @ da
        grads["U" + k] += h_prev.T @ da
        grads["b" + k] += da.sum(0)
    grads["pi"] += (dai * c_prev).sum(0)
    grads["pf"] += (daf * c_prev).sum(0)
    grads["po"] += (dao * c).sum(0)
    return dh_prev, dc_prev


def hand(p, xs, s_0, e):
    h, c = s_0
    caches = []
    for x in xs:
        h, c, cache = forward_step(p, x, h, c)
        caches.append(cache)
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dh_next, dc_next = np.zeros_like(h), np.zeros_like(c)
    for t in reversed(range(len(xs))):
        dh_next, dc_next = backward_step(p, grads, e[t] + dh_next, dc_next, caches[t])
    return grads
"""

KEYHOLE_BLOCKS = """
def hand(p, xs, s_0, e):
    T = len(xs)
    W = np.hstack([p["W" + k] for k in "ifgo"])
    R = np.hstack([p["U" + k] for k in "ifgo"])
    b = np.hstack([p["b" + k] for k in "ifgo"])
    y, c = [s_0[0]], [s_0[1]]
    gates = []
    for t in range(T):
        ai, af, ag, ao = np.split(xs[t] @ W + y[-1] @ R + b, 4, axis=1)
        i, f, g = sigmoid(ai + p["pi"] * c[-1]), sigmoid(af + p["pf"] * c[-1]), np.tanh(ag)
        c.append(i * g + f * c[-1])
        o = sigmoid(ao + p["po"] * c[-1])
        y.append(o * np.tanh(c[-1]))
        gates.append((i, f, g, o))
    delta = np.zeros((T + 1, xs.shape[1], len(b)), xs.dtype)
    dy, dc = np.zeros((T, *y[0].shape), xs.dtype), np.zeros((T + 1, *c[0].shape), xs.dtype)
    for t in range(T - 1, -1, -1):
        i, f, g, o = gates[t]
        dy[t] = e[t] + delta[t + 1] @ R.T
        d_o = dy[t] * np.tanh(c[t + 1]) * o * (1 - o)
        dc[t] = dy[t] * o * (1 - np.tanh(c[t + 1]) ** 2) + p["po"] * d_o
        if t + 1 < T:
            di, df, _, _ = np.split(delta[t + 1], 4, axis=1)
            dc[t] += p["pi"] * di + p["pf"] * df + dc[t + 1] * gates[t + 1][1]
        d_f = dc[t] * c[t] * f * (1 - f)
        d_i = dc[t] * g * i * (1 - i)
        d_g = dc[t] * i * (1 - g**2)
        delta[t] = np.hstack([d_i, d_f, d_g, d_o])
    c, y, delta = np.array(c), np.array(y), delta[:T]
    dW = np.tensordot(xs, delta, ([0, 1], [0, 1]))
    dR = np.tensordot(y[:-1], delta, ([0, 1], [0, 1]))
    db = delta.sum((0, 1))
    grads = {}
    for k, dWk, dRk, dbk in zip("ifgo", np.split(dW, 4, 1), np.split(dR, 4, 1), np.split(db, 4)):
        grads.update({"W" + k: dWk, "U" + k: dRk, "b" + k: dbk})
    d_i, d_f, _, d_o = np.split(delta, 4, axis=2)
    grads["pi"] = (c[:-1] * d_i).sum((0, 1))
    grads["pf"] = (c[:-1] * d_f).sum((0, 1))
    grads["po"] = (c[1:] * d_o).sum((0, 1))
    return grads, {"h": dy, "c": dc[:T]}
"""

STRAND_CONCAT = """
def hand(p, xs, s_0, e):
    W, b = p["W"], p["b"]
    h, c = s_0
    H = h.shape[1]
    cache = []
    for x in xs:
        z = np.concatenate((h, x), axis=1)
        a = z @ W + b
        i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 2 * H : 3 * H])
        g = np.tanh(a[:, 3 * H :])
        c_prev, c = c, f * c + i * g
        h = o * np.tanh(c)
        cache.append((z, i, f, o, g, c_prev, c))
    dW, db = np.zeros_like(W), np.zeros_like(b)
    dh_next, dc_next = np.zeros_like(h), np.zeros_like(c)
    for t in range(len(xs) - 1, -1, -1):
        z, i, f, o, g, c_prev, c = cache[t]
        dh = e[t] + dh_next
        tc = np.tanh(c)
        do = dh * tc
        dc = dc_next + dh * o * (1 - tc * tc)
        di = dc * g
        df = dc * c_prev
        dg = dc * i
        da = np.hstack((di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g * g)))
        dW += z.T @ da
        db += da.sum(axis=0)
        dz = da @ W.T
        dh_next = dz[:, :H]
        dc_next = dc * f
    return {"W": dW, "b": db}
"""

STRAND_NODES = """
class Node:
    def bottom_data_is(self, W, b, x, s_prev, h_prev):
        H = len(h_prev)
        self.s_prev = s_prev
        self.xc = np.hstack((h_prev, x))
        a = np.dot(self.xc, W) + b
        self.i, self.f, self.o = sigmoid(a[:H]), sigmoid(a[H : 2 * H]), sigmoid(a[2 * H : 3 * H])
        self.g = np.tanh(a[3 * H :])
        self.s = self.g * self.i + s_prev * self.f
        self.h = np.tanh(self.s) * self.o

    def top_diff_is(self, W, top_diff_h, top_diff_s):
        ds = self.o * (1.0 - np.tanh(self.s) ** 2) * top_diff_h + top_diff_s
        do = np.tanh(self.s) * top_diff_h
        di = self.g * ds
        dg = self.i * ds
        df = self.s_prev * ds
        di_input = self.i * (1 - self.i) * di
        df_input = self.f * (1 - self.f) * df
        do_input = self.o * (1 - self.o) * do
        dg_input = (1.0 - self.g**2) * dg
        da = np.concatenate((di_input, df_input, do_input, dg_input))
        self.W_diff = np.outer(self.xc, da)
        self.b_diff = da
        dxc = np.dot(W, da)
        self.bottom_diff_s = ds * self.f
        self.bottom_diff_h = dxc[: len(self.h)]


def hand(p, xs, s_0, e):
    dW, db = np.zeros_like(p["W"]), np.zeros_like(p["b"])
    for n in range(xs.shape[1]):
        nodes, h, s = [], s_0[0][n], s_0[1][n]
        for x in xs[:, n]:
            node = Node()
            node.bottom_data_is(p["W"], p["b"], x, s, h)
            h, s = node.h, node.s
            nodes.append(node)
        diff_h, diff_s = np.zeros_like(h), np.zeros_like(s)
        for t in range(len(nodes) - 1, -1, -1):
            nodes[t].top_diff_is(p["W"], e[t, n] + diff_h, diff_s)
            diff_h, diff_s = nodes[t].bottom_diff_h, nodes[t].bottom_diff_s
            dW += nodes[t].W_diff
            db += nodes[t].b_diff
    return {"W": dW, "b": db}
"""

BEFORE_VECTORISED = """
def hand(p, xs, s_0, e):
    T = len(xs)
    hs, zs, rs, ns = [s_0], [], [], []
    for x in xs:
        h = hs[-1]
        z = sigmoid(x @ p["Wz"] + h @ p["Uz"] + p["bz"])
        r = sigmoid(x @ p["Wr"] + h @ p["Ur"] + p["br"])
        n = np.tanh(x @ p["Wn"] + (r * h) @ p["Un"] + p["bn"])
        hs.append(z * h + (1 - z) * n)
        zs.append(z); rs.append(r); ns.append(n)
    before = np.array(hs[:-1])
    zs, rs, ns = np.array(zs), np.array(rs), np.array(ns)
    dhs, daz, dar, dan = (np.zeros_like(zs) for _ in range(4))
    dh_next = np.zeros_like(s_0)
    for t in reversed(range(T)):
        dh = dhs[t] = e[t] + dh_next
        dz = dh * (before[t] - ns[t])
        dn = dh * (1 - zs[t])
        dan[t] = dn * (1 - ns[t] ** 2)
        drh = dan[t] @ p["Un"].T
        dr = drh * before[t]
        dar[t] = dr * rs[t] * (1 - rs[t])
        daz[t] = dz * zs[t] * (1 - zs[t])
        dh_next = dh * zs[t]
        dh_next = dh_next + drh * rs[t]
        dh_next = dh_next + dar[t] @ p["Ur"].T + daz[t] @ p["Uz"].T
    grads = {}
    for k, da, left in (("z", daz, before), ("r", dar, before), ("n", dan, rs * before)):
        grads["W" + k] = np.einsum("tbi,tbh->ih", xs, da)
        grads["U" + k] = np.einsum("tbk,tbh->kh", left, da)
        grads["b" + k] = da.sum(axis=(0, 1))
    return grads, {"h": dhs}
"""

BEFORE_NUMBERED = """
def hand(p, xs, s_0, e):
    Wz, Wr, Wn, Uz, Ur, Un = (p[k].T for k in ("Wz", "Wr", "Wn", "Uz", "Ur", "Un"))
    bz, br, bn = (p[k].reshape(-1, 1) for k in ("bz", "br", "bn"))
    g = {k: np.zeros_like(v) for k, v in p.items()}
    for n in range(xs.shape[1]):
        h, z, r, hhat = {-1: s_0[n].reshape(-1, 1)}, {}, {}, {}
        for t in range(len(xs)):
            x = xs[t, n].reshape(-1, 1)
            z[t] = sigmoid(np.dot(Wz, x) + np.dot(Uz, h[t - 1]) + bz)
            r[t] = sigmoid(np.dot(Wr, x) + np.dot(Ur, h[t - 1]) + br)
            hhat[t] = np.tanh(np.dot(Wn, x) + np.dot(Un, r[t] * h[t - 1]) + bn)
            h[t] = z[t] * h[t - 1] + (1 - z[t]) * hhat[t]
        dhnext = np.zeros_like(h[-1])
        for t in reversed(range(len(xs))):
            x = xs[t, n].reshape(-1, 1)
            dh = e[t, n].reshape(-1, 1) + dhnext
            dhhat = dh * (1 - z[t])
            dhhat_l = dhhat * (1 - hhat[t] ** 2)
            g["Wn"] += np.dot(dhhat_l, x.T).T
            g["Un"] += np.dot(dhhat_l, (r[t] * h[t - 1]).T).T
            g["bn"] += dhhat_l.ravel()
            drhp = np.dot(Un.T, dhhat_l)
            dr = drhp * h[t - 1]
            dr_l = dr * r[t] * (1 - r[t])
            g["Wr"] += np.dot(dr_l, x.T).T
            g["Ur"] += np.dot(dr_l, h[t - 1].T).T
            g["br"] += dr_l.ravel()
            dz = dh * (h[t - 1] - hhat[t])
            dz_l = dz * z[t] * (1 - z[t])
            g["Wz"] += np.dot(dz_l, x.T).T
            g["Uz"] += np.dot(dz_l, h[t - 1].T).T
            g["bz"] += dz_l.ravel()
            dh_fz_inner = np.dot(Uz.T, dz_l)
            dh_fz = dh * z[t]
            dh_fhh = drhp * r[t]
            dh_fr = np.dot(Ur.T, dr_l)
            dhnext = dh_fz_inner + dh_fz + dh_fhh + dh_fr
    return g
"""

AFTER_STACKED = """
def hand(p, xs, s_0, e):
    H = s_0.shape[1]
    h, tape = s_0, []
    for x in xs:
        gi = x @ p["Wi"] + p["bi"]
        gh = h @ p["Wh"] + p["bh"]
        r = sigmoid(gi[:, :H] + gh[:, :H])
        z = sigmoid(gi[:, H : 2 * H] + gh[:, H : 2 * H])
        n = np.tanh(gi[:, 2 * H :] + r * gh[:, 2 * H :])
        tape.append((x, h, r, z, n, gh[:, 2 * H :]))
        h = (1 - z) * n + z * h
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros_like(h)
    for t in reversed(range(len(xs))):
        x, h_prev, r, z, n, ghn = tape[t]
        dh = dh + e[t]
        dn = dh * (1 - z) * (1 - n**2)
        dz = dh * (h_prev - n) * z * (1 - z)
        dr = dn * ghn * r * (1 - r)
        dgi = np.concatenate([dr, dz, dn], axis=1)
        dgh = np.concatenate([dr, dz, dn * r], axis=1)
        grads["Wi"] += x.T @ dgi
        grads["Wh"] += h_prev.T @ dgh
        grads["bi"] += dgi.sum(0)
        grads["bh"] += dgh.sum(0)
        dh = dh * z + dgh @ p["Wh"].T
    return grads
"""

AFTER_ONE_LOSS = """
def hand(p, xs, s_0, e):
    H, T = s_0.shape[1], len(xs)
    h, states, gates = s_0, [s_0], []
    for x in xs:
        gi, gh = x @ p["Wi"] + p["bi"], h @ p["Wh"] + p["bh"]
        r, z = sigmoid(gi[:, :H] + gh[:, :H]), sigmoid(gi[:, H : 2 * H] + gh[:, H : 2 * H])
        q = gh[:, 2 * H :]
        n = np.tanh(gi[:, 2 * H :] + r * q)
        h = (1 - z) * n + z * h
        states.append(h)
        gates.append((r, z, n, q))
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    for t in range(T):
        dh = e[t]
        for k in range(t, -1, -1):
            r, z, n, q = gates[k]
            h_prev = states[k]
            dn = dh * (1 - z) * (1 - n**2)
            dz = dh * (h_prev - n) * z * (1 - z)
            dr = dn * q * r * (1 - r)
            dgi, dgh = np.hstack([dr, dz, dn]), np.hstack([dr, dz, dn * r])
            grads["Wi"] += xs[k].T @ dgi
            grads["Wh"] += h_prev.T @ dgh
            grads["bi"] += dgi.sum(0)
            grads["bh"] += dgh.sum(0)
            dh = dh * z + dgh @ p["Wh"].T
    return grads
"""

SINGLE_EINSUM = """
def hand(p, xs, s_0, e):
    Wf, Uf, bf, Wm, Um, bm = (p[k] for k in ("Wf", "Uf", "bf", "Wm", "Um", "bm"))
    T, B, H = len(xs), *s_0.shape
    h = np.zeros((T + 1, B, H), xs.dtype)
    af, f, m = (np.zeros((T, B, H), xs.dtype) for _ in range(3))
    h[0] = s_0
    for t in range(T):
        af[t] = xs[t] @ Wf + h[t] @ Uf + bf
        f[t] = sigmoid(af[t])
        m[t] = np.tanh(xs[t] @ Wm + (f[t] * h[t]) @ Um + bm)
        h[t + 1] = (1 - f[t]) * h[t] + f[t] * m[t]
    dh, daf, dam = np.zeros_like(h), np.zeros_like(f), np.zeros_like(m)
    for t in range(T - 1, -1, -1):
        dh[t + 1] += e[t]
        dam[t] = dh[t + 1] * f[t] * (1 - m[t] ** 2)
        dfh = dam[t] @ Um.T
        df = dh[t + 1] * (m[t] - h[t]) + dfh * h[t]
        daf[t] = df * f[t] * (1 - f[t])
        dh[t] = dh[t + 1] * (1 - f[t]) + dfh * f[t] + daf[t] @ Uf.T
    return {
        "Wf": np.einsum("tbi,tbh->ih", xs, daf),
        "Uf": np.einsum("tbj,tbh->jh", h[:-1], daf),
        "bf": np.einsum("tbh->h", daf),
        "Wm": np.einsum("tbi,tbh->ih", xs, dam),
        "Um": np.einsum("tbj,tbh->jh", f * h[:-1], dam),
        "bm": np.einsum("tbh->h", dam),
    }
"""

SINGLE_JACOBIANS = """
def hand(p, xs, s_0, e):
    T, (B, H) = len(xs), s_0.shape
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    for n in range(B):
        h, seen = s_0[n], []
        for x in xs[:, n]:
            f = sigmoid(x @ p["Wf"] + h @ p["Uf"] + p["bf"])
            m = np.tanh(x @ p["Wm"] + (f * h) @ p["Um"] + p["bm"])
            seen.append((x, h, f, m))
            h = (1 - f) * h + f * m
        lam = np.zeros(H)
        for t in range(T - 1, -1, -1):
            x, h, f, m = seen[t]
            lam = lam + e[t, n]
            Df, Dm = np.diag(f * (1 - f)), np.diag(1 - m**2)
            f_h = Df @ p["Uf"].T
            m_f = Dm @ p["Um"].T @ np.diag(h)
            m_h = Dm @ p["Um"].T @ np.diag(f) + m_f @ f_h
            h_f = np.diag(m - h) + np.diag(f) @ m_f
            J = np.diag(1 - f) + np.diag(m - h) @ f_h + np.diag(f) @ m_h
            df = (lam @ h_f) * f * (1 - f)
            dm = lam * f * (1 - m**2)
            grads["Wf"] += np.outer(x, df)
            grads["Uf"] += np.outer(h, df)
            grads["bf"] += df
            grads["Wm"] += np.outer(x, dm)
            grads["Um"] += np.outer(f * h, dm)
            grads["bm"] += dm
            lam = lam @ J
    return grads
"""

BATH_REALTIME = """
def hand(p, xs, s_0, e):
    U, W, b = p["U"], p["W"], p["b"]
    a = sigmoid(p["k"])
    B, H = s_0.shape
    eye = np.eye(H)
    gU, gW, gb, gk = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b), np.zeros_like(b)
    for n in range(B):
        v = s_0[n]
        PU, PW = np.zeros((H, *U.shape)), np.zeros((H, *W.shape))
        Pb, Pk = np.zeros((H, H)), np.zeros((H, H))
        for x, err in zip(xs[:, n], e[:, n]):
            r = np.tanh(v)
            J = np.diag(1 - a) + (a * (W * (1 - r**2)[:, None])).T
            drive = x @ U + r @ W + b - v
            PU = np.tensordot(J, PU, 1) + np.einsum("j,jl,k->jkl", a, eye, x)
            PW = np.tensordot(J, PW, 1) + np.einsum("j,jl,k->jkl", a, eye, r)
            Pb = J @ Pb + np.diag(a)
            Pk = J @ Pk + np.diag(a * (1 - a) * drive)
            v = v + a * drive
            c = err * (1 - np.tanh(v) ** 2)
            gU += np.tensordot(c, PU, 1)
            gW += np.tensordot(c, PW, 1)
            gb += c @ Pb
            gk += c @ Pk
    return {"U": gU, "W": gW, "b": gb, "k": gk}
"""

BATH_ADJOINT = """
def hand(p, xs, s_0, e):
    a = sigmoid(p["k"])
    v, drives = [s_0], []
    for x in xs:
        drive = x @ p["U"] + np.tanh(v[-1]) @ p["W"] + p["b"] - v[-1]
        drives.append(drive)
        v.append(v[-1] + a * drive)
    r = [np.tanh(u) for u in v]
    grads = {k: np.zeros_like(q) for k, q in p.items()}
    dv = np.zeros_like(s_0)
    dvs = []
    for t in reversed(range(len(xs))):
        dv = dv + e[t] * (1 - r[t + 1] ** 2)
        dvs.append(dv)
        ddrive = a * dv
        grads["U"] += xs[t].T @ ddrive
        grads["W"] += r[t].T @ ddrive
        grads["b"] += ddrive.sum(0)
        grads["k"] += (dv * drives[t]).sum(0) * a * (1 - a)
        dv = dv - ddrive + (ddrive @ p["W"].T) * (1 - r[t] ** 2)
    return grads, {"v": np.array(dvs[::-1])}
"""

RATCHET_ROWS = """
def hand(p, xs, s_0, e):
    U, W, b, V = p["U"], p["W"], p["b"], p["V"]
    h = s_0
    hs, pre = [h], []
    for x in xs:
        pre.append(x @ U + h @ W + b)
        h = np.maximum(pre[-1], 0)
        hs.append(h)
    dU, dW, db, dV = (np.zeros_like(q) for q in (U, W, b, V))
    dh = np.zeros_like(h)
    for t in reversed(range(len(xs))):
        dV += hs[t + 1].T @ e[t]
        dh = dh + e[t] @ V.T
        da = dh * (pre[t] > 0)
        dU += xs[t].T @ da
        dW += hs[t].T @ da
        db += da.sum(axis=0)
        dh = da @ W.T
    dstart = dh.sum(axis=0)
    return {"U": dU, "W": dW, "b": db, "V": dV, "start": dstart}
"""

RATCHET_COPIED = """
def hand(p, xs, s_0, e):
    B = s_0.shape[0]
    grads = {k: 0 for k in p}
    for n in range(B):
        h = s_0[n][:, None]
        memory = [(None, h)]
        for x in xs[:, n]:
            h = p["U"].T @ x[:, None] + p["W"].T @ h + p["b"][:, None]
            h[h < 0] = 0
            memory.append((x[:, None], h))
        dh = np.zeros_like(h)
        for t in range(len(xs), 0, -1):
            x, h = memory[t]
            before = memory[t - 1][1]
            dy = e[t - 1, n][:, None]
            grads["V"] = grads["V"] + h @ dy.T
            dh = dh + p["V"] @ dy
            dh[h <= 0] = 0
            grads["b"] = grads["b"] + dh[:, 0]
            grads["U"] = grads["U"] + x @ dh.T
            grads["W"] = grads["W"] + before @ dh.T
            dh = p["W"] @ dh
        grads["start"] = grads["start"] + dh[:, 0]
    return grads
"""

LEVEL_STEPS = """
def normalise(a):
    mu = a.mean(axis=1, keepdims=True)
    var = a.var(axis=1, keepdims=True)
    std = np.sqrt(var + 0.1)
    return (a - mu) / std, (mu, var, std, a)


def normalise_backward(dn, cache):
    mu, var, std, a = cache
    D = a.shape[1]
    dvar = np.sum(dn * (a - mu) * -0.5 * (var + 0.1) ** -1.5, axis=1, keepdims=True)
    dmu = np.sum(-dn / std, axis=1, keepdims=True)
    return dn / std + dvar * 2 * (a - mu) / D + dmu / D


def hand(p, xs, s_0, e):
    h, store = s_0, []
    for x in xs:
        n, cache = normalise(h @ p["W"])
        new = np.tanh(p["g"] * n + x @ p["U"] + p["b"])
        store.append((x, h, n, cache, new))
        h = new
    out = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros_like(h)
    for t in reversed(range(len(xs))):
        x, before, n, cache, h = store[t]
        dh = dh + e[t]
        ds = dh * (1 - h**2)
        out["U"] += x.T @ ds
        out["b"] += ds.sum(0)
        out["g"] += (ds * n).sum(0)
        da = normalise_backward(ds * p["g"], cache)
        out["W"] += before.T @ da
        dh = da @ p["W"].T
    return out
"""

LEVEL_COMPACT = """
def hand(p, xs, s_0, e):
    U, W, g, b = p["U"], p["W"], p["g"], p["b"]
    hs, ns, sds = [s_0], [], []
    for x in xs:
        a = hs[-1] @ W
        sd = np.sqrt(a.var(1, keepdims=True) + 0.1)
        n = (a - a.mean(1, keepdims=True)) / sd
        ns.append(n), sds.append(sd)
        hs.append(np.tanh(g * n + x @ U + b))
    hs, ns = np.array(hs), np.array(ns)
    ds, da, dn = np.zeros_like(ns), np.zeros_like(ns), np.zeros_like(ns)
    dh = np.zeros_like(s_0)
    for t in range(len(xs))[::-1]:
        ds[t] = (e[t] + dh) * (1 - hs[t + 1] ** 2)
        dn[t] = ds[t] * g
        centred = dn[t] - dn[t].mean(1, keepdims=True)
        da[t] = (centred - ns[t] * (dn[t] * ns[t]).mean(1, keepdims=True)) / sds[t]
        dh = da[t] @ W.T
    dot = "tbi,tbj->ij"
    grads = {"U": np.einsum(dot, xs, ds), "W": np.einsum(dot, hs[:-1], da)}
    grads.update({"g": (ds * ns).sum((0, 1)), "b": ds.sum((0, 1))})
    return grads, {"n": dn, "a": da}
"""

OVERPASS_STEPS = """
def hand(p, xs, s_0, e):
    T = len(xs)
    s, tape = s_0, []
    for x in xs:
        c1 = np.tanh(x @ p["U"] + s @ p["W1"] + p["b1"])
        t1 = sigmoid(x @ p["F"] + s @ p["R1"] + p["d1"])
        low = c1 * t1 + s * (1 - t1)
        c2 = np.tanh(low @ p["W2"] + p["b2"])
        t2 = sigmoid(low @ p["R2"] + p["d2"])
        tape.append((x, s, c1, t1, low, c2, t2))
        s = c2 * t2 + low * (1 - t2)
    G = {k: np.zeros_like(v) for k, v in p.items()}
    ds = np.zeros_like(s)
    for t in reversed(range(T)):
        x, s, c1, t1, low, c2, t2 = tape[t]
        ds = ds + e[t]
        dc2 = ds * t2 * (1 - c2**2)
        dt2 = ds * (c2 - low) * t2 * (1 - t2)
        G["W2"] += low.T @ dc2
        G["b2"] += dc2.sum(0)
        G["R2"] += low.T @ dt2
        G["d2"] += dt2.sum(0)
        dlow = ds * (1 - t2) + dc2 @ p["W2"].T + dt2 @ p["R2"].T
        dc1 = dlow * t1 * (1 - c1**2)
        dt1 = dlow * (c1 - s) * t1 * (1 - t1)
        G["U"] += x.T @ dc1
        G["F"] += x.T @ dt1
        G["W1"] += s.T @ dc1
        G["b1"] += dc1.sum(0)
        G["R1"] += s.T @ dt1
        G["d1"] += dt1.sum(0)
        ds = dlow * (1 - t1) + dc1 @ p["W1"].T + dt1 @ p["R1"].T
    return G
"""

STOREYS_ROWS = """
def hand(p, xs, s_0, e):
    T = len(xs)
    h1, h2 = {-1: s_0[0]}, {-1: s_0[1]}
    for t in range(T):
        h1[t] = np.tanh(xs[t] @ p["U1"] + h1[t - 1] @ p["W1"] + p["b1"])
        h2[t] = np.tanh(h1[t] @ p["U2"] + h2[t - 1] @ p["W2"] + p["b2"])
    d = {k: np.zeros_like(v) for k, v in p.items()}
    dh1next, dh2next = np.zeros_like(h1[-1]), np.zeros_like(h2[-1])
    for t in reversed(range(T)):
        d["V"] += h2[t].T @ e[t]
        d["S"] += h1[t].T @ e[t]
        dh2 = e[t] @ p["V"].T + dh2next
        da2 = dh2 * (1 - h2[t] ** 2)
        dh1 = e[t] @ p["S"].T + da2 @ p["U2"].T + dh1next
        da1 = dh1 * (1 - h1[t] ** 2)
        d["U2"] += h1[t].T @ da2
        d["W2"] += h2[t - 1].T @ da2
        d["b2"] += da2.sum(0)
        d["U1"] += xs[t].T @ da1
        d["W1"] += h1[t - 1].T @ da1
        d["b1"] += da1.sum(0)
        dh1next = da1 @ p["W1"].T
        dh2next = da2 @ p["W2"].T
    return d
"""

STOREYS_LAYERWISE = """
def layer(xs, U, W, b, h):
    hs = [h]
    for x in xs:
        hs.append(np.tanh(x @ U + hs[-1] @ W + b))
    return np.array(hs)


def layer_backward(xs, hs, U, W, dtop):
    das = np.zeros_like(dtop)
    dhs = np.zeros_like(dtop)
    carry = 0
    for t in range(len(xs) - 1, -1, -1):
        dhs[t] = dtop[t] + carry
        das[t] = dhs[t] * (1 - hs[t + 1] ** 2)
        carry = das[t] @ W.T
    dU = sum(x.T @ da for x, da in zip(xs, das))
    dW = sum(h.T @ da for h, da in zip(hs[:-1], das))
    return das @ U.T, dU, dW, das.sum((0, 1)), dhs


def hand(p, xs, s_0, e):
    low = layer(xs, p["U1"], p["W1"], p["b1"], s_0[0])
    high = layer(low[1:], p["U2"], p["W2"], p["b2"], s_0[1])
    g = {"V": np.einsum("tbh,tbo->ho", high[1:], e), "S": np.einsum("tbh,tbo->ho", low[1:], e)}
    dlow, g["U2"], g["W2"], g["b2"], dhigh = layer_backward(
        low[1:], high, p["U2"], p["W2"], e @ p["V"].T
    )
    _, g["U1"], g["W1"], g["b1"], dlow = layer_backward(
        xs, low, p["U1"], p["W1"], dlow + e @ p["S"].T
    )
    return g, {"high": dhigh, "low": dlow}
"""

BOTH_LOOPS = """
def hand(p, xs, s_0, e):
    T, B, _ = xs.shape
    H = p["forward.W"].shape[0]
    Uf, Wf, bf = p["forward.U"], p["forward.W"], p["forward.b"]
    Ub, Wb, bb = p["backward.U"], p["backward.W"], p["backward.b"]
    hf, hb = np.zeros((T + 2, B, H)), np.zeros((T + 2, B, H))
    hf[0], hb[T + 1] = s_0[0], s_0[1]
    for t in range(1, T + 1):
        hf[t] = np.tanh(xs[t - 1] @ Uf + hf[t - 1] @ Wf + bf)
    for t in range(T, 0, -1):
        hb[t] = np.tanh(xs[t - 1] @ Ub + hb[t + 1] @ Wb + bb)
    g = {k: np.zeros_like(v) for k, v in p.items()}
    carry = np.zeros((B, H))
    for t in range(T, 0, -1):
        da = (e[t - 1][:, :H] + carry) * (1 - hf[t] ** 2)
        g["forward.U"] += xs[t - 1].T @ da
        g["forward.W"] += hf[t - 1].T @ da
        g["forward.b"] += da.sum(0)
        carry = da @ Wf.T
    carry = np.zeros((B, H))
    for t in range(1, T + 1):
        da = (e[t - 1][:, H:] + carry) * (1 - hb[t] ** 2)
        g["backward.U"] += xs[t - 1].T @ da
        g["backward.W"] += hb[t + 1].T @ da
        g["backward.b"] += da.sum(0)
        carry = da @ Wb.T
    return g
"""

BOTH_FLIPPED = """
def run(xs, U, W, b, h):
    hs = [h]
    for x in xs:
        hs.append(np.tanh(x @ U + hs[-1] @ W + b))
    return hs


def back(xs, hs, W, e):
    dU, dW, db, dh = 0, 0, 0, 0
    for x, h_prev, h, err in reversed(list(zip(xs, hs[:-1], hs[1:], e))):
        da = (err + dh) * (1 - h**2)
        dU = dU + x.T @ da
        dW = dW + h_prev.T @ da
        db = db + da.sum(0)
        dh = da @ W.T
    return dU, dW, db


def hand(p, xs, s_0, e):
    e_f, e_b = np.split(e, 2, axis=-1)
    fw = run(xs, p["forward.U"], p["forward.W"], p["forward.b"], s_0[0])
    bw = run(xs[::-1], p["backward.U"], p["backward.W"], p["backward.b"], s_0[1])
    f = back(xs, fw, p["forward.W"], e_f)
    b = back(xs[::-1], bw, p["backward.W"], e_b[::-1])
    names = ("U", "W", "b")
    grads = {"forward." + k: v for k, v in zip(names, f)}
    grads.update({"backward." + k: v for k, v in zip(names, b)})
    return grads
"""

ECHO_TOKENS = """
def hand(p, xs, s_0, e):
    E, c, W, b = p["E"], p["c"], p["W"], p["b"]
    ids = xs.argmax(axis=-1)
    hs = [s_0]
    for t in range(len(ids)):
        hs.append(np.tanh(E[ids[t]] + hs[-1] @ W + b))
    dE, dc, dW, db = np.zeros_like(E), np.zeros_like(c), np.zeros_like(W), np.zeros_like(b)
    dh = np.zeros_like(s_0)
    for t in reversed(range(len(ids))):
        dE += e[t].T @ hs[t + 1]
        dc += e[t].sum(axis=0)
        dh = dh + e[t] @ E
        da = dh * (1 - hs[t + 1] ** 2)
        np.add.at(dE, ids[t], da)
        dW += hs[t].T @ da
        db += da.sum(axis=0)
        dh = da @ W.T
    return {"E": dE, "c": dc, "W": dW, "b": db}
"""

ECHO_DENSE = """
def hand(p, xs, s_0, e):
    hs = [s_0]
    for x in xs:
        hs.append(np.tanh(x @ p["E"] + hs[-1] @ p["W"] + p["b"]))
    hs = np.stack(hs)
    dh = np.zeros_like(hs)
    da = np.zeros_like(hs[1:])
    for t in range(len(xs), 0, -1):
        dh[t] += e[t - 1] @ p["E"]
        da[t - 1] = dh[t] * (1 - hs[t] ** 2)
        dh[t - 1] += da[t - 1] @ p["W"].T
    n = len(xs) * xs.shape[1]
    flat = lambda a: a.reshape(n, -1)
    grads = {
        "E": flat(xs).T @ flat(da) + flat(e).T @ flat(hs[1:]),
        "c": flat(e).sum(0),
        "W": flat(hs[:-1]).T @ flat(da),
        "b": flat(da).sum(0),
    }
    return grads, {"h": dh[1:]}
"""

ABSENT_MASKED = """
def hand(p, xs, s_0, e):
    mask, xs = xs[:, :, :1], xs[:, :, 1:]
    h, cache = s_0, []
    for m, x in zip(mask, xs):
        new = np.tanh(x @ p["U"] + h @ p["W"] + p["b"])
        cache.append((m, x, h, new))
        h = m * new + (1 - m) * h
    dU, dW, db = np.zeros_like(p["U"]), np.zeros_like(p["W"]), np.zeros_like(p["b"])
    dh = np.zeros_like(h)
    for t in reversed(range(len(xs))):
        m, x, h_prev, new = cache[t]
        dh = dh + e[t]
        dnew = dh * m
        da = dnew * (1 - new**2)
        dU += x.T @ da
        dW += h_prev.T @ da
        db += da.sum(0)
        dh = da @ p["W"].T + dh * (1 - m)
    return {"U": dU, "W": dW, "b": db}
"""

CHANCES_SOFTMAX = """
def softmax(z):
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def hand(p, xs, s_0, e):
    hs, ps = [s_0], []
    for x in xs:
        hs.append(np.tanh(x @ p["U"] + hs[-1] @ p["W"] + p["b"]))
        ps.append(softmax(hs[-1] @ p["V"] + p["c"]))
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros_like(s_0)
    for t in reversed(range(len(xs))):
        dp = e[t]
        dz = ps[t] * (dp - (dp * ps[t]).sum(axis=1, keepdims=True))
        g["V"] += hs[t + 1].T @ dz
        g["c"] += dz.sum(0)
        dh = dh + dz @ p["V"].T
        da = dh * (1 - hs[t + 1] ** 2)
        g["U"] += xs[t].T @ da
        g["W"] += hs[t].T @ da
        g["b"] += da.sum(0)
        dh = da @ p["W"].T
    return g
"""

CHANCES_JACOBIAN = """
def hand(p, xs, s_0, e):
    g = {k: np.zeros_like(v) for k, v in p.items()}
    for n in range(xs.shape[1]):
        h, steps = s_0[n], []
        for t in range(len(xs)):
            h_prev = h
            h = np.tanh(xs[t, n] @ p["U"] + h_prev @ p["W"] + p["b"])
            a = np.exp(h @ p["V"] + p["c"])
            steps.append((h_prev, h, a / a.sum()))
        for t in range(len(xs)):
            _, h, y = steps[t]
            J = np.diag(y) - np.outer(y, y)
            dz = J @ e[t, n]
            g["V"] += np.outer(h, dz)
            g["c"] += dz
            dh = p["V"] @ dz
            for k in range(t, -1, -1):
                h_prev, h, _ = steps[k]
                da = dh * (1 - h**2)
                g["U"] += np.outer(xs[k, n], da)
                g["W"] += np.outer(h_prev, da)
                g["b"] += da
                dh = p["W"] @ da
    return g
"""

PRODUCT_ROWS = """
def hand(p, xs, s_0, e):
    A, M, U, W, b = p["A"], p["M"], p["U"], p["W"], p["b"]
    h, tape = s_0, []
    for x in xs:
        xa, hm = x @ A, h @ M
        m = xa * hm
        new = np.tanh(x @ U + m @ W + b)
        tape.append((x, h, xa, hm, m, new))
        h = new
    dA, dM, dU, dW, db = (np.zeros_like(q) for q in (A, M, U, W, b))
    dh, dms = np.zeros_like(h), []
    for (x, h_prev, xa, hm, m, h), err in zip(tape[::-1], e[::-1]):
        dh = dh + err
        da = dh * (1 - h * h)
        dU += x.T @ da
        dW += m.T @ da
        db += da.sum(0)
        dm = da @ W.T
        dms.append(dm)
        dA += x.T @ (dm * hm)
        dM += h_prev.T @ (dm * xa)
        dh = (dm * xa) @ M.T
    return {"A": dA, "M": dM, "U": dU, "W": dW, "b": db}, {"m": np.array(dms[::-1])}
"""

PENDULUM_STEPS = """
dt = 0.4


def hand(p, xs, s_0, e):
    y, z = s_0
    tape = []
    for x in xs:
        u = np.tanh(x @ p["U"] + y @ p["W"] + z @ p["V"] + p["b"])
        tape.append((x, y, z, u))
        z = z + dt * (u - p["k"] * y - p["r"] * z)
        y = y + dt * z
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dy, dz = np.zeros_like(y), np.zeros_like(z)
    for t in range(len(xs) - 1, -1, -1):
        x, y, z, u = tape[t]
        dy = dy + e[t]
        dz = dz + dt * dy
        da = dt * dz * (1 - u**2)
        g["U"] += x.T @ da
        g["W"] += y.T @ da
        g["V"] += z.T @ da
        g["b"] += da.sum(0)
        g["k"] -= (dt * dz * y).sum(0)
        g["r"] -= (dt * dz * z).sum(0)
        dy = dy - dt * p["k"] * dz + da @ p["W"].T
        dz = dz - dt * p["r"] * dz + da @ p["V"].T
    return g
"""

WEAVE_VECTORISED = """
def hand(p, xs, s_0, e):
    T = len(xs)
    f = sigmoid(xs @ p["F"] + p["bf"])
    r = sigmoid(xs @ p["R"] + p["br"])
    w = xs @ p["W"]
    c = np.zeros_like(w)
    prev = np.zeros_like(w)
    for t in range(T):
        prev[t] = c[t - 1] if t else s_0
        c[t] = f[t] * prev[t] + (1 - f[t]) * w[t]
    tc = np.tanh(c)
    dc = e * r * (1 - tc**2)
    for t in range(T - 2, -1, -1):
        dc[t] += f[t + 1] * dc[t + 1]
    daf = dc * (prev - w) * f * (1 - f)
    dar = e * (tc - xs) * r * (1 - r)
    dw = dc * (1 - f)
    outer = lambda a, b: np.einsum("tbi,tbj->ij", a, b)
    grads = {"W": outer(xs, dw), "F": outer(xs, daf), "R": outer(xs, dar)}
    grads["bf"], grads["br"] = daf.sum((0, 1)), dar.sum((0, 1))
    grads["x"] = dw @ p["W"].T + daf @ p["F"].T + dar @ p["R"].T + e * (1 - r)
    return grads
"""

WEAVE_PRODUCTS = """
def hand(p, xs, s_0, e):
    T = len(xs)
    f, r = sigmoid(xs @ p["F"] + p["bf"]), sigmoid(xs @ p["R"] + p["br"])
    w = xs @ p["W"]
    c, cs = s_0, [s_0]
    for t in range(T):
        c = f[t] * c + (1 - f[t]) * w[t]
        cs.append(c)
    cs = np.array(cs)
    own = e * r * (1 - np.tanh(cs[1:]) ** 2)
    dc = np.array([
        sum(own[t] * np.prod(f[k + 1 : t + 1], axis=0) for t in range(k, T)) for k in range(T)
    ])
    dF = dc * (cs[:-1] - w) * f * (1 - f)
    dR = e * (np.tanh(cs[1:]) - xs) * r * (1 - r)
    X = xs.reshape(-1, xs.shape[-1])
    flat = lambda a: a.reshape(X.shape)
    return {
        "W": X.T @ flat(dc * (1 - f)), "F": X.T @ flat(dF), "R": X.T @ flat(dR),
        "bf": flat(dF).sum(0), "br": flat(dR).sum(0),
    }
"""

SKEW_ROWS = """
def hand(p, xs, s_0, e):
    eps = 0.4
    S = p["W"] - p["W"].T
    h, us, hs = s_0, [], [s_0]
    for x in xs:
        u = np.tanh(x @ p["V"] + h @ S + p["b"])
        h = h + eps * u
        us.append(u)
        hs.append(h)
    dV, dS, db = np.zeros_like(p["V"]), np.zeros_like(S), np.zeros_like(p["b"])
    dh = np.zeros_like(h)
    for t in range(len(xs) - 1, -1, -1):
        dh = dh + e[t]
        da = eps * dh * (1 - us[t] ** 2)
        dV += xs[t].T @ da
        dS += hs[t].T @ da
        db += da.sum(axis=0)
        dh = dh + da @ S.T
    return {"V": dV, "W": dS - dS.T, "b": db}
"""

REINS_ROWS = """
def hand(p, xs, s_0, e):
    U, V, g, b = p["U"], p["V"], p["g"], p["b"]
    norm = np.sqrt((V**2).sum(axis=0))
    W = g * V / norm
    hs = [s_0]
    for x in xs:
        hs.append(np.tanh(x @ U + hs[-1] @ W + b))
    dU, dW, db = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    dh = np.zeros_like(s_0)
    for t in reversed(range(len(xs))):
        da = (e[t] + dh) * (1 - hs[t + 1] ** 2)
        dU += xs[t].T @ da
        dW += hs[t].T @ da
        db += da.sum(0)
        dh = da @ W.T
    dg = (dW * V).sum(axis=0) / norm
    dV = g / norm * dW - g * dg / norm**2 * V
    return {"U": dU, "V": dV, "g": dg, "b": db}
"""

GUESS_ROWS = """
def hand(p, xs, s_0, e):
    P, K, W, b = p["P"], p["K"], p["W"], p["b"]
    h, tape = s_0, []
    for x in xs:
        miss = x - h @ P
        new = np.tanh(h @ W + miss @ K + b)
        tape.append((h, miss, new))
        h = new
    dP, dK, dW, db = (np.zeros_like(q) for q in (P, K, W, b))
    dh_next = np.zeros_like(h)
    for t in reversed(range(len(xs))):
        h_prev, miss, h = tape[t]
        dP += h.T @ e[t]
        dh = e[t] @ P.T + dh_next
        da = dh * (1 - h**2)
        dW += h_prev.T @ da
        dK += miss.T @ da
        db += da.sum(0)
        dmiss = da @ K.T
        dP -= h_prev.T @ dmiss
        dh_next = da @ W.T - dmiss @ P.T
    return {"P": dP, "K": dK, "W": dW, "b": db}
"""

PLASTIC_EINSUM = """
def hand(p, xs, s_0, e):
    lam, eta = 0.8, 0.5
    h, A = s_0
    tape = []
    for x in xs:
        new = np.tanh(x @ p["U"] + h @ p["W"] + np.einsum("bi,bij->bj", h, A) + p["b"])
        tape.append((x, h, A, new))
        h = new
        A = lam * A + eta * np.einsum("bi,bj->bij", h, h)
    dU, dW, db = (np.zeros_like(p[k]) for k in "UWb")
    dh, dA = np.zeros_like(h), np.zeros_like(A)
    for t in reversed(range(len(xs))):
        x, h_prev, A_prev, h = tape[t]
        dh = dh + e[t]
        dh = dh + eta * (np.einsum("bij,bj->bi", dA, h) + np.einsum("bij,bi->bj", dA, h))
        da = dh * (1 - h**2)
        dU += x.T @ da
        dW += h_prev.T @ da
        db += da.sum(0)
        dA = lam * dA + np.einsum("bi,bj->bij", h_prev, da)
        dh = da @ p["W"].T + np.einsum("bj,bij->bi", da, A_prev)
    return {"U": dU, "W": dW, "b": db}
"""

ENDS_LENGTHS = """
def hand(p, xs, s_0, e):
    T = len(xs)
    alive = (np.arange(T)[:, None] < np.asarray(lengths))[:, :, None]
    hs = [s_0]
    for t in range(T):
        h = np.tanh(xs[t] @ p["U"] + hs[-1] @ p["W"] + p["b"])
        hs.append(np.where(alive[t], h, hs[-1]))
    dU, dW, db = np.zeros_like(p["U"]), np.zeros_like(p["W"]), np.zeros_like(p["b"])
    dh = np.zeros_like(s_0)
    for t in reversed(range(T)):
        dh = dh + e[t] * alive[t]
        da = dh * (1 - hs[t + 1] ** 2) * alive[t]
        dU += xs[t].T @ da
        dW += hs[t].T @ da
        db += da.sum(0)
        dh = np.where(alive[t], da @ p["W"].T, dh)
    return {"U": dU, "W": dW, "b": db}
"""

OVERPASS_LAYERS = """
def floor(x, s, W, R, b, d, xu, xf):
    c, t = np.tanh(s @ W + b + xu), sigmoid(s @ R + d + xf)
    return c * t + s * (1 - t), (s, c, t)


def floor_back(dout, cache, W, R):
    s, c, t = cache
    dac = dout * t * (1 - c * c)
    dat = dout * (c - s) * t * (1 - t)
    return dout * (1 - t) + dac @ W.T + dat @ R.T, dac, dat


def hand(p, xs, s_0, e):
    s, caches = s_0, []
    for x in xs:
        s, low = floor(x, s, p["W1"], p["R1"], p["b1"], p["d1"], x @ p["U"], x @ p["F"])
        s, high = floor(x, s, p["W2"], p["R2"], p["b2"], p["d2"], 0, 0)
        caches.append((x, low, high))
    g = {k: 0 for k in p}
    ds, lows = np.zeros_like(s), []
    for err, (x, low, high) in zip(e[::-1], caches[::-1]):
        dlow, dac2, dat2 = floor_back(ds + err, high, p["W2"], p["R2"])
        ds, dac1, dat1 = floor_back(dlow, low, p["W1"], p["R1"])
        lows.insert(0, dlow)
        for k, da in (("W2", dac2), ("R2", dat2)):
            g[k] = g[k] + high[0].T @ da
        for k, da in (("W1", dac1), ("R1", dat1)):
            g[k] = g[k] + low[0].T @ da
        g["U"], g["F"] = g["U"] + x.T @ dac1, g["F"] + x.T @ dat1
        for k, da in (("b1", dac1), ("d1", dat1), ("b2", dac2), ("d2", dat2)):
            g[k] = g[k] + da.sum(0)
    return g, {"low": np.array(lows)}
"""

PLASTIC_LOOPS = """
def hand(p, xs, s_0, e):
    g = {k: np.zeros_like(v) for k, v in p.items()}
    for n in range(xs.shape[1]):
        h, A = s_0[0][n], s_0[1][n]
        hs, As = [h], [A]
        for x in xs[:, n]:
            h = np.tanh(p["U"].T @ x + p["W"].T @ h + A.T @ h + p["b"])
            A = 0.8 * A + 0.5 * np.outer(h, h)
            hs.append(h)
            As.append(A)
        dh, dA = np.zeros_like(h), np.zeros_like(A)
        for t in range(len(xs), 0, -1):
            dh += e[t - 1, n] + 0.5 * (dA + dA.T) @ hs[t]
            da = dh * (1 - hs[t] ** 2)
            g["U"] += np.outer(xs[t - 1, n], da)
            g["W"] += np.outer(hs[t - 1], da)
            g["b"] += da
            dA = 0.8 * dA + np.outer(hs[t - 1], da)
            dh = p["W"] @ da + As[t - 1] @ da
    return g
"""

GUESS_FOLDED = """
def hand(p, xs, s_0, e):
    P, K, W = p["P"], p["K"], p["W"]
    M = W - P @ K
    hs = [s_0]
    for x in xs:
        hs.append(np.tanh(hs[-1] @ M + x @ K + p["b"]))
    hs = np.array(hs)
    da = np.zeros_like(hs[1:])
    for t in range(len(xs) - 1, -1, -1):
        later = da[t + 1] @ M.T if t + 1 < len(xs) else 0
        da[t] = (e[t] @ P.T + later) * (1 - hs[t + 1] ** 2)
    dM = np.tensordot(hs[:-1], da, ((0, 1), (0, 1)))
    dP = np.tensordot(hs[1:], e, ((0, 1), (0, 1))) - dM @ K.T
    dK = np.tensordot(xs, da, ((0, 1), (0, 1))) - P.T @ dM
    return {"P": dP, "K": dK, "W": dM, "b": da.sum((0, 1))}
"""

SKEW_COLUMNS = """
def hand(p, xs, s_0, e):
    W, V, b = p["W"], p["V"], p["b"].reshape(-1, 1)
    dW, dV, db = np.zeros_like(W), np.zeros_like(V), np.zeros_like(b)
    A = (W - W.T).T
    for n in range(xs.shape[1]):
        h = [s_0[n].reshape(-1, 1)]
        for x in xs[:, n]:
            h.append(h[-1] + 0.4 * np.tanh(A @ h[-1] + V.T @ x.reshape(-1, 1) + b))
        dh = np.zeros_like(b)
        for t in range(len(xs), 0, -1):
            x = xs[t - 1, n].reshape(-1, 1)
            u = (h[t] - h[t - 1]) / 0.4
            dh = dh + e[t - 1, n].reshape(-1, 1)
            da = 0.4 * (1 - u * u) * dh
            dW += h[t - 1] @ da.T - da @ h[t - 1].T
            dV += x @ da.T
            db += da
            dh = dh + A.T @ da
    return {"W": dW, "V": dV, "b": db.ravel()}
"""

SCRIBE_REALTIME = """
def hand(p, xs, s_0, e):
    Wxh, Whh, Why, bh = (p[k] for k in ("Wxh", "Whh", "Why", "bh"))
    H = len(Whh)
    total = np.zeros((H, xs.shape[2] + H + 1))
    dWhy, dby = np.zeros_like(Why), np.zeros_like(p["by"])
    for n in range(xs.shape[1]):
        h = s_0[n]
        P = np.zeros((H, *total.shape))
        for t in range(len(xs)):
            z = np.concatenate([xs[t, n], h, [1.0]])
            h = np.tanh(Wxh @ xs[t, n] + Whh @ h + bh)
            P = np.einsum("ij,jkl->ikl", Whh, P)
            P[np.arange(H), np.arange(H)] += z
            P *= (1 - h**2)[:, None, None]
            dWhy += np.outer(e[t, n], h)
            dby += e[t, n]
            total += np.einsum("i,ikl->kl", Why.T @ e[t, n], P)
    I = xs.shape[2]
    return {"Wxh": total[:, :I], "Whh": total[:, I:-1], "bh": total[:, -1], "Why": dWhy, "by": dby}
"""

TEXTS = {
    k.lower(): v
    for k, v in list(globals().items())
    if k.isupper() and isinstance(v, str) and "def hand" in v
}
LABELLED = {"scribe_targets"}
MEASURED = {"ends_lengths"}
