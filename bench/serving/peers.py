"""What people build today: an application of FastAPI around a model, one call per request.

python bench/serving/peers.py pipeline|sentence-transformers PORT TRAIN.csv
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi
import uvicorn
from pydantic import BaseModel

from nshot.backbones import DEFAULT
from nshot.backbones.locate import locate
from nshot.core import BackboneRef


class Asked(BaseModel):
    """The body of a request."""

    text: str


def read(path: str) -> tuple[list[str], list[str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def pipeline(folder: str, labels: list[str]) -> Callable[[str], dict[str, Any]]:
    """Return the pipeline of transformers on the same network; its head is untrained, which costs the same time."""
    import transformers

    names = sorted(set(labels))
    network = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(names), id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)}
    )
    with tempfile.TemporaryDirectory() as place:
        network.save_pretrained(place)
        transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(place)
        classify = transformers.pipeline("text-classification", place, device="cpu")
    return lambda text: classify(text)[0]


def sentence_transformers(folder: str, texts: list[str], labels: list[str]) -> Callable[[str], dict[str, Any]]:
    """Return sentence-transformers with a head of scikit-learn."""
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    encoder = SentenceTransformer(folder, device="cpu")
    head = LogisticRegression(C=10, max_iter=200).fit(encoder.encode(texts[:500]), labels[:500])

    def classify(text: str) -> dict[str, Any]:
        shares = head.predict_proba(encoder.encode([text], show_progress_bar=False))[0]
        best = int(shares.argmax())
        return {"label": str(head.classes_[best]), "score": float(shares[best])}

    return classify


def main() -> None:
    kind, port, path = sys.argv[1:]
    texts, labels = read(path)
    folder = str(locate(BackboneRef(DEFAULT)).folder)
    classify = pipeline(folder, labels) if kind == "pipeline" else sentence_transformers(folder, texts, labels)
    app = fastapi.FastAPI()

    @app.post("/predict")
    def predict(asked: Asked) -> dict[str, Any]:
        return classify(asked.text)

    classify("warm-up")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
