from __future__ import annotations

import numpy as np
from safetensors.numpy import load_file

from nshot.core import Decoding, ExampleError, Prediction, State, Task, TaskKind
from nshot.evaluation.protocol import Draw
from nshot.study.worker import Setting, Worker, _answered


def test_answers_come_back_from_the_disk_whatever_way_they_lie_in_memory(tmp_path):
    setting = Setting(
        task=Task(TaskKind.GENERATE, metric="bleu"),
        train=None,
        test=None,
        unlabelled=None,
        draws={(0, 0): Draw(0, 0, np.arange(3), np.arange(3))},
        backbones=(),
        metric="bleu",
        metrics=("bleu",),
        cache=None,
        precision="fp32",
        device="cpu",
        threads=1,
        predictions=tmp_path,
        models=tmp_path,
    )
    columns = np.stack([np.arange(5.0), 10 * np.arange(5.0)], axis=1)
    stacked = np.asfortranarray(columns)
    assert not stacked.flags.c_contiguous
    Worker(setting, lambda *_: None)._write_predictions("run", {"metric.perplexity": stacked})
    assert np.array_equal(load_file(tmp_path / "run.safetensors")["metric.perplexity"], columns)


class OfFewWords:
    """A writer that takes in inputs of up to three words."""

    decoding = Decoding()

    def predict(self, examples):
        for position, example in enumerate(examples):
            if len(example.split()) > 3:
                raise ExampleError(position, " is too long.")
        return Prediction(texts=[example.upper() for example in examples], stopped=[True] * len(examples))

    def likelihoods(self, examples, answers):
        return None

    def stream(self, example, decoding):
        yield example.upper()

    def state(self):
        return State()


def test_inputs_that_are_too_long_for_a_model_get_an_empty_answer_and_the_others_their_own():
    prediction, taken_in = _answered(OfFewWords(), ["a", "one two three four", "b c", "w " * 90])
    assert list(prediction.texts) == ["A", "", "B C", ""]
    assert list(prediction.stopped) == [True, False, True, False]
    assert taken_in == [0, 2]


def test_where_no_input_can_be_taken_in_all_answers_are_empty():
    prediction, taken_in = _answered(OfFewWords(), ["w " * 9])
    assert (list(prediction.texts), taken_in) == ([""], [])
