"""Answer texts with this folder alone: python predict.py "a text" "another one"; without texts, each line of stdin.

Needs onnxruntime, tokenizers and numpy. From another program: from predict import predict
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = Path(__file__).resolve().parent
about = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_padding(pad_id=about["padding"])
session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def predict(texts: Sequence[str], at_once: int = 32) -> Iterator[dict[str, Any]]:
    """Yield the answer to each text."""
    for start in range(0, len(texts), at_once):
        batch = [about["prompt"] + text for text in texts[start : start + at_once]]
        read = tokenizer.encode_batch([text.lower() for text in batch] if about["lower"] else batch)
        inputs = {"input_ids": [each.ids for each in read], "attention_mask": [each.attention_mask for each in read]}
        arrays = {name: np.array(rows, dtype=np.int64) for name, rows in inputs.items()}
        for answer in session.run(["answer"], arrays)[0].tolist():
            if about["answers"] == "probabilities":
                best = max(range(len(answer)), key=answer.__getitem__)
                yield {"label": about["labels"][best], "probabilities": dict(zip(about["labels"], answer, strict=True))}
            else:
                yield {about["answers"]: answer}


if __name__ == "__main__":
    for found in predict(sys.argv[1:] or [line.rstrip("\n") for line in sys.stdin]):
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
