"""A model of texts as ONNX: the same answers from a padded graph, without nshot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from nshot import api
from nshot.backbones import open_backbone
from nshot.bundle import onnx_check
from nshot.bundle.onnx_network import Answer, OnnxNetwork
from nshot.cli import main
from nshot.core import (
    MissingExtraError,
    ModelError,
    OptionError,
    OutputError,
    Prediction,
    Task,
    TaskKind,
    UnsupportedError,
)
from nshot.training.readout import NEVER, Readout, required
from unit.backbones.tiny import TEXTS, config, write_bert, write_tokenizer

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

THINGS = {"card": "my card is lost", "money": "where is my money", "account": "the account is stolen"}
ROWS = [{"text": f"{words} {'top up ' * (i % 3)}{'.' * (i % 4)}", "label": name} for i in range(12)
        for name, words in THINGS.items()]  # fmt: skip
NUMBERS = [{"text": row["text"], "label": 1000.0 + 37 * at} for at, row in enumerate(ROWS)]
MIXED = [*TEXTS[:1], *TEXTS[3:6], "a", "money " * 30]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("models") / "bert", pooling={"pooling_mode": "mean"})


def fitted(base: Path, method: str, rows: list[dict[str, Any]] = ROWS, **options: Any) -> api.Model:
    model = api.fit(rows, method=method, backbone=str(base), threads=1, **options)
    model.save(base.parent / method)
    return api.load(base.parent / method, precision="fp32", threads=1)


def padded(prepared: list[list[int]]) -> dict[str, torch.Tensor]:
    ids = torch.zeros((len(prepared), max(map(len, prepared))), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(prepared):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def answers(encoder: Any, readout: Readout, labels: tuple[str, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    network = OnnxNetwork(encoder.module(), Answer(readout, labels)).eval()
    with torch.inference_mode():
        answer, vectors = network(**padded(encoder.tokenize(MIXED)))
    return answer.numpy(), vectors.numpy()


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["cls", "lasttoken", "max", "mean", "mean_sqrt_len_tokens", "weightedmean"])
def test_a_padded_batch_gives_the_vectors_of_texts_without_padding(mode, tmp_path):
    encoder = open_backbone(str(write_bert(tmp_path / "bert", pooling={"pooling_mode": mode})), precision="fp32")
    readout = Readout(encoder, np.zeros((2, 32)), np.zeros(2), unit_length=False, classes=("a", "b"))
    np.testing.assert_allclose(answers(encoder, readout, ("a", "b"))[1], encoder.embed(MIXED), atol=2e-6)


def test_an_encoder_of_transformers_gives_its_vectors_too(tmp_path):
    model = transformers.DistilBertModel(
        transformers.DistilBertConfig(
            vocab_size=config()["vocab_size"], dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=48
        )
    )
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    encoder = open_backbone(str(tmp_path), precision="fp32", threads=1)
    readout = Readout(encoder, np.zeros((2, 32)), np.zeros(2), unit_length=False, classes=("a", "b"))
    np.testing.assert_allclose(answers(encoder, readout, ("a", "b"))[1], encoder.embed(MIXED), atol=2e-6)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("linear_probe", {}),
        ("prototypes", {}),
        ("label_similarity", {}),
        ("primed_probe", {}),
        ("full_finetune", {"set": ("epochs=2", "label_smoothing=0.2")}),
        ("prefix", {"set": ("epochs=1",)}),
        ("lora", {"set": ("epochs=1",)}),
        ("tuned", {"set": ("method=linear_probe", 'grid={"strength": [1.0]}')}),
    ],
)
def test_the_head_inside_the_network_answers_like_the_model(base, method, options):
    model = fitted(base, method, **options)
    readout = required(model._predictor)
    found, _ = answers(readout.encoder, readout, model.task.labels)
    np.testing.assert_allclose(found, model.predict_proba(MIXED), atol=2e-5)


@pytest.mark.parametrize("method", ["linear_probe", "full_finetune"])
def test_a_number_comes_in_the_unit_of_the_targets(base, method):
    model = fitted(base, method, NUMBERS, task="regress")
    readout = required(model._predictor)
    found, _ = answers(readout.encoder, readout)
    np.testing.assert_allclose(found, model.predict(MIXED), rtol=1e-5)


def test_an_anomaly_has_the_score_of_the_model(base):
    rows = [{**row, "label": "odd" if row["label"] == "money" else "fine"} for row in ROWS]
    model = fitted(base, "linear_probe", rows, task="detect", anomalies="odd")
    readout = required(model._predictor)
    found, _ = answers(readout.encoder, readout)
    np.testing.assert_allclose(found, model.predict(MIXED), atol=1e-4)


def test_a_label_that_was_never_seen_has_no_probability():
    readout = Readout(None, np.ones((1, 2)), np.zeros(1), unit_length=False, classes=("b",))
    _, offsets = readout.over(("a", "b"))
    assert offsets.tolist() == [np.float32(NEVER), 0.0]
    assert Answer(readout, ("a", "b"))(torch.ones((1, 2))).tolist() == [[0.0, 1.0]]


# --- the folder -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(base, tmp_path_factory) -> tuple[Path, dict[str, Any], api.Model]:
    model = fitted(base, "linear_probe")
    out = tmp_path_factory.mktemp("onnx") / "tickets"
    return out, api.export(model, out, to="onnx", data=ROWS_FILE(out.parent), threads=1).record, model


def ROWS_FILE(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_the_folder_answers_and_scores_like_the_model(exported):
    out, record, _ = exported
    assert {path.name for path in out.iterdir()} == {
        "README.md", "model.onnx", "predict.py", "settings.json", "tokenizer.json"
    }  # fmt: skip
    assert record["read_back"]["same"] == record["read_back"]["examples"] == len(ROWS)
    assert record["read_back"]["largest_difference"] < record["tolerance"]
    assert record["score"]["difference"] == 0.0
    assert record["score"]["trained_on"]
    assert record["script_texts"] == 3
    card = (out / "README.md").read_text()
    assert all(part in card for part in ("The model was trained on these rows", "predict.py", "library_name: onnx"))


def test_the_script_runs_without_nshot_and_reads_lines(exported):
    out, _, model = exported
    # Isolated, and with no nshot to be found: the import is refused.
    program = f"import sys, runpy; sys.modules['nshot'] = None; sys.argv = ['predict.py']; runpy.run_path({str(out / 'predict.py')!r}, run_name='__main__')"  # fmt: skip # noqa: E501
    texts = ["where is my card", "my money is lost"]
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program], input="\n".join(texts), capture_output=True, text=True, check=True
    )
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [answer["label"] for answer in told] == model.predict(texts)
    probabilities = [[answer["probabilities"][label] for label in model.task.labels] for answer in told]
    np.testing.assert_allclose(probabilities, model.predict_proba(texts), atol=1e-5)


def test_eight_bits_are_smaller_and_judged_by_their_score(base, exported, tmp_path, capsys):
    data = ROWS_FILE(tmp_path)
    fitted(base, "linear_probe")
    code = main.run(
        ["export", str(base.parent / "linear_probe"), str(tmp_path / "small"), "--to", "onnx", "--int8", "--data",
         str(data), "--threads", "1", "--tolerance", "100", "--json", "-q"]
    )  # fmt: skip
    assert code == 0
    record = json.loads(capsys.readouterr().out)
    assert record["int8"]
    low, high = record["score"]["difference_interval"]
    assert low <= record["score"]["difference"] <= high
    whole = {file["name"]: file["bytes"] for file in exported[1]["files"]}
    assert next(file["bytes"] for file in record["files"] if file["name"] == "model.onnx") < whole["model.onnx"]


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_answer_that_differs_is_named_with_both_numbers():
    task = Task(TaskKind.CLASSIFY, ("a", "b"))
    one = Prediction(labels=["a", "a"], probabilities=np.array([[0.9, 0.1], [0.8, 0.2]], np.float32))
    other = Prediction(labels=["a", "b"], probabilities=np.array([[0.9, 0.1], [0.3, 0.7]], np.float32))
    with pytest.raises(ModelError, match=r"'second'.* is 0.3 where the model says 0.8"):
        onnx_check.agreement(["first", "second"], one, other, task, scale=None, exact=True)
    found = onnx_check.agreement(["first", "second"], one, other, task, scale=None, exact=False)
    assert (found.same, round(found.largest_difference, 6)) == (1, 0.5)


def test_what_has_no_linear_head_says_so_and_leaves_nothing(tmp_path):
    model = api.fit(ROWS, method="tfidf_linear")
    with pytest.raises(UnsupportedError, match="tfidf_linear cannot be written as ONNX"):
        api.export(model, tmp_path / "out", to="onnx")
    rows = [{"heat": (i * 7) % 11 + 0.5, "label": "ab"[i % 2]} for i in range(20)]
    with pytest.raises(UnsupportedError, match="reads no texts"):
        api.export(api.fit(rows, method="linear_probe"), tmp_path / "out", to="onnx")
    assert not list(tmp_path.iterdir())


def test_options_of_another_kind_of_export_and_full_folders_are_refused(exported, tmp_path):
    out, _, model = exported
    with pytest.raises(OptionError, match="--int8 is for --to onnx"):
        api.export(model, tmp_path / "out", int8=True)
    with pytest.raises(OutputError, match="holds something already"):
        api.export(model, out, to="onnx")


def test_a_missing_package_is_named_with_the_command_that_installs_it(exported, tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else found(name))
    with pytest.raises(MissingExtraError, match=r"needs onnxscript: pip install 'nshot\[export\]'"):
        api.export(exported[2], tmp_path / "out", to="onnx")
    assert not list(tmp_path.iterdir())
