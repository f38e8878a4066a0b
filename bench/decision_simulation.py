"""How often do the 95 % intervals hold what they say? Simulations with known truth; prints one table per target.

    python bench/decision_simulation.py [--studies 1000] [--only holdout,few_draws,pool,kfold,macro,compare,curves]

Each line is one made-up world: many studies are drawn from it, and it is counted how often the interval covers the
truth (should be 95 %), and how often a pick's printed score is above the truth on average (should be 0).
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from nshot import metrics
from nshot.evaluation.comparison import corrected_score, paired_difference, versus_best
from nshot.evaluation.curves import crossover, fit_curve, gain
from nshot.evaluation.intervals import Block, components, estimate, score_interval, t_quantile

ACCURACY = metrics.get("accuracy")


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def logit(p):
    return math.log(p / (1.0 - p))


GRID = np.random.default_rng(99).normal(size=(400_000,))


def mean_of(location, spread):
    """Return E sigmoid(location + spread Z)."""
    return float(sigmoid(location + spread * GRID).mean())


def table(rng, location, draws, row_spread, draw_spread):
    """Return binary scores (draws, rows): rows differ in difficulty, draws in quality."""
    difficulty = rng.normal(size=row_spread[1]) * row_spread[0]
    quality = rng.normal(size=draws) * draw_spread
    p = sigmoid(location + difficulty[None, :] + quality[:, None])
    return (rng.random(p.shape) < p).astype(float)


def hold_out_blocks(scores):
    rows = np.arange(scores.shape[1])
    return [Block(r, 0, rows, one[:, None]) for r, one in enumerate(scores)]


def wald(parts):
    variance, freedom = parts.variance(np.ones(1))
    half = t_quantile(0.975, freedom) * math.sqrt(variance)
    return parts.scores[0] - half, parts.scores[0] + half


def hold_out(studies):
    print("\nhold-out, binary scores, fresh draw, rho = 0: coverage of 95 %")
    print(f"{'accuracy':>9}{'draws':>7}{'rows':>6}{'draw sd':>9}{'wilson-t':>10}{'wald-t':>8}{'width':>8}")
    rng = np.random.default_rng(1)
    for accuracy in (0.8, 0.95, 0.99):
        for repeats in (3, 5, 10):
            for rows in (100, 200, 400):
                for draw_spread in (0.0, 0.3, 0.8):
                    location, row_sd = logit(accuracy) * 1.5, 2.0
                    truth = mean_of(location, math.hypot(row_sd, draw_spread))
                    hits = walds = width = 0.0
                    for _ in range(studies):
                        blocks = hold_out_blocks(table(rng, location, repeats, (row_sd, rows), draw_spread))
                        got = estimate(blocks, ACCURACY, rho=0.0, target="a fresh draw").interval
                        low, high = wald(components([blocks], ACCURACY, rho=0.0, target="a fresh draw"))
                        hits += truth in got
                        walds += low <= truth <= high
                        width += got.high - got.low
                    sd = np.std(sigmoid(location + draw_spread * GRID[:20000, None] + row_sd * GRID[None, :50]).mean(1))
                    print(
                        f"{truth:9.3f}{repeats:7d}{rows:6d}{sd:9.3f}"
                        f"{hits / studies:10.3f}{walds / studies:8.3f}{width / studies:8.3f}",
                        flush=True,
                    )


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
    print(f"{'n':>6}{'rho':>7}  {'target':<14}{'coverage':>9}{'without the overlap term':>26}{'width':>8}")
    world, dims = Gaussians(), np.arange(24)
    for n, target in (
        (16, "a fresh draw"),
        (64, "a fresh draw"),
        (120, "a fresh draw"),
        (200, "this pool"),
        (256, "this model"),
    ):
        rng = np.random.default_rng(n)
        fresh = world.expected(n, dims)
        hits = plain = width = 0.0
        for _ in range(studies):
            x, y = world.draw(rng, 256)
            tx, ty = world.draw(rng, 300)
            models = [world.fit(x[o], y[o], dims) for o in (order(rng, y)[:n] for _ in range(1 if n == 256 else 5))]
            blocks = [Block(r, 0, np.arange(300), world.right(m, tx, ty)) for r, m in enumerate(models)]
            truth = fresh
            if target == "this pool":
                truth = np.mean(
                    [world.accuracy(world.fit(x[o], y[o], dims)) for o in (order(rng, y)[:n] for _ in range(60))]
                )
            if target == "this model":
                truth = world.accuracy(models[0])
            got = estimate(blocks, ACCURACY, rho=n / 256, target=target).interval
            hits += truth in got
            width += got.high - got.low
            plain += truth in estimate(blocks, ACCURACY, rho=None, target=target).interval
        print(
            f"{n:6d}{n / 256:7.2f}  {target:<14}{hits / studies:9.3f}{plain / studies:26.3f}{width / studies:8.3f}",
            flush=True,
        )


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
    print("\nrepeated 5-fold, nearest centroid, N = 200 (160 to train): coverage of 95 % for a fresh draw of n")
    print(f"{'n':>6}{'repeats':>9}{'folds':>7}{'coverage':>10}{'width':>8}")
    world, dims = Gaussians(), np.arange(24)
    for n, repeats, only in (
        (160, 1, None),
        (160, 3, None),
        (160, 5, None),
        (160, 1, 2),
        (40, 3, None),
        (64, 3, None),
        (64, 1, None),
    ):
        rng = np.random.default_rng(n + repeats)
        truth = world.expected(n, dims)
        hits = width = 0.0
        for _ in range(studies):
            x, y = world.draw(rng, 200)
            blocks = fold_blocks(rng, world, x, y, repeats, 5, n, {"a": dims}, only)["a"]
            target = "a fresh draw" if n < 80 else "this pool"
            got = estimate(blocks, ACCURACY, rho=n / 160, target=target, n_train=160).interval
            hits += truth in got
            width += got.high - got.low
        print(f"{n:6d}{repeats:9d}{only or 5:7d}{hits / studies:10.3f}{width / studies:8.3f}", flush=True)


def comparisons(studies):
    print("\ntwo and more candidates of equal true accuracy (nearest centroid on 12 of 24 dimensions)")
    print("coverage of the paired difference; wrong 'differs' and wrong 'distinguishable' (any candidate), nominal 5 %")
    print(
        f"{'design':<22}{'candidates':>11}{'coverage':>10}{'differs':>9}{'behind':>8}{'raw bias':>10}{'corrected':>11}"
    )
    world = Gaussians()
    for design in ("hold-out, 5 of 256", "hold-out, 3 of 256", "hold-out, this model", "5-fold x 1", "5-fold x 3"):
        for m in (2, 12):
            rng = np.random.default_rng(m)
            dims_of = {f"c{i}": np.sort((np.arange(12) + 2 * i) % 24) for i in range(m)}
            cover = behind = 0.0
            raw, corrected = [], []
            for _ in range(studies):
                x, y = world.draw(rng, 256 if design.startswith("hold") else 200)
                if design.startswith("hold"):
                    tx, ty = world.draw(rng, 200)
                    n, repeats = (256, 1) if design.endswith("model") else (64, int(design[10]))
                    orders = [order(rng, y)[:n] for _ in range(repeats)]
                    fits = {c: [world.fit(x[o], y[o], d) for o in orders] for c, d in dims_of.items()}
                    blocks = {
                        c: [Block(r, 0, np.arange(200), world.right(f, tx, ty)) for r, f in enumerate(models)]
                        for c, models in fits.items()
                    }
                    rho, target = (n / 256, "this model" if repeats == 1 else "a fresh draw")
                    truths = {c: np.mean([world.accuracy(f) for f in models]) for c, models in fits.items()}
                else:
                    blocks = fold_blocks(rng, world, x, y, int(design[-1]), 5, 160, dims_of)
                    rho, target, truths = 0.8, "this pool", dict.fromkeys(dims_of, None)
                difference = paired_difference(
                    blocks["c0"], blocks["c1"], ACCURACY, rho=rho, target=target, n_train=160
                )
                truth = truths["c0"] - truths["c1"] if target == "this model" else 0.0
                cover += truth in difference.interval
                best = versus_best(blocks, ACCURACY, rho=rho, target=target, n_train=160)
                if target == "this model":
                    top = max(truths, key=truths.get)
                    behind += best[top].distinguishable
                else:
                    behind += any(b.distinguishable for b in best.values())
                fixed = corrected_score(blocks, ACCURACY, lambda s: max(s, key=s.get), target=target, resamples=200)
                true = truths[fixed.picked]
                true = world_truth(world, dims_of[fixed.picked]) if true is None else true
                raw.append(fixed.score - true)
                corrected.append(fixed.corrected - true)
            print(
                f"{design:<22}{m:11d}{cover / studies:10.3f}{1 - cover / studies:9.3f}{behind / studies:8.3f}"
                f"{np.mean(raw):10.4f}{np.mean(corrected):11.4f}",
                flush=True,
            )


_TRUTHS = {}


def world_truth(world, dims):
    if "x" not in _TRUTHS:
        _TRUTHS["x"] = world.expected(160, dims)
    return _TRUTHS["x"]


def macro(studies):
    print("\nmacro F1 of 8 unequal classes, fresh draw (rows differ in difficulty, draws in quality): coverage of 95 %")
    print(f"{'rows':>6}{'draws':>7}{'smallest class':>16}{'coverage':>10}{'mean score':>12}{'truth':>8}")
    f1 = metrics.get("macro_f1")
    shares = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.04, 0.03])
    k = len(shares)

    def world(rng, rows, repeats):
        true = rng.choice(k, rows, p=shares)
        wanted = rng.normal(size=rows) * 1.5
        answers = []
        for _ in range(repeats):
            p = sigmoid(1.5 + wanted + rng.normal() * 0.2 + (rng.normal(size=k) * 0.4)[true])
            wrong = (true + 1 + rng.choice(k - 1, rows)) % k
            answers.append(np.where(rng.random(rows) < p, true, wrong))
        return [Block(r, 0, np.arange(rows), np.stack([true, a], axis=1).astype(float)) for r, a in enumerate(answers)]

    big = np.random.default_rng(3)
    truth = float(np.mean([f1.aggregate(world(big, 40_000, 1)[0].statistics) for _ in range(300)]))
    for rows in (100, 300, 1000):
        for repeats in (3, 5):
            rng = np.random.default_rng(rows + repeats)
            hits, scores = 0.0, []
            for _ in range(studies):
                got = estimate(world(rng, rows, repeats), f1, rho=0.0, target="a fresh draw")
                hits += truth in got.interval
                scores.append(got.score)
            print(
                f"{rows:6d}{repeats:7d}{rows * 0.03:16.0f}{hits / studies:10.3f}{np.mean(scores):12.3f}{truth:8.3f}",
                flush=True,
            )


def generalised(parts):
    """Return the half-width of Weerahandi's generalised interval: normal with the variances' fiducial distribution."""
    from scipy.special import chdtri, ndtr

    of_repeats, of_rows, rest = (float(square[0, 0]) for square in parts.repeats_by_rows)
    chi = chdtri(parts.repeats - 1, (np.arange(400) + 0.5) / 400)
    draws = np.maximum(0.0, of_repeats * (parts.repeats - 1) / chi - rest) / parts.rows
    errors = np.sqrt(of_rows / (parts.repeats * parts.rows) + parts.weight_of_draws * draws)
    low, high = 0.0, 60.0 * float(errors.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if ndtr(middle / errors).mean() < 0.975 else (low, middle)
    return high


def few_draws(studies):
    print("\nfew draws: Satterthwaite's t (what nshot uses) against the generalised interval; 200 rows")
    print(f"{'draws':>6}{'draw sd (logit)':>17}{'satterthwaite':>15}{'width':>8}{'generalised':>13}{'width':>8}")
    rng, location = np.random.default_rng(1), logit(0.8) * 1.5
    for repeats in (2, 3, 5, 10):
        for spread in (0.0, 0.15, 0.3, 0.8):
            truth = mean_of(location, math.hypot(2.0, spread))
            hits, widths = np.zeros(2), np.zeros(2)
            for _ in range(studies):
                blocks = hold_out_blocks(table(rng, location, repeats, (2.0, 200), spread))
                one = estimate(blocks, ACCURACY, rho=0.0, target="a fresh draw").interval
                parts = components([blocks], ACCURACY, rho=0.0, target="a fresh draw")
                variance = (generalised(parts) / 1.96) ** 2
                two = score_interval(float(parts.scores[0]), variance, 1e6, metric=ACCURACY, mistake=1 / 200)
                hits += truth in one, truth in two
                widths += one.high - one.low, two.high - two.low
            hits, widths = hits / studies, widths / studies
            print(
                f"{repeats:6d}{spread:17.2f}{hits[0]:15.3f}{widths[0]:8.3f}{hits[1]:13.3f}{widths[1]:8.3f}", flush=True
            )


def curves(studies):
    print("\nlearning curves from 16 to 512 labels, true law known: coverage of 95 %")
    print(
        f"{'error of a point':>17}{'score at 1024':>15}{'gain 512-1024':>15}"
        f"{'crossover':>11}{'claimed':>9}{'invented':>10}"
    )
    ns = np.array([16.0, 32, 64, 128, 256, 512])

    def law(n, a, b):
        return a - b * np.asarray(n, dtype=float) ** -0.5

    for error in (0.005, 0.01, 0.02):
        rng = np.random.default_rng(3)
        at, more, crossed, claimed, invented = 0, 0, 0, 0, 0
        count = max(studies // 4, 20)
        for study in range(count):

            def fitted(a, b, seed):
                return fit_curve(ns, law(ns, a, b) + rng.normal(size=6) * error, [error] * 6, seed)  # noqa: B023

            early, late, equal = (
                fitted(0.8, 0.6, 3 * study),
                fitted(0.9, 1.6, 3 * study + 1),
                fitted(0.8, 0.6, 3 * study + 2),
            )
            at += float(law(1024, 0.9, 1.6)) in late.predict(1024)[1]
            more += float(law(1024, 0.9, 1.6) - law(512, 0.9, 1.6)) in gain(late, 512, 1024)[1]
            found = crossover(early, late, 2048)
            claimed += found is not None
            crossed += found is not None and 100.0 in found.interval
            invented += crossover(early, equal, 2048) is not None
        share = crossed / claimed if claimed else float("nan")
        print(
            f"{error:17.3f}{at / count:15.3f}{more / count:15.3f}"
            f"{share:11.3f}{claimed / count:9.3f}{invented / count:10.3f}",
            flush=True,
        )


PARTS = {
    "holdout": hold_out,
    "few_draws": few_draws,
    "pool": pool,
    "kfold": k_fold,
    "macro": macro,
    "compare": comparisons,
    "curves": curves,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    for name in options.only.split(","):
        started = time.perf_counter()
        PARTS[name](options.studies)
        print(f"({time.perf_counter() - started:.0f} s)")


if __name__ == "__main__":
    main()
