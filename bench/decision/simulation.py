"""How often do the statements hold? Simulations with known truth; one table per kind of statement.

    python bench/decision/simulation.py [--studies 400] [--only holdout,model,peers,...]

Each line is one made-up world: many studies are drawn from it, and it is counted how often an interval covers the
truth (should be 93 to 97 % for hold-outs, 93 to 100 % for k-fold), how wide it is, and how wide it is beside the
interval that one could give if the variance of the score were known (at most 1.3 times). Coverage outside is marked
with an exclamation mark.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from nshot import metrics
from nshot.evaluation.comparison import corrected_score, correlations, paired_difference, versus_best
from nshot.evaluation.curves import Point, crossover, fit_curves, gain
from nshot.evaluation.intervals import Block, components, estimate, usual_draws

ACCURACY = metrics.get("accuracy")
MACRO_F1 = metrics.get("macro_f1")


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def logit(p):
    return math.log(p / (1.0 - p))


GRID = np.random.default_rng(99).normal(size=(400_000,))


def mean_of(location, spread, grid=GRID):
    """Return E sigmoid(location + spread Z)."""
    return float(sigmoid(location + spread * grid).mean())


def table(rng, location, draws, row_spread, draw_spread):
    """Return binary scores (draws, rows): rows differ in difficulty, draws in quality."""
    difficulty = rng.normal(size=row_spread[1]) * row_spread[0]
    quality = rng.normal(size=draws) * draw_spread
    p = sigmoid(location + difficulty[None, :] + quality[:, None])
    return (rng.random(p.shape) < p).astype(float)


def hold_out_blocks(scores):
    """Return the blocks of right (1) and wrong (0) answers, shape (draws, rows)."""
    rows = np.arange(scores.shape[1])
    return [Block(r, 0, rows, one[:, None].astype(float)) for r, one in enumerate(scores)]


class Tally:
    """Counts how often intervals cover, and how wide they are beside those with the variance known."""

    def __init__(self, most=0.97):
        self.most, self.hits, self.widths, self.errors = most, [], [], []

    def add(self, interval, score, truth):
        """Count one study."""
        self.hits.append(truth in interval)
        self.widths.append(interval.high - interval.low)
        self.errors.append(score - truth)

    @property
    def coverage(self):
        """Return the share of intervals that cover."""
        return float(np.mean(self.hits))

    def __str__(self):
        width = float(np.mean(self.widths))
        known = 2 * 1.96 * float(np.std(self.errors))
        off = not 0.93 <= self.coverage <= self.most
        return f"{self.coverage:9.3f}{'!' if off else ' '}{width:8.3f}{width / known:8.2f}"


COLUMNS = f"{'coverage':>9} {'width':>8}{'ratio':>8}"


# --- hold-outs -----------------------------------------------------------------------------------------------------


def hold_out(studies):
    print("\nhold-out, binary scores, fresh draw, rho = 0, one candidate alone")
    print(f"{'accuracy':>9}{'draws':>7}{'rows':>6}{'draw sd (logit)':>17}{COLUMNS}")
    rng = np.random.default_rng(1)
    for accuracy in (0.8, 0.95, 0.995):
        for repeats in (3, 5):
            for rows in (32, 64, 300):
                for draw_spread in (0.0, 0.5):
                    location, row_sd = logit(accuracy) * 1.5, 2.0
                    truth, tally = mean_of(location, math.hypot(row_sd, draw_spread)), Tally()
                    for _ in range(studies):
                        blocks = hold_out_blocks(table(rng, location, repeats, (row_sd, rows), draw_spread))
                        got = estimate(blocks, ACCURACY, rho=0.0, target="a fresh draw")
                        tally.add(got.interval, got.score, truth)
                    print(f"{truth:9.3f}{repeats:7d}{rows:6d}{draw_spread:17.2f}{tally}", flush=True)


def this_model(studies):
    print("\nhold-out, this model (one fit, test rows only)")
    print(f"{'metric':>9}{'accuracy':>10}{'rows':>6}{COLUMNS}")
    rng = np.random.default_rng(2)
    for accuracy in (0.7, 0.9, 0.99, 0.998):
        for rows in (16, 32, 64, 300, 1000):
            tally = Tally()
            for _ in range(2 * studies):
                got = estimate(
                    hold_out_blocks(rng.random((1, rows)) < accuracy), ACCURACY, rho=1.0, target="this model"
                )
                tally.add(got.interval, got.score, accuracy)
            print(f"{'accuracy':>9}{accuracy:10.3f}{rows:6d}{tally}", flush=True)
    for rows in (64, 300, 1000):
        shares = SHARES
        confusion = np.full((8, 8), 0.3 / 7) + np.eye(8) * (0.7 - 0.3 / 7)
        joint = shares[:, None] * confusion
        hit = np.diag(joint)
        truth, tally = float(np.mean(2 * hit / (joint.sum(0) + joint.sum(1)))), Tally()
        for _ in range(studies):
            true = rng.choice(8, rows, p=shares)
            answer = (confusion[true].cumsum(1) < rng.random(rows)[:, None]).sum(1)
            block = Block(0, 0, np.arange(rows), np.stack([true, answer], axis=1).astype(float))
            got = estimate([block], MACRO_F1, rho=1.0, target="this model")
            tally.add(got.interval, got.score, truth)
        print(f"{'macro F1':>9}{0.7:10.3f}{rows:6d}{tally}", flush=True)


def peers(studies):
    print("\nfew draws, eight candidates on the same draws, spreads differ, 200 rows: alone, and drawn to the usual")
    print(f"{'draws':>6}{'draw sd (logit)':>17}  alone{COLUMNS}   together{COLUMNS}")
    location, m = logit(0.8) * 1.5, 8
    for repeats in (2, 3, 5):
        for spread in (0.0, 0.3, 0.8):
            rng = np.random.default_rng(repeats)
            alone, together = Tally(), Tally()
            for _ in range(max(studies // 4, 20)):
                spreads = spread * np.exp(rng.normal(size=m) * 0.5)
                blocks = [hold_out_blocks(table(rng, location, repeats, (2.0, 200), one)) for one in spreads]
                usual = usual_draws(blocks, ACCURACY, rho=0.0, target="a fresh draw")
                for own, one in zip(blocks, spreads, strict=True):
                    truth = mean_of(location, math.hypot(2.0, one), GRID[:20_000])
                    for tally, known in ((alone, None), (together, usual)):
                        got = estimate(own, ACCURACY, rho=0.0, target="a fresh draw", usual=known)
                        tally.add(got.interval, got.score, truth)
            print(f"{repeats:6d}{spread:17.2f}       {alone}           {together}", flush=True)


SHARES = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.04, 0.03])


def answers(rng, rows, repeats, spread=0.4):
    """Return blocks of (truth, answer) of 8 unequal classes: rows differ in difficulty, draws in quality by class."""
    k = len(SHARES)
    true = rng.choice(k, rows, p=SHARES)
    wanted = rng.normal(size=rows) * 1.5
    found = []
    for r in range(repeats):
        p = sigmoid(1.5 + wanted + rng.normal() * spread / 2 + (rng.normal(size=k) * spread)[true])
        wrong = (true + 1 + rng.choice(k - 1, rows)) % k
        answer = np.where(rng.random(rows) < p, true, wrong)
        found.append(Block(r, 0, np.arange(rows), np.stack([true, answer], axis=1).astype(float)))
    return found


def macro(studies):
    print("\nmacro F1 of 8 unequal classes, fresh draw: one candidate alone, and with seven peers")
    print(f"{'rows':>6}{'draws':>7}{'smallest class':>16}  alone{COLUMNS}   together{COLUMNS}")
    big = np.random.default_rng(3)
    truth = float(np.mean([MACRO_F1.aggregate(answers(big, 20_000, 1)[0].statistics) for _ in range(200)]))
    fresh = {"rho": 0.0, "target": "a fresh draw"}
    for rows in (100, 300, 1000):
        for repeats in (2, 3, 5):
            rng = np.random.default_rng(rows + repeats)
            alone, together = Tally(), Tally()
            for _ in range(max(studies // 5, 20)):
                blocks = [answers(rng, rows, repeats) for _ in range(8)]
                usual = usual_draws(blocks, MACRO_F1, **fresh)
                for own in blocks[:4]:
                    for tally, known in ((alone, None), (together, usual)):
                        got = estimate(own, MACRO_F1, usual=known, **fresh)
                        tally.add(got.interval, got.score, truth)
            print(f"{rows:6d}{repeats:7d}{rows * 0.03:16.0f}       {alone}           {together}", flush=True)


# --- a real learner whose true accuracy is known exactly ---------------------------------------------------------


class Gaussians:
    """Two Gaussian classes in `width` dimensions; nearest centroid on some of them; exact accuracy of every fit."""

    def __init__(self, width=24, distance=1.6):
        self.width, self.shift = width, np.full(width, distance / 2 / math.sqrt(width))

    def draw(self, rng, n):
        """Return n rows and their classes."""
        y = np.arange(n) % 2
        return rng.normal(size=(n, self.width)) + np.where(y[:, None] == 1, self.shift, -self.shift), y

    def fit(self, x, y, dims):
        """Return the nearest-centroid rule on these dimensions."""
        low, high = x[y == 0][:, dims].mean(0), x[y == 1][:, dims].mean(0)
        w = high - low
        return dims, w, float(-w @ (low + high) / 2)

    def right(self, model, x, y):
        """Return 1.0 per right answer, shape (n, 1)."""
        dims, w, b = model
        return ((x[:, dims] @ w + b > 0) == (y == 1)).astype(float)[:, None]

    def accuracy(self, model):
        """Return the exact accuracy of a fit."""
        from scipy.special import ndtr

        dims, w, b = model
        m, size = w @ self.shift[dims], np.linalg.norm(w)
        return float(0.5 * (ndtr((m + b) / size) + ndtr((m - b) / size)))

    def expected(self, n, dims, draws=4000, seed=5):
        """Return the mean accuracy over fresh draws of n labels."""
        rng = np.random.default_rng(seed)
        return float(np.mean([self.accuracy(self.fit(*self.draw(rng, n), dims)) for _ in range(draws)]))


def order(rng, y):
    """Return a random order whose every prefix of even length is balanced."""
    zeros, ones = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))
    size = min(len(zeros), len(ones))
    return np.stack([zeros[:size], ones[:size]], axis=1).reshape(-1)


def pool(studies):
    print("\nhold-out, nearest centroid, repeats from one pool of N = 256, 300 test rows, 5 repeats")
    print(f"{'n':>6}{'rho':>7}  {'target':<14}{COLUMNS}")
    world, dims = Gaussians(), np.arange(24)
    for n, target in (
        (16, "a fresh draw"),
        (64, "a fresh draw"),
        (120, "a fresh draw"),
        (200, "this pool"),
        (256, "this model"),
    ):
        rng = np.random.default_rng(n)
        fresh, tally = world.expected(n, dims), Tally()
        for _ in range(studies):
            x, y = world.draw(rng, 256)
            tx, ty = world.draw(rng, 300)
            models = [world.fit(x[o], y[o], dims) for o in (order(rng, y)[:n] for _ in range(1 if n == 256 else 5))]
            blocks = [Block(r, 0, np.arange(300), world.right(m, tx, ty)) for r, m in enumerate(models)]
            truth = fresh
            if target == "this pool":
                draws = (order(rng, y)[:n] for _ in range(60))
                truth = np.mean([world.accuracy(world.fit(x[o], y[o], dims)) for o in draws])
            if target == "this model":
                truth = world.accuracy(models[0])
            got = estimate(blocks, ACCURACY, rho=n / 256, target=target)
            tally.add(got.interval, got.score, truth)
        print(f"{n:6d}{n / 256:7.2f}  {target:<14}{tally}", flush=True)


# --- k-fold ----------------------------------------------------------------------------------------------------------


def fold_blocks(rng, world, x, y, repeats, k, n, dims_of, only=None):
    """Return blocks by candidate of repeated k-fold; each fit uses the first n of its fold's training rows."""
    found = {name: [] for name in dims_of}
    for r in range(repeats):
        shuffled = order(rng, y)
        for f in range(k if only is None else only):
            test = np.sort(np.concatenate([shuffled[2 * f :: 2 * k], shuffled[2 * f + 1 :: 2 * k]]))
            rest = np.setdiff1d(np.arange(len(y)), test)
            train = rest[order(rng, y[rest])[:n]]
            for name, dims in dims_of.items():
                model = world.fit(x[train], y[train], dims)
                found[name].append(Block(r, f, test, world.right(model, x[test], y[test])))
    return found


def k_fold(studies):
    print("\nrepeated 5-fold, nearest centroid: coverage for a fresh draw of n")
    print(f"{'rows':>6}{'distance':>10}{'n':>6}{'repeats':>9}{'folds':>7}{COLUMNS}")
    dims = np.arange(24)
    for rows, distance, n, repeats, only in (
        (20, 3.0, 16, 3, None),
        (40, 3.0, 32, 3, None),
        (80, 1.6, 64, 3, None),
        (200, 1.6, 160, 1, None),
        (200, 1.6, 160, 3, None),
        (200, 1.6, 160, 1, 2),
        (200, 1.6, 40, 3, None),
        (200, 1.6, 64, 3, None),
        (200, 5.0, 160, 3, None),
        (80, 5.5, 64, 3, None),
    ):
        world = Gaussians(distance=distance)
        rng = np.random.default_rng(n + repeats)
        truth, tally, held = world.expected(n, dims), Tally(1.0), rows * 4 // 5
        for _ in range(studies // 2):
            x, y = world.draw(rng, rows)
            blocks = fold_blocks(rng, world, x, y, repeats, 5, n, {"a": dims}, only)["a"]
            target = "a fresh draw" if n < held / 2 else "this pool"
            got = estimate(blocks, ACCURACY, rho=n / held, target=target, n_train=held)
            tally.add(got.interval, got.score, truth)
        print(f"{rows:6d}{distance:10.1f}{n:6d}{repeats:9d}{only or 5:7d}{tally}", flush=True)


# --- k-fold, learners of every kind --------------------------------------------------------------------------------


class Classes:
    """Classes as Gaussians with given shares; some labels are wrong."""

    def __init__(self, distance, shares=(0.5, 0.5), width=24, wrong=0.0):
        centres = np.random.default_rng(3).normal(size=(len(shares), width))
        centres = centres - centres.mean(axis=0)
        self.centres = centres / np.linalg.norm(centres, axis=1, keepdims=True) * distance / 2
        self.shares, self.wrong = np.asarray(shares), wrong

    def draw(self, rng, n):
        """Return n rows and their classes, in the shares given."""
        sure = np.repeat(np.arange(len(self.shares)), np.floor(self.shares * n).astype(int))
        y = np.r_[sure, rng.choice(len(self.shares), n - len(sure), p=self.shares)]
        x = rng.normal(size=(n, self.centres.shape[1])) + self.centres[y]
        return x, np.where(rng.random(n) < self.wrong, rng.choice(len(self.shares), n, p=self.shares), y)


def nearest(x, y, tested, neighbours):
    """Return the answers of k nearest neighbours, shape (rows,)."""
    apart = ((tested**2).sum(axis=1)[:, None] - 2 * tested @ x.T) + (x**2).sum(axis=1)
    found = y[np.argpartition(apart, neighbours - 1, axis=1)[:, :neighbours]]
    return np.apply_along_axis(lambda own: np.bincount(own).argmax(), 1, found)


def centroids(x, y, tested):
    """Return the answers of the nearest centroid, shape (rows,)."""
    known = np.unique(y)
    found = np.stack([x[y == label].mean(axis=0) for label in known])
    return known[((found**2).sum(axis=1) - 2 * tested @ found.T).argmin(axis=1)]


def learned(rng, kind, x, y, tested):
    """Return a learner's answers on `tested`, shape (rows,)."""
    if kind.endswith("neighbour"):
        return nearest(x, y, tested, int(kind[0]))
    if kind == "tree":
        from sklearn.tree import DecisionTreeClassifier

        return DecisionTreeClassifier(max_depth=3, random_state=int(rng.integers(1 << 30))).fit(x, y).predict(tested)
    if kind == "ridge":
        weights = np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ np.eye(y.max() + 1)[y])
        return (tested @ weights).argmax(axis=1)
    if kind == "a third of rows":
        own = rng.random(len(y)) < 0.3
        return centroids(x[own], y[own], tested) if own.any() else np.zeros(len(tested), dtype=int)
    answer = centroids(x, y, tested)
    if kind == "collapses":
        spoilt = rng.random(len(answer)) < (0.5 if rng.random() < 0.25 else 0.02)
        return np.where(spoilt, rng.integers(0, y.max() + 1, len(answer)), answer)
    return answer


LEARNERS = ("centroids", "1 neighbour", "5 neighbour", "tree", "ridge", "a third of rows", "collapses")
UNEQUAL = (0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.04, 0.03)


def learners(studies):
    print("\nthree rounds of 5-fold, seven learners (of which one collapses in a quarter of its fits): scores, and all")
    print("paired differences; least: of the learner, or pair of them, that is covered least")
    print(f"{'world':<34}scores{COLUMNS}{'least':>9}   differences{COLUMNS}{'least':>9}")
    for name, world, rows, metric in (
        ("20 rows", Classes(3.0), 20, ACCURACY),
        ("80 rows", Classes(1.6), 80, ACCURACY),
        ("200 rows", Classes(1.6), 200, ACCURACY),
        ("200 rows, 4 dimensions", Classes(1.6, width=4), 200, ACCURACY),
        ("200 rows, 30 % wrong labels", Classes(3.0, wrong=0.3), 200, ACCURACY),
        ("80 rows, ties", Classes(5.0), 80, ACCURACY),
        ("150 rows, 8 classes, macro F1", Classes(6.0, UNEQUAL), 150, MACRO_F1),
    ):
        rng = np.random.default_rng(rows)
        held = rows * 4 // 5
        truth = np.zeros(len(LEARNERS))
        for _ in range(150):
            x, y = world.draw(rng, held)
            tested, wanted = world.draw(rng, 2_000)
            answer = [np.stack([wanted, learned(rng, kind, x, y, tested)], axis=1) for kind in LEARNERS]
            truth += [scored(metric, one) / 150 for one in answer]
        alone = [Tally(1.0) for _ in LEARNERS]
        pairs = {(a, b): Tally(1.0) for a in range(len(LEARNERS)) for b in range(a)}
        for _ in range(max(studies // 4, 20)):
            blocks = blocks_of_learners(rng, world, rows, metric)
            for tally, own, true in zip(alone, blocks, truth, strict=True):
                got = estimate(own, metric, rho=1.0, target="this model", n_train=held)
                tally.add(got.interval, got.score, true)
            for (a, b), tally in pairs.items():
                got = paired_difference(blocks[a], blocks[b], metric, rho=1.0, target="this model", n_train=held)
                tally.add(got.interval, got.mean, truth[a] - truth[b])
        shown = [f"{pooled(own)}{min(one.coverage for one in own):9.2f}" for own in (alone, [*pairs.values()])]
        print(f"{name:<34}      {shown[0]}              {shown[1]}", flush=True)


def scored(metric, answers):
    """Return a metric of (truth, answer) rows."""
    right = (answers[:, :1] == answers[:, 1:]).astype(float)
    return metric.aggregate(right if metric.is_mean else answers.astype(float))


def blocks_of_learners(rng, world, rows, metric):
    """Return three rounds of stratified 5-fold of each learner on the same rows."""
    x, y = world.draw(rng, rows)
    found = [[] for _ in LEARNERS]
    for repeat in range(3):
        dealt = rng.permutation(rows)
        dealt = dealt[np.argsort(y[dealt], kind="stable")]
        for fold in range(5):
            test = np.sort(dealt[fold::5])
            train = np.setdiff1d(dealt, test)
            for own, kind in zip(found, LEARNERS, strict=True):
                answers = np.stack([y[test], learned(rng, kind, x[train], y[train], x[test])], axis=1).astype(float)
                right = (answers[:, :1] == answers[:, 1:]).astype(float)
                own.append(Block(repeat, fold, test, right if metric.is_mean else answers))
    return found


def pooled(tallies):
    """Return the coverage and widths of several tallies together, each beside its own errors."""
    coverage = float(np.mean([one.coverage for one in tallies]))
    width = [float(np.mean(one.widths)) for one in tallies]
    known = [2 * 1.96 * float(np.std(one.errors)) for one in tallies]
    off = not 0.93 <= coverage <= 1.0
    return f"{coverage:9.3f}{'!' if off else ' '}{np.mean(width):8.3f}{np.sum(width) / np.sum(known):8.2f}"


# --- claims ----------------------------------------------------------------------------------------------------------


def pair(rng, design, better):
    """Return the blocks of two candidates, how they are to be compared, and the true difference of the second."""
    rows = int(design.split()[-2])
    repeats = 1 if "model" in design else 3 if "k-fold" in design else 5
    row = 1.2 + rng.normal(size=rows) * 1.5
    apart = rng.normal(size=(2, rows)) * 0.7
    quality = np.array([[0.0], [better]]) + rng.normal(size=(2, repeats)) * (0.0 if "model" in design else 0.15)
    p = sigmoid(row[None, None, :] + apart[:, None, :] + quality[:, :, None])
    right = (rng.random(p.shape) < p).astype(float)
    if "k-fold" in design:
        blocks = [[], []]
        for r in range(repeats):
            shuffled = rng.permutation(rows)
            for f in range(5):
                for own, one in zip(blocks, right, strict=True):
                    own.append(Block(r, f, np.sort(shuffled[f::5]), one[r][np.sort(shuffled[f::5])][:, None]))
    else:
        blocks = [hold_out_blocks(one) for one in right]
    options = {"rho": 1.0, "target": "this model"} if "fresh" not in design else {"rho": 0.0, "target": "a fresh draw"}
    spread = 0.0 if "model" in design else 0.15
    located = [mean_of(1.2 + shift, math.hypot(1.5, 0.7, spread), GRID[:50_000]) for shift in (0.0, better)]
    return blocks, options, located[1] - located[0]


def claims(studies):
    print(
        "\npaired differences of two candidates: coverage and width; called though equal; called the wrong way round;"
    )
    print("called of those that truly differ by more than the printed smallest detectable difference (at least 60 %)")
    print(f"{'design':<28}{COLUMNS}{'equal called':>14}{'wrong way':>11}{'found':>8}")
    designs = ("this model, 64 rows", "this model, 300 rows", "fresh draw, 300 rows", "k-fold x 3, 100 rows")
    for design in (*designs, "k-fold x 3, 400 rows"):
        rng = np.random.default_rng(7)
        tally, called, wrong, found = Tally(1.0 if "k-fold" in design else 0.97), [], [], []
        for study in range(studies):
            better = 0.0 if study % 2 else float(rng.normal() * (2.0 if "64" in design or "100" in design else 1.0))
            (a, b), options, truth = pair(rng, design, better)
            got = paired_difference(b, a, ACCURACY, **options)
            tally.add(got.interval, got.mean, truth)
            said = 0.0 not in got.interval
            if better == 0.0:
                called.append(said)
                continue
            wrong.append(said and got.mean * truth < 0)
            if abs(truth) > got.smallest_detectable:
                found.append(said)
        print(
            f"{design:<28}{tally}{np.mean(called):14.3f}{np.mean(wrong):11.3f}{np.mean(found):8.2f} of {len(found)}",
            flush=True,
        )


def bootstrap_excluded(blocks, options, level=0.95, resamples=1000, seed=0):
    """Return how many are called not the best, critical values by the bootstrap of the maximum.

    Test rows (and draws, where several count) are drawn with replacement; the largest standardised difference from each
    reference, centred, gives the critical value in place of that of `versus_best`. Everything else is the same.
    """
    table = np.stack([[block.statistics[:, 0] for block in own] for own in blocks.values()])  # (m, draws, rows)
    if options["target"] == "this model":
        table = table[:, :1]
    m, draws, rows = table.shape
    rng = np.random.default_rng(seed)
    scores = table.mean(axis=(1, 2))
    redrawn = np.empty((resamples, m))
    for i in range(resamples):
        kept = table[:, rng.integers(0, draws, draws)] if draws > 1 else table
        redrawn[i] = kept[:, :, rng.integers(0, rows, rows)].mean(axis=(1, 2))
    parts = components(list(blocks.values()), ACCURACY, **options)
    called = 0
    for reference in range(m):
        others = [j for j in range(m) if j != reference]
        errors = []
        for j in others:
            contrast = np.eye(m)[reference] - np.eye(m)[j]
            errors.append(math.sqrt(parts.variance(contrast)[0] + 2.0 * float(parts.mistake[0]) ** 2))
        apart = (redrawn[:, [reference]] - redrawn[:, others]) - (scores[reference] - scores[others])
        critical = np.quantile(np.abs(apart / errors).max(axis=1), level)
        called += bool((scores[reference] - scores[others] + critical * np.array(errors) < 0).any())
    return called


def best(studies):
    print("\nequally good candidates: share of them called not the best (of studies in which anybody is), by the joint")
    print("t and by the bootstrap of the maximum; printed score of the pick minus its true one, raw and corrected")
    print(f"{'design':<34}{'candidates':>11}{'joint t':>16}{'bootstrap':>16}{'raw bias':>10}{'corrected':>11}")
    for rows, location, repeats, spread in (
        (32, 1.2, 1, 0.0),
        (64, 1.2, 1, 0.0),
        (300, 1.2, 1, 0.0),
        (100, 7.0, 1, 0.0),
        (200, 1.2, 3, 0.3),
        (200, 1.2, 5, 0.3),
        (200, 1.2, 3, 0.8),
        (200, 1.2, 5, 0.8),
    ):
        for m in (3, 8):
            rng = np.random.default_rng(m)
            options = {"rho": 0.0, "target": "a fresh draw"} if repeats > 1 else {"rho": 1.0, "target": "this model"}
            truth = mean_of(location, math.hypot(1.5, 0.7, spread))
            joint, boot, raw, fixed = [], [], [], []
            for _ in range(max(studies // 2, 20)):
                row = location + rng.normal(size=rows) * 1.5
                apart = rng.normal(size=(m, 1, rows)) * 0.7
                p = sigmoid(row + apart + rng.normal(size=(m, repeats, 1)) * spread)
                right = (rng.random(p.shape) < p).astype(float)
                blocks = {f"c{i}": hold_out_blocks(one) for i, one in enumerate(right)}
                joint.append(sum(one.distinguishable for one in versus_best(blocks, ACCURACY, **options).values()))
                boot.append(bootstrap_excluded(blocks, options, resamples=300))
                scores = {name: float(np.mean([b.statistics.mean() for b in own])) for name, own in blocks.items()}
                got = corrected_score(
                    blocks,
                    ACCURACY,
                    lambda s: max(s, key=s.get),
                    scores=scores,
                    target=options["target"],
                    resamples=100,
                )
                raw.append(got.score - truth)
                fixed.append(got.corrected - truth)
            drawn = f"{repeats} draws of sd {spread}" if repeats > 1 else "1 draw"
            name = f"{rows} rows, {drawn}, {truth:.3f}"
            shown = "".join(
                f"{np.mean(called) / m:9.3f} ({np.mean(np.array(called) > 0):.2f})" for called in (joint, boot)
            )
            print(f"{name:<34}{m:11d}{shown}{np.mean(raw):10.4f}{np.mean(fixed):11.4f}", flush=True)


# --- curves ----------------------------------------------------------------------------------------------------------


LAWS = {
    "0.9 - 1.2 n^-0.5": lambda n: 0.9 - 1.2 * n**-0.5,
    "0.95 - 0.9 n^-0.2": lambda n: 0.95 - 0.9 * n**-0.2,
    "0.85 - 5 n^-1": lambda n: 0.85 - 5.0 * n**-1.0,
    "constant": lambda n: 0.6 + 0.0 * n,
    "sigmoid, middle at 180": lambda n: 0.45 + 0.42 / (1 + (180.0 / n) ** 1.3),
    "sigmoid, middle at 600": lambda n: 0.45 + 0.42 / (1 + (600.0 / n) ** 1.1),
}


def measured(rng, law, ns, shared, own):
    """Return points whose errors have a common part (the test rows, given) and their own, larger at small n."""
    apart = own * np.sqrt(1 + 60 / ns)
    scores = law(ns) + shared + rng.normal(size=len(ns)) * apart
    return scores, apart


def curves(studies):
    print("\nlearning curves: coverage of the score and of the gain at twice and four times the largest n")
    print(f"{'law':<26}{'points':>7}{'score 2x':>10}{'4x':>7}{'gain 2x':>10}{'4x':>7}{'width 2x':>10}{'4x':>7}")
    for size in (3, 4, 5):
        ns = np.array([16.0, 64, 256, 1024, 4096])[:size]
        last = ns[-1]
        for name, law in LAWS.items():
            rng = np.random.default_rng(size)
            hits, widths, count = np.zeros(4), np.zeros(2), max(studies // 2, 20)
            for study in range(count):
                scores, apart = measured(rng, law, ns, rng.normal() * 0.015, 0.008)
                errors = np.hypot(apart, 0.015)
                together = 0.015**2 / np.outer(errors, errors)
                np.fill_diagonal(together, 1.0)
                points = [Point(*one) for one in zip(ns, scores, errors, strict=True)]
                curve = fit_curves({"a": points}, correlation=together, seed=study)["a"]
                for i, times in enumerate((2, 4)):
                    hits[i] += float(law(times * last)) in curve.predict(times * last)[1]
                    more = gain({"a": curve}, last, times * last).interval
                    hits[2 + i] += more.low - 1e-9 <= float(law(times * last) - law(last)) <= more.high + 1e-9
                    widths[i] += more.high - more.low
            hits, widths = hits / count, widths / count
            off = "!" if hits.min() < 0.93 else " "
            print(
                f"{name:<26}{size:7d}{hits[0]:10.3f}{hits[1]:7.3f}{hits[2]:10.3f}{hits[3]:7.3f}"
                f"{widths[0]:10.3f}{widths[1]:7.3f} {off}",
                flush=True,
            )


def studies_of_curves(studies):
    print(
        "\nwhole studies of 10 candidates at 16, 64, 256, 800 labels: the value of more labels, whoever is best then;"
    )
    print("crossovers of the best with all others: covered of those claimed, share of true ones claimed, invented")
    print(
        f"{'candidates':<14}{'gain +40 %':>11}{'2x':>7}{'4x':>7}{'bias 2x':>9}"
        f"{'crossovers':>12}{'found':>8}{'invented':>10}"
    )
    ns = np.array([16.0, 64, 256, 800])
    for kind in ("equal", "2 points apart", "random laws"):
        rng = np.random.default_rng(1)
        gains, bias, covered, found, invented, possible = np.zeros(3), [], [], [], 0, 0
        count = max(studies // 8, 20)
        for study in range(count):
            if kind == "equal":
                laws = [(0.85, 1.0, 0.4)] * 10
            elif kind == "random laws":
                laws = [(rng.uniform(0.75, 0.92), rng.uniform(0.5, 1.6), rng.uniform(0.25, 0.7)) for _ in range(10)]
            else:
                laws = [(0.85 - 0.02 * i, 1.0, 0.4) for i in range(10)]

            def at(n):
                return np.array([a - b * n**-c for a, b, c in laws])  # noqa: B023

            rows = rng.normal() * 0.015
            every = [
                measured(rng, lambda n, i=i: np.array([at(one)[i] for one in n]), ns, rows, 0.008) for i in range(10)
            ]
            errors = np.hypot(every[0][1], 0.015)
            flat = np.tile(errors, 10)
            together = 0.015**2 / np.outer(flat, flat)
            np.fill_diagonal(together, 1.0)
            points = {
                f"c{i}": [Point(*one) for one in zip(ns, scores, errors, strict=True)]
                for i, (scores, _) in enumerate(every)
            }
            fitted = fit_curves(points, correlation=together, seed=study)
            for i, n in enumerate((1120.0, 1600.0, 3200.0)):
                more, truth = gain(fitted, 800, n), float(at(n).max() - at(800.0).max())
                gains[i] += more.interval.low - 1e-9 <= truth <= more.interval.high + 1e-9
                if i == 1:
                    bias.append(more.change - truth)
            grid = np.geomspace(16, 3200, 2000)
            values = np.array([a - b * grid**-c for a, b, c in laws])
            top = int(at(800.0).argmax())
            for other in range(10):
                for one, two in ((top, other), (other, top)):
                    if other == top:
                        continue
                    ahead = values[two] - values[one]
                    true = bool(ahead[0] < -0.01 and ahead[-1] > 0.01)
                    said = crossover(fitted[f"c{one}"], fitted[f"c{two}"], 3200)
                    possible += not (ahead[0] < 0 < ahead[-1])
                    if said is not None:
                        inside = ahead[0] < 0 < ahead[-1] and grid[np.argmax(ahead > 0)] in said.interval
                        covered.append(inside)
                        invented += not (ahead[0] < 0 < ahead[-1])
                    if true:
                        found.append(said is not None)
        print(
            f"{kind:<14}{gains[0] / count:11.3f}{gains[1] / count:7.3f}{gains[2] / count:7.3f}{np.mean(bias):9.4f}"
            f"{np.mean(covered) if covered else float('nan'):9.3f} of {len(covered):<4d}"
            f"{np.mean(found) if found else float('nan'):5.2f}{invented / max(possible, 1):10.4f}",
            flush=True,
        )


def joint(studies):
    print("\ncorrelations of scores: what `correlations` says beside what many studies show")
    rng = np.random.default_rng(5)
    said, scores = [], []
    for _ in range(studies):
        row = 1.2 + rng.normal(size=200) * 1.5
        right = (rng.random((2, 3, 200)) < sigmoid(row)).astype(float)
        blocks = [hold_out_blocks(right[0]), hold_out_blocks(right[1][:1])]
        errors = [estimate(own, ACCURACY, rho=0.0, target="a fresh draw").standard_error for own in blocks]
        said.append(correlations(blocks, errors, ACCURACY)[0, 1])
        scores.append([right[0].mean(), right[1][0].mean()])
    seen = np.corrcoef(np.transpose(scores))[0, 1]
    print(f"3 draws and 1 draw of equal methods: said {np.mean(said):.3f}, seen {seen:.3f}")


PARTS = {
    "holdout": hold_out,
    "model": this_model,
    "peers": peers,
    "macro": macro,
    "pool": pool,
    "kfold": k_fold,
    "learners": learners,
    "claims": claims,
    "best": best,
    "curves": curves,
    "studies": studies_of_curves,
    "joint": joint,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    for name in options.only.split(","):
        started = time.process_time()
        PARTS[name](options.studies)
        print(f"({time.process_time() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
