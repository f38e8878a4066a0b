"""A folder of `onnx_folder` opened by onnxruntime, as a predictor: what was written is judged, not what was meant."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from nshot.bundle.onnx_folder import ABOUT, GRAPH, SCRIPT, TOKENIZER
from nshot.core import Example, ModelError, Prediction, State, Task, TaskKind

_AT_ONCE = 32
_SCRIPT_SECONDS = 300


class OnnxModel:
    """A predictor whose numbers onnxruntime computes; it is never saved."""

    def __init__(self, folder: Path, task: Task, threads: int | None = None) -> None:
        """Open the graph and the tokenizer.

        Args:
            folder: From `onnx_folder.write`.
            task: What the model answers.
            threads: Processor threads; all cores unless given.

        Raises:
            ModelError: onnxruntime cannot open the graph.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(
                folder / GRAPH, sess_options=options, providers=["CPUExecutionProvider"]
            )
        # onnxruntime has a class of its own for each status, and none above them but RuntimeError's own.
        except Exception as error:
            raise ModelError(f"onnxruntime cannot open what was written: {error!s:.500}") from error
        self._about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.enable_padding(pad_id=self._about["padding"])
        self._task = task

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the answers, of texts only."""
        texts = [self._about["prompt"] + str(example) for example in examples]
        texts = [text.lower() for text in texts] if self._about["lower"] else texts
        order = np.argsort([len(text) for text in texts], kind="stable")
        found = [self._answer([texts[at] for at in order[i : i + _AT_ONCE]]) for i in range(0, len(texts), _AT_ONCE)]
        shape = (0, len(self._task.labels)) if self._task.kind is TaskKind.CLASSIFY else (0,)
        sorted_answers = np.concatenate(found) if found else np.zeros(shape, dtype=np.float32)
        answers = np.empty_like(sorted_answers)
        answers[order] = sorted_answers
        if self._task.kind is TaskKind.REGRESS:
            return Prediction(values=answers)
        if self._task.kind is TaskKind.DETECT:
            return Prediction(scores=answers)
        labels = [self._task.labels[at] for at in answers.argmax(axis=1)] if len(answers) else []
        return Prediction(labels=labels, probabilities=answers)

    def state(self) -> State:
        """Return nothing: what there is lies in the folder."""
        return State({})

    def _answer(self, texts: Sequence[str]) -> np.ndarray:
        read = self._tokenizer.encode_batch(list(texts))
        inputs = {
            "input_ids": np.array([each.ids for each in read], dtype=np.int64),
            "attention_mask": np.array([each.attention_mask for each in read], dtype=np.int64),
        }
        return np.asarray(self._session.run(["answer"], inputs)[0])


def by_script(folder: Path, texts: Sequence[str]) -> list[float]:
    """Return what the folder's own script answers in a process of its own: the highest probability, value or score.

    Args:
        folder: From `onnx_folder.write`.
        texts: A few, each on one line.

    Raises:
        ModelError: It does not run, or answers something else than a line for each text.
    """
    # Isolated: neither nshot beside it nor what stands in the environment helps it along.
    command = [sys.executable, "-I", str(folder / SCRIPT), *texts]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SCRIPT_SECONDS, check=True)
        answers = [json.loads(line) for line in ran.stdout.splitlines()]
    except subprocess.CalledProcessError as error:
        raise ModelError(f"{SCRIPT} in what was written does not run: {error.stderr.strip()[-500:]}") from error
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise ModelError(f"{SCRIPT} in what was written gives no answer: {error}") from error
    if len(answers) != len(texts):
        raise ModelError(f"{SCRIPT} in what was written answers {len(texts)} texts with {len(answers)} lines.")
    return [
        float(max(answer["probabilities"].values()) if "probabilities" in answer else next(iter(answer.values())))
        for answer in answers
    ]
