"""Records as a comparison leaves them: 12 labels, 77 labels, 2 labels, written answers, and next to nothing."""

from __future__ import annotations

import copy
import csv
import math
import random
from pathlib import Path
from typing import Any

import pytest

BACKBONE = "all-MiniLM-L6-v2"
TICKETS = [
    "app_crash",
    "billing_dispute",
    "cancel_order",
    "change_address",
    "damaged_item",
    "delivery_delay",
    "discount_code",
    "invoice_copy",
    "login_problem",
    "product_question",
    "refund_request",
    "warranty_claim",
]
SENTENCES = (
    "You took £249 but the price at checkout was £219. Explain the thirty pounds please.",
    "The app closes as soon as I open my basket, on two phones now.",
    "Parcel says delivered. It is not. The neighbours have not got it either.",
    "I want my money back for the kettle, it leaks, and no I do not want another one.",
    "How long does the guarantee on the blue one run?",
)


def _curve(name: str, family: str, role: str, sizes: list[int], scores: list[float], n_test: int) -> dict[str, Any]:
    points = []
    for n, score in zip(sizes, scores, strict=True):
        half = 1.96 * math.sqrt(max(score * (1 - score), 0.01) / n_test) + 0.08 / math.sqrt(max(n, 4))
        last = n == sizes[-1] and n > 0
        points.append(
            {
                "n_labels": n,
                "score": score,
                "interval": [round(max(0, score - half), 4), round(min(1, score + half), 4)],
                "repeats": 1 if n == 0 else 5,
                "target": "this model" if last or n == 0 else "a fresh draw" if n < sizes[-1] / 2 else "this pool",
                "marked": "one repeat: the interval covers test rows only" if n == 0 else None,
            }
        )
    band = []
    if sizes[-1] > 0:
        grid = [sizes[0] * (sizes[-1] * 4 / sizes[0]) ** (i / 24) for i in range(25)]
        ceiling, gap = scores[-1] + 0.05, scores[-1] + 0.05 - scores[0]
        rate = math.log(gap / 0.05) / math.log(sizes[-1] / sizes[0])
        for n in grid:
            mean = ceiling - gap * (n / sizes[0]) ** -rate
            half = 0.02 + 0.1 / math.sqrt(n) + (0.02 * math.log(n / sizes[-1]) if n > sizes[-1] else 0)
            band.append({"n_labels": n, "score": mean, "low": mean - half, "high": min(1.0, mean + half)})
    return {"candidate": name, "family": family, "points": points, "band": band, "role": role}


def _entry(curve: dict[str, Any], best: float, fit: float, latency: float, size: int) -> dict[str, Any]:
    point = curve["points"][-1]
    method = curve["candidate"].split(":")[0]
    has_backbone = ":" in curve["candidate"]
    return {
        "candidate": curve["candidate"],
        "method": method,
        "family": curve["family"],
        "backbone": BACKBONE if has_backbone else None,
        "options": {},
        "n_labels": point["n_labels"],
        "repeats": point["repeats"],
        "target": point["target"],
        "score": point["score"],
        "interval": point["interval"],
        "scores": {"accuracy": {"score": point["score"] + 0.01, "interval": point["interval"]}},
        "versus_best": {
            "mean": point["score"] - best,
            "interval": [point["score"] - best - 0.02, point["score"] - best + 0.02],
        },
        "distinguishable": point["score"] < best - 0.02,
        "status": "stopped" if curve["role"] == "stopped" else "complete",
        "fit_seconds": fit,
        "milliseconds_per_example": latency,
        "peak_memory_bytes": 410_000_000 + int(fit * 1e7),
        "artefact_bytes": size,
        "money": None,
    }


def _confusion(
    labels: list[str], n_test: int, accuracy: float, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    source = random.Random(seed)
    size = len(labels)
    matrix = [[0] * size for _ in labels]
    weights = [source.uniform(0.4, 2.0) for _ in labels]
    for _ in range(n_test):
        i = source.choices(range(size), weights)[0]
        wrong = (i + source.choice((1, 1, 1, 2, size - 1, source.randrange(size)))) % size
        matrix[i][i if source.random() < accuracy - 0.04 * (i % 4) else wrong] += 1
    per_class = []
    for i, label in enumerate(labels):
        right, said, support = matrix[i][i], sum(row[i] for row in matrix), sum(matrix[i])
        precision, recall = right / said if said else 0.0, right / support if support else 0.0
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        per_class.append({"label": label, "precision": precision, "recall": recall, "f1": f1, "support": support})
    return {"labels": labels, "matrix": matrix}, per_class


def _details(name: str, labels: list[str], n_train: int, n_test: int, accuracy: float, seed: int) -> dict[str, Any]:
    source = random.Random(seed)
    confusion, per_class = _confusion(labels, n_test, accuracy, seed)
    mistakes = []
    for i in range(12):
        label, predicted = source.sample(labels, 2)
        text = SENTENCES[i % len(SENTENCES)]
        mistakes.append(
            {
                "row": source.randrange(n_train),
                "text": text,
                "label": label,
                "predicted": predicted,
                "probability": 0.97 - i * 0.02,
            }
        )
    bins = [
        {"confidence": (i + 0.5) / 10, "accuracy": min(1.0, (i + 0.5) / 10 + 0.06), "count": 4 + i * i}
        for i in range(1, 10)
    ]
    return {
        "data": {
            "name": name,
            "rows": n_train,
            "text": "message",
            "label": "queue",
            "n_train": n_train,
            "n_test": n_test,
            "recognised": f"Read {name} as comma-separated values: texts in 'message', labels in 'queue' "
            "(--text, --label to choose others).",
            "labels": [
                {"label": label, "count": n_train // len(labels) + i % 7, "description": None}
                for i, label in enumerate(labels)
            ],
            "protocol": "5-fold, near-duplicates kept together, 3 repeats",
            "metric_name": "macro F1",
            "metric_explained": "Macro F1 is the mean of every label's F1, so a rare label counts like a frequent one.",
        },
        "confusion": confusion,
        "per_class": per_class,
        "mistakes": mistakes,
        "calibration": {"bins": bins},
        "reproduce": {
            "command": f"nshot compare {name} --seed 0",
            "seed": 0,
            "versions": {"nshot": "0.1.0", "torch": "2.13.0", "transformers": "5.1.0", "python": "3.11.9"},
            "machine": {"processor": "2 cores, AVX512-BF16", "memory_bytes": 16_800_000_000, "system": "Linux"},
            "data_fingerprint": "5f1c0a6f2d0b9e77aa31c4e0d9f8b612",
        },
        "outputs": {
            "report": f"{name.split('.', maxsplit=1)[0]}.nshot/report.html",
            "model": f"{name.split('.', maxsplit=1)[0]}.nshot/model",
            "predict": f"nshot predict {name.split('.', maxsplit=1)[0]}.nshot/model -",
        },
    }


def _training(candidate: str, runs: int, restarts: int, rate: float) -> dict[str, Any]:
    losses = [round(2.4 * math.exp(-i / 30) + 0.05, 5) for i in range(100)]
    return {
        "candidate": candidate,
        "n_labels": 843,
        "runs": runs,
        "steps": 212,
        "examples_seen": 6784,
        "learning_rate": rate,
        "precision": "bf16",
        "restarts": restarts,
        "micro_batch_halvings": 0,
        "losses": losses,
        "low": [round(value * 0.9, 5) for value in losses],
        "high": [round(value * 1.2, 5) for value in losses],
    }


def tickets_record() -> dict[str, Any]:
    """Return the record of 12 labels on 1,204 texts: a tie that the cheap way wins, a crossover ahead."""
    sizes = [16, 64, 256, 843]
    wanted = (
        ("primed_probe", "few-shot", "pick", sizes, [0.63, 0.74, 0.82, 0.86], 0.4, 0.9, 42_000),
        ("full_finetune", "fine-tuning", "same", sizes, [0.41, 0.69, 0.82, 0.852], 56.0, 1.1, 91_000_000),
        ("lora", "fine-tuning", "same", sizes, [0.44, 0.66, 0.80, 0.843], 61.0, 1.1, 1_200_000),
        ("linear_probe", "few-shot", "behind", sizes, [0.50, 0.70, 0.80, 0.83], 0.3, 0.9, 38_000),
        ("label_similarity", "zero-shot", "behind", [0], [0.61], 0.0, 0.9, 18_000),
        ("tfidf_linear", "baseline", "behind", sizes, [0.30, 0.48, 0.66, 0.75], 0.2, 0.1, 310_000),
        ("head_finetune", "fine-tuning", "stopped", [16, 64], [0.22, 0.41], 9.0, 1.1, 80_000),
        ("majority", "baseline", "behind", sizes, [0.02, 0.02, 0.02, 0.02], 0.001, 0.001, 200),
    )
    curves, board = [], []
    for name, family, role, ns, scores, fit, latency, size in wanted:
        candidate = name if family == "baseline" else f"{name}:{BACKBONE}"
        curve = _curve(candidate, family, role, ns, scores, 361)
        curves.append(curve)
        board.append(_entry(curve, 0.86, fit, latency, size))
    details = _details("tickets.csv", TICKETS, 1204, 361, 0.88, 1)
    details["data"]["protocol"] = "held out to test: 361, near-duplicates kept together"
    details["curves"] = curves
    details["timeline"] = [
        {
            "candidate": curve["candidate"],
            "n_labels": point["n_labels"],
            "seconds": entry["fit_seconds"] * 3,
            "started": 1.0 * i,
        }
        for i, (curve, entry) in enumerate(zip(curves, board, strict=True))
        for point in curve["points"]
    ]
    details["training"] = [
        _training(f"full_finetune:{BACKBONE}", runs=5, restarts=2, rate=2e-4),
        _training(f"lora:{BACKBONE}", runs=1, restarts=0, rate=2e-3),
    ]
    verdict = {
        "schema": 1,
        "task": "classify",
        "metric": "macro_f1",
        "n_labels": 843,
        "n_test": 361,
        "model_n_labels": 1204,
        "pick": {
            "candidate": f"primed_probe:{BACKBONE}",
            "method": "primed_probe",
            "family": "few-shot",
            "backbone": BACKBONE,
            "n_labels": 843,
            "target": "this model",
            "score": 0.858,
            "interval": [0.83, 0.89],
            "score_as_measured": 0.862,
        },
        "because": [
            "full_finetune scores the same, as far as 361 rows can tell (-0.01 [-0.03, +0.02]), "
            "and takes 140 times as long to fit.",
            "Without any label, label_similarity reaches 0.61 [0.57, 0.65].",
        ],
        "leaderboard": board,
        "crossovers": [
            {
                "from": f"label_similarity:{BACKBONE}",
                "to": f"primed_probe:{BACKBONE}",
                "n_labels": 15,
                "interval": [9, 24],
            },
            {
                "from": f"primed_probe:{BACKBONE}",
                "to": f"full_finetune:{BACKBONE}",
                "n_labels": 2500,
                "interval": [1600, 3300],
            },
        ],
        "more_labels": [{"n_labels": 1143, "gain": 0.02, "interval": [0.0, 0.04]}],
        "smallest_detectable_difference": 0.024,
        "checks": [
            {
                "code": "N101",
                "title": "17 near-duplicate pairs",
                "severity": "note",
                "explanation": "17 pairs of texts differ in a few characters only. "
                "They were kept on the same side of every split.",
                "advice": "Nothing to do; drop one of each pair if they are the same message.",
                "count": 17,
                "rows": [3, 71, 90, 118],
                "details": {},
            },
            {
                "code": "N104",
                "title": "9 texts carry two labels",
                "severity": "issue",
                "explanation": "9 texts stand in the file twice with different labels; no model is right about both.",
                "advice": "Decide which label is right and remove the other row.",
                "count": 9,
                "rows": [12, 77, 145, 460],
                "details": {},
            },
        ],
        "skipped": [
            {"candidate": f"from_scratch:{BACKBONE}", "n_labels": n, "reason": "would not fit the 5 min; --budget 8m"}
            for n in sizes
        ],
        "seconds": 287.0,
    }
    return {"verdict": verdict, "details": details}


def banking_record() -> dict[str, Any]:
    """Return a record of 77 labels, narrow intervals, where fine-tuning wins."""
    record = tickets_record()
    things = [
        "card",
        "transfer",
        "top_up",
        "refund",
        "cash",
        "exchange",
        "pin",
        "account",
        "payment",
        "fee",
        "beneficiary",
    ]
    matters = ["pending", "declined", "not_recognised", "wrong_amount", "limits", "how_to", "delay"]
    labels = [f"{thing}_{matter}" for thing in things for matter in matters]
    sizes = [77, 154, 308, 770, 1540, 3850, 10003]
    wanted = (
        (
            "full_finetune",
            "fine-tuning",
            "pick",
            sizes,
            [0.21, 0.44, 0.62, 0.79, 0.853, 0.902, 0.934],
            412.0,
            1.2,
            91_000_000,
        ),
        ("lora", "fine-tuning", "same", sizes, [0.25, 0.46, 0.64, 0.792, 0.851, 0.9, 0.93], 388.0, 1.3, 1_400_000),
        ("primed_probe", "few-shot", "behind", sizes, [0.70, 0.75, 0.79, 0.847, 0.87, 0.893, 0.912], 3.1, 0.9, 240_000),
        ("linear_probe", "few-shot", "behind", sizes, [0.52, 0.66, 0.75, 0.83, 0.861, 0.89, 0.911], 2.2, 0.9, 240_000),
        ("prototypes", "few-shot", "behind", sizes, [0.53, 0.66, 0.735, 0.79, 0.8, 0.81, 0.815], 0.05, 0.9, 120_000),
        ("label_similarity", "zero-shot", "behind", [0], [0.622], 0.0, 0.9, 118_000),
        ("tfidf_linear", "baseline", "behind", sizes, [0.19, 0.33, 0.49, 0.66, 0.75, 0.82, 0.87], 1.9, 0.1, 2_100_000),
        ("majority", "baseline", "behind", sizes, [0.0003] * 7, 0.001, 0.001, 900),
    )
    curves, board = [], []
    for name, family, role, ns, scores, fit, latency, size in wanted:
        candidate = name if family == "baseline" else f"{name}:{BACKBONE}"
        curve = _curve(candidate, family, role, ns, scores, 3080)
        curves.append(curve)
        board.append(_entry(curve, 0.934, fit, latency, size))
    verdict = record["verdict"]
    pick = {
        **verdict["pick"],
        "candidate": f"full_finetune:{BACKBONE}",
        "method": "full_finetune",
        "family": "fine-tuning",
    }
    pick.update(n_labels=10003, score=0.9331, interval=[0.9242, 0.9419], score_as_measured=0.9340)
    verdict.update(
        n_labels=10003,
        n_test=3080,
        model_n_labels=10003,
        pick=pick,
        leaderboard=board,
        because=["primed_probe is worse by 0.022 [0.014, 0.031], which is more than the 0.005 that a gain is worth."],
        crossovers=[
            {
                "from": f"label_similarity:{BACKBONE}",
                "to": f"primed_probe:{BACKBONE}",
                "n_labels": 42,
                "interval": [30, 60],
            },
            {
                "from": f"primed_probe:{BACKBONE}",
                "to": f"full_finetune:{BACKBONE}",
                "n_labels": 2900,
                "interval": [2100, 3900],
            },
        ],
        more_labels=[{"n_labels": 20006, "gain": 0.004, "interval": [0.001, 0.008]}],
        smallest_detectable_difference=0.009,
        skipped=[],
    )
    details = _details("banking77.csv", labels, 10003, 3080, 0.95, 2)
    details["data"]["protocol"] = "tested on the 3,080 rows of test.csv, which were never trained on"
    details["curves"] = curves
    return {"verdict": verdict, "details": details}


def binary_record() -> dict[str, Any]:
    """Return a record of 2 labels where the test cannot tell and zero-shot is the pick."""
    record = tickets_record()
    labels = ["negative", "positive"]
    sizes = [16, 32, 64]
    wanted = (
        ("label_similarity", "zero-shot", "pick", [0], [0.81], 0.0, 0.8, 3_000),
        ("primed_probe", "few-shot", "same", sizes, [0.70, 0.76, 0.8], 0.1, 0.8, 4_000),
        ("majority", "baseline", "behind", sizes, [0.34, 0.34, 0.34], 0.001, 0.001, 100),
    )
    curves, board = [], []
    for name, family, role, ns, scores, fit, latency, size in wanted:
        candidate = name if family == "baseline" else f"{name}:{BACKBONE}"
        curve = _curve(candidate, family, role, ns, scores, 40)
        curve["band"] = []
        curves.append(curve)
        board.append(_entry(curve, 0.81, fit, latency, size))
    record["verdict"].update(
        n_labels=64,
        n_test=40,
        model_n_labels=64,
        leaderboard=board,
        because=["The test cannot tell label_similarity and primed_probe apart; label_similarity costs no labels."],
        crossovers=[],
        more_labels=[],
        smallest_detectable_difference=0.17,
        checks=[],
        skipped=[],
        seconds=4.2,
    )
    pick = record["verdict"]["pick"]
    pick.update(candidate=f"label_similarity:{BACKBONE}", method="label_similarity", family="zero-shot", n_labels=0)
    pick.update(score=0.81, interval=[0.68, 0.91], score_as_measured=0.81)
    details = _details("reviews.csv", labels, 104, 40, 0.84, 3)
    details["curves"] = curves
    return {"verdict": record["verdict"], "details": details}


MODEL = "stories260K"
DINERS = [
    (
        "name[Blue Spice], eatType[coffee shop], area[city centre]",
        [
            "A coffee shop in the city centre area called Blue Spice.",
            "Blue Spice is a coffee shop in city centre.",
        ],
        "Blue Spice is a coffee shop in the city centre.",
        "Blue Spice, a nice coffee shop in area.",
        "Once upon a time, there was a little girl named Lily. She",
    ),
    (
        "name[The Punter], food[Indian], priceRange[cheap], familyFriendly[yes]",
        ["The Punter is a cheap, family friendly Indian restaurant."],
        "The Punter serves cheap Indian food and welcomes families.",
        "The Punter is a coffee shop in the city centre.",
        "Tom and his mom went to the park. They saw a big",
    ),
    (
        "name[Zizzi], eatType[pub], customer rating[5 out of 5]",
        ["Zizzi is a pub with a customer rating of 5 out of 5.", "The pub Zizzi is rated 5 out of 5 by customers."],
        "Zizzi is a pub with a customer rating of 3 out of 5.",
        "Zizzi is a pub.",
        "One day, a dog named Max found a ball in the",
    ),
    (
        "name[Aromi], eatType[restaurant], food[Chinese], area[riverside]",
        ["Aromi is a Chinese restaurant in the riverside area."],
        "Aromi is a Chinese restaurant in the riverside area.",
        "Aromi is a Chinese restaurant.",
        "",
    ),
]
"""Input, references, and what a fine-tuned model, one with examples and one as it is made of it."""


def written_record(
    tested: list[tuple[str, list[str], dict[str, str]]], curves: dict[str, tuple[str, list[int], list[float]]]
) -> dict[str, Any]:
    """Return the record of a comparison of candidates that write, scored by sacrebleu.

    Args:
        tested: Input, references, and the answer of each candidate.
        curves: Family, numbers of answers and scores with fewer than all answers, of each candidate; the last number
            is what it is scored with.
    """
    import sacrebleu

    rows = [references for _, references, _ in tested]
    width = max(map(len, rows))
    streams = [[row[i] if i < len(row) else None for row in rows] for i in range(width)]
    chrf = sacrebleu.CHRF()
    signatures: dict[str, str] = {}
    n_train = max(sizes[-1] for _, sizes, _ in curves.values())
    scored = {}
    for name in curves:
        answers = [said[name] for _, _, said in tested]
        found = {}
        for key, metric in (("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF())):
            score = metric.corpus_score(answers, streams).score
            signatures[key] = str(metric.get_signature())
            found[key] = {"score": round(score, 4), "interval": [max(0.0, score - 1.6), min(100.0, score + 1.7)]}
        found["rougeL"] = {"score": 0.006 * found["bleu"]["score"], "interval": [0.0, 0.007 * found["bleu"]["score"]]}
        found["perplexity"] = {"score": 412.0 / (1 + found["bleu"]["score"]), "interval": None}
        found["stopped"] = {"score": 1.0, "interval": [0.99, 1.0]}
        scored[name] = found
    best = max(found["bleu"]["score"] for found in scored.values())
    pick = next(name for name, found in scored.items() if found["bleu"]["score"] == best)
    board, drawn = [], []
    for name, (family, sizes, below) in curves.items():
        score, interval = scored[name]["bleu"].values()
        has_backbone = ":" in name
        board.append(
            {
                "candidate": name,
                "method": name.split(":")[0],
                "family": family,
                "backbone": name.split(":")[1] if has_backbone else None,
                "n_labels": sizes[-1],
                "repeats": 1,
                "target": "this model",
                "score": score,
                "interval": interval,
                "scores": scored[name],
                "versus_best": {"mean": score - best, "interval": [score - best - 1.9, score - best + 1.9]},
                "distinguishable": best - score > 1.9,
                "status": "complete",
                "fit_seconds": 0.0 if sizes == [0] else 31.0,
                "milliseconds_per_example": 140.0 if has_backbone else 22.0,
                "peak_memory_bytes": 610_000_000,
                "artefact_bytes": 1_100_000 if has_backbone else 9_800_000,
            }
        )
        points = [
            {"n_labels": n, "score": at, "interval": [max(0.0, at - 2), at + 2], "repeats": 1, "target": "this model"}
            for n, at in zip(sizes, [*below, score], strict=True)
        ]
        role = "pick" if name == pick else "behind"
        drawn.append({"candidate": name, "family": family, "points": points, "band": [], "role": role})
    kinds = ("random", "worst", "best")
    texts = []
    for i, (asked, references, said) in enumerate(tested[:24]):
        answers = {}
        for name, text in said.items():
            one = chrf.sentence_score(text, references).score
            answers[name] = {"text": text, "score": round(one, 4), "stopped": not text.endswith(("the", "big", "She"))}
        texts.append(
            {"row": i, "why": kinds[i % len(kinds)], "input": asked, "references": references, "answers": answers}
        )
    own = next(row for row in board if row["candidate"] == pick)
    verdict = {
        "schema": 1,
        "task": "generate",
        "metric": "bleu",
        "point": 1.0,
        "n_labels": n_train,
        "n_test": len(tested),
        "model_n_labels": n_train,
        "pick": {
            **{key: own[key] for key in ("candidate", "method", "family", "backbone", "n_labels", "target")},
            **{"score": best - 0.3, "interval": own["interval"], "score_as_measured": best},
        },
        "because": [f"{board[1]['candidate']} is behind ({board[1]['score'] - best:+.1f} [-9.0, -3.1])."],
        "leaderboard": board,
        "crossovers": [],
        "more_labels": [{"n_labels": n_train + 500, "gain": 0.64, "interval": [-0.2, 1.9]}],
        "smallest_detectable_difference": 1.3,
        "skipped": [{"candidate": f"continued_pretraining:{MODEL}", "n_labels": n_train, "reason": "no time was left"}],
        "seconds": 540.0,
    }
    details = {
        "data": {
            "name": "restaurants.csv",
            "rows": n_train + len(tested),
            "text": "mr",
            "label": "ref",
            "recognised": "csv, utf-8, comma: inputs from 'mr', answers from 'ref'",
            "protocol": f"{len(tested):,} rows held out as test, rows of one input kept together",
            "metric_explained": "The share of words and of runs of two to four words that stand in an accepted answer.",
        },
        "curves": drawn,
        "texts": {"candidates": list(curves), "metric": "chrf", "rows": texts},
        "forgetting": [
            {
                "candidate": f"sft:{MODEL}",
                "before": 1.82,
                "after": 2.4,
                "change": 0.58,
                "interval": [0.51, 0.65],
                "unit": "bits per byte",
                "text": "24 questions about the world with their answers",
            }
        ],
        "remote": {
            "some-model": {"requests": 310, "tokens_in": 88_000, "tokens_out": 9_100, "money": 0.42, "from_record": 55}
        },
        "signatures": signatures,
        "reproduce": {"command": "nshot compare restaurants.csv --backbone stories260K", "seed": 0},
        "outputs": {"report": "restaurants.nshot/report.html"},
    }
    return {"verdict": verdict, "details": details}


def diners_record() -> dict[str, Any]:
    """Return a record of three candidates and four test inputs."""
    names = (f"sft:{MODEL}", f"in_context:{MODEL}", f"prompt:{MODEL}")
    tested = [(asked, wanted, dict(zip(names, said, strict=True))) for asked, wanted, *said in DINERS]
    curves = {
        names[0]: ("fine-tuning", [16, 64, 256], [4.0, 21.0]),
        names[1]: ("few-shot", [16, 64, 256], [8.0, 9.5]),
        names[2]: ("zero-shot", [0], []),
    }
    return written_record(tested, curves)


def restaurants_record(folder: Path) -> dict[str, Any]:
    """Return a record of five candidates on the E2E data, two of them with published outputs."""
    with (folder / "test-fixed.csv").open(encoding="utf-8", newline="") as file:
        references: dict[str, list[str]] = {}
        for row in csv.DictReader(file):
            references.setdefault(row["mr"], []).append(row["ref"])
    outputs = [
        (folder / "system-outputs" / f"tgen-std.run{i}.txt").read_text(encoding="utf-8").splitlines() for i in (0, 2)
    ]
    asked = list(references)
    source = random.Random(0)
    names = (f"sft:{MODEL}", "decoder_from_scratch", f"in_context:{MODEL}", "nearest_answer:all-MiniLM-L6-v2")
    names = (*names, f"prompt:{MODEL}")
    stories = [said for *_, said in DINERS if said]
    tested = []
    for i in source.sample(range(len(asked)), 250):
        words = outputs[1][i].split()
        hazy = " ".join(word if source.random() < 0.7 else source.choice(words) for word in words)
        near = references[asked[(i + 1) % len(asked)]][0]
        said = (outputs[0][i], outputs[1][i].replace("city centre", "riverside"), hazy, near, source.choice(stories))
        tested.append((asked[i], references[asked[i]], dict(zip(names, said, strict=True))))
    sizes = [16, 64, 256, 1024, 4299]
    curves = {
        names[0]: ("fine-tuning", sizes, [0.4, 3.1, 14.0, 27.0]),
        names[1]: ("from-scratch", sizes, [0.0, 0.6, 4.1, 19.0]),
        names[2]: ("few-shot", sizes, [7.0, 9.0, 10.5, 11.0]),
        names[3]: ("baseline", sizes, [3.0, 6.0, 11.0, 15.0]),
        names[4]: ("zero-shot", [0], []),
    }
    return written_record(tested, curves)


@pytest.fixture
def diners() -> dict[str, Any]:
    return diners_record()


@pytest.fixture
def restaurants(shared_data: Path) -> dict[str, Any]:
    return restaurants_record(shared_data / "generation" / "e2e_clean")


@pytest.fixture
def tickets() -> dict[str, Any]:
    return tickets_record()


@pytest.fixture
def banking() -> dict[str, Any]:
    return banking_record()


@pytest.fixture
def binary() -> dict[str, Any]:
    return binary_record()


def _hollow(value: Any) -> Any:
    """Return the same keys with nothing in them."""
    if isinstance(value, dict):
        return {key: _hollow(part) for key, part in value.items()}
    return [] if isinstance(value, list) else None


def _one_of_each(value: Any) -> Any:
    """Return the same keys, lists with one entry in which everything is None."""
    if isinstance(value, dict):
        return {key: _one_of_each(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_one_of_each(value[0])] if value and isinstance(value[0], dict) else []
    return None


EMPTY = {
    "nothing": {},
    "no parts": {"verdict": {}, "details": {}},
    "none": {"verdict": None, "details": None},
    "hollow": _hollow(tickets_record()),
    "hollow, written": _hollow(diners_record()),
    "one of each, all None": _one_of_each(tickets_record()),
    "one of each, all None, written": _one_of_each(diners_record()),
    "verdict only": {"verdict": tickets_record()["verdict"]},
    "details only": {"details": tickets_record()["details"]},
}


@pytest.fixture(params=sorted(EMPTY))
def sparse(request: pytest.FixtureRequest) -> dict[str, Any]:
    return copy.deepcopy(EMPTY[request.param])


_FITS = {
    "gradient_boosting": ("few-shot", [61_000, 38_100, 24_800, 18_400], "pick", 0.9),
    "linear_probe": ("few-shot", [48_200, 33_000, 27_500, 26_900], "behind", 0.1),
    "nearest_neighbours": ("few-shot", [70_400, 52_000, 39_000, 31_200], "behind", 0.05),
    "from_scratch": ("from-scratch", [410_000, 90_000, 30_100, 19_000], "same", 14.0),
    "mean": ("baseline", [89_000, 88_500, 88_100, 88_000], "behind", 0.001),
}


def prices_record() -> dict[str, Any]:
    """Return the record of prices that are predicted from rows: errors in euros, which grow without end."""
    import numpy as np

    from nshot.study.answers import numbers_record

    record = tickets_record()
    sizes = [16, 64, 256, 960]
    curves, board = [], []
    for name, (family, errors, role, fit) in _FITS.items():
        candidate = name if family == "baseline" else f"{name}:table"
        points = [
            {
                "n_labels": n,
                "score": error,
                "interval": [round(error * (0.93 - 2 / n), 1), round(error * (1.07 + 2 / n), 1)],
                "repeats": 5,
                "target": "this model" if n == sizes[-1] else "a fresh draw",
                "marked": None,
            }
            for n, error in zip(sizes, errors, strict=True)
        ]
        curve = {"candidate": candidate, "family": family, "points": points, "band": [], "role": role}
        curves.append(curve)
        entry = _entry(curve, errors[-1], fit, 0.2, 40_000)
        gap = errors[-1] - 18_400
        entry["backbone"] = None if family == "baseline" else "table"
        entry["scores"] = {
            "rmse": {"score": errors[-1] * 1.4, "interval": [errors[-1] * 1.3, errors[-1] * 1.5]},
            "r2": {"score": 1 - errors[-1] / 89_000, "interval": [0.7 - errors[-1] / 89_000, 1 - errors[-1] / 99_000]},
        }
        entry["versus_best"] = {"mean": gap, "interval": [gap - 900, gap + 900]}
        entry["distinguishable"] = gap > 900
        board.append(entry)
    random = np.random.default_rng(0)
    truth = np.round(np.exp(random.normal(11.5, 0.6, 320)))
    answers = truth + random.normal(0, 0.16 * truth)
    regression = numbers_record(np.arange(320), truth, answers)
    for miss in regression["worst"]:
        miss["text"] = "rooms = 3; area = 71.5; district = Old Town; built = 1934; listed = 2025-03-14; lift = no"
    record["details"] |= {
        "data": {
            "name": "flats.csv",
            "modality": "row",
            "rows": 1280,
            "columns": ["rooms", "area", "district", "built", "listed", "lift"],
            "label": "price",
            "target": {"low": 21_350.0, "median": 98_700.0, "high": 512_400.0},
            "n_train": 960,
            "n_test": 320,
            "recognised": 'csv, utf-8, comma: rows of 6 columns, numbers from "price"',
            "labels": [],
            "protocol": "320 rows held out as test; 5 random draws of the training rows",
            "metric_explained": "How far the answers are off on average, in the unit of what is predicted.",
        },
        "curves": curves,
        "regression": regression,
        "training": [],
        "timeline": [],
    }
    for key in ("confusion", "per_class", "mistakes", "calibration"):
        del record["details"][key]
    record["verdict"] |= {
        "task": "regress",
        "metric": "mae",
        "point": 412.0,
        "n_labels": 960,
        "n_test": 320,
        "model_n_labels": 960,
        "pick": {
            "candidate": "gradient_boosting:table",
            "method": "gradient_boosting",
            "family": "few-shot",
            "backbone": "table",
            "n_labels": 960,
            "target": "this model",
            "score": 18_512.3,
            "interval": [16_720.0, 20_300.0],
            "score_as_measured": 18_400.0,
        },
        "because": ["from_scratch:table scores the same, and takes 16 times as long to fit."],
        "leaderboard": board,
        "crossovers": [],
        "more_labels": [{"n_labels": 1260, "gain": -900.0, "interval": [-1_500.0, -200.0]}],
        "smallest_detectable_difference": 1_210.0,
        "checks": [],
        "skipped": [],
    }
    return record


@pytest.fixture
def prices() -> dict[str, Any]:
    return prices_record()


def anomalies_record() -> dict[str, Any]:
    """Return the record of anomalies that are looked for in rows: from no labelled one on."""
    record = prices_record()
    wanted = (
        ("isolation_forest", "unsupervised", "behind", [0], [0.41]),
        ("nearest_distance", "unsupervised", "behind", [0], [0.46]),
        ("labelled_distance", "few-shot", "pick", [2, 5, 10, 40], [0.44, 0.58, 0.66, 0.74]),
        ("linear_probe", "few-shot", "behind", [2, 5, 10, 40], [0.22, 0.37, 0.52, 0.63]),
    )
    curves, board = [], []
    for name, family, role, ns, scores in wanted:
        curve = _curve(f"{name}:table", family, role, ns, scores, 400)
        curves.append(curve)
        board.append(_entry(curve, 0.74, 0.3, 0.1, 9_000) | {"backbone": "table"})
    del record["details"]["regression"], record["details"]["data"]["target"]
    record["details"]["data"] |= {"name": "cardio.csv", "label": "label", "anomalies": 176, "rows": 1831}
    record["details"]["curves"] = curves
    record["verdict"] |= {
        "task": "detect",
        "metric": "average_precision",
        "point": 0.01,
        "n_labels": 40,
        "model_n_labels": 176,
        "pick": {
            "candidate": "labelled_distance:table",
            "method": "labelled_distance",
            "family": "few-shot",
            "backbone": "table",
            "n_labels": 40,
            "target": "this model",
            "score": 0.73,
            "interval": [0.66, 0.8],
            "score_as_measured": 0.74,
        },
        "because": [],
        "leaderboard": board,
        "more_labels": [{"n_labels": 60, "gain": 0.02, "interval": [0.0, 0.05]}],
        "smallest_detectable_difference": 0.04,
    }
    return record


@pytest.fixture
def anomalies() -> dict[str, Any]:
    return anomalies_record()


def groups_record() -> dict[str, Any]:
    """Return the record of groups that were found without a label."""
    record = anomalies_record()
    wanted = (
        ("k_means", "unsupervised", "pick", [0.58]),
        ("hdbscan", "unsupervised", "behind", [0.31]),
        ("gaussian_mixture", "unsupervised", "same", [0.57]),
    )
    curves, board = [], []
    for name, family, role, scores in wanted:
        curve = _curve(f"{name}:{BACKBONE}", family, role, [0], scores, 1900)
        curves.append(curve)
        board.append(_entry(curve, 0.58, 0.3, 0.1, 9_000))
        board[-1]["scores"] = {"ari": {"score": scores[0] - 0.05, "interval": [scores[0] - 0.09, scores[0] - 0.01]}}
    del record["details"]["data"]["anomalies"]
    record["details"]["data"] |= {
        "name": "news.csv",
        "modality": "text",
        "text": "headline",
        "columns": [],
        "label": "topic",
        "rows": 7600,
    }
    record["details"]["curves"] = curves
    record["verdict"] |= {
        "task": "cluster",
        "metric": "nmi",
        "n_labels": 0,
        "model_n_labels": 0,
        "pick": {
            "candidate": f"k_means:{BACKBONE}",
            "method": "k_means",
            "family": "unsupervised",
            "backbone": BACKBONE,
            "n_labels": 0,
            "target": "this model",
            "score": 0.58,
            "interval": [0.55, 0.61],
            "score_as_measured": 0.58,
        },
        "leaderboard": board,
        "more_labels": [],
        "smallest_detectable_difference": 0.02,
    }
    return record


@pytest.fixture
def groups() -> dict[str, Any]:
    return groups_record()
