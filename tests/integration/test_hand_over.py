"""A language model that was fitted on the command line: saved, opened by others, predicting, evaluated, exported."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.calling import Called, nshot, succeeded, write_csv

HERE = ("--precision", "fp32", "--device", "cpu", "--threads", "1")
INSTRUCTION = "Describe the restaurant."


@dataclass(frozen=True)
class Fitted:
    """Two models of the same rows: all weights trained, and an adapter."""

    base: Path
    data: Path
    test: Path
    whole: Path
    adapter: Path
    called: Called


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Fitted:
    shared = Path(__file__).resolve().parents[3] / "shared"
    if not (shared / "models" / "stories260K").is_dir() or not (shared / "data" / "generation").is_dir():
        pytest.skip("the small decoder and the E2E data are not beside this checkout (../shared)")
    folder = tmp_path_factory.mktemp("handed")
    base = shutil.copytree(shared / "models" / "stories260K", folder / "stories")
    e2e = shared / "data" / "generation" / "e2e_clean"
    data = write_csv(folder / "train.csv", _rows(e2e / "devel-fixed.no-ol.csv", 12), ("mr", "ref"))
    test = write_csv(folder / "test.csv", _rows(e2e / "test-fixed.csv", 7), ("mr", "ref"))
    common = ("fit", data, "--backbone", base, "--instruction", INSTRUCTION, *HERE, "--json", "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSHOT_CACHE_DIR", str(folder / "cache"))
        short = ("--set", "epochs=1", "--set", "max_new_tokens=24")
        called = succeeded(*common, "--method", "sft", *short, "--out", folder / "whole")
        succeeded(*common, "--method", "sft_lora", *short, "--out", folder / "adapter")
    return Fitted(base, data, test, folder / "whole", folder / "adapter", called)


def _rows(file: Path, n: int) -> list[tuple[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [(row["mr"], row["ref"]) for row in csv.DictReader(lines)]
    return rows[:n]


def _by_transformers(folder: Path, asked: str) -> str:
    """Answer as somebody does who has never heard of nshot, but knows the system message."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": asked}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    found = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    text: str = tokenizer.decode(found[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return text.strip()


def test_the_fit_tells_that_the_saved_model_answers_alike(fitted):
    record = fitted.called.json()
    assert record["method"] == "sft"
    assert record["n_labels"] == 12
    assert record["read_back"]["readers"] == ["nshot", "transformers"]
    assert record["read_back"]["same"] == record["read_back"]["examples"] == 3
    assert record["read_back"]["largest_difference"] < 1e-4


@pytest.mark.parametrize("kind", ["whole", "adapter"])
def test_transformers_writes_the_same_texts(fitted, kind):
    from nshot import api

    folder = getattr(fitted, kind)
    asked = [mr for mr, _ in _rows(fitted.test, 3)]
    model = api.load(folder, precision="fp32", device="cpu", threads=1)
    ours = [text.strip() for text in model.predict(asked)]
    assert [_by_transformers(folder, text) for text in asked] == ours
    assert "".join(model.stream(asked[0])).strip() == ours[0]
    as_messages = [{"role": "user", "content": asked[0]}]
    assert [text.strip() for text in model.predict([as_messages])] == ours[:1]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks for it
def test_peft_reads_the_adapter_and_a_merged_export_answers_alike(fitted, tmp_path):
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(fitted.base)
    wrapped = peft.PeftModel.from_pretrained(base, fitted.adapter).eval()
    called = succeeded("export", fitted.adapter, tmp_path / "merged", "--merged", "--threads", "1", "--json", "-q")
    record = called.json()
    assert not record["is_adapter"]
    assert record["read_back"]["same"] == 3
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    ids = torch.tensor([[1, 405, 426, 410, 396]])
    with torch.inference_mode():
        torch.testing.assert_close(merged(ids).logits, wrapped(ids).logits, atol=1e-4, rtol=0)
    asked = _rows(fitted.test, 1)[0][0]
    assert _by_transformers(tmp_path / "merged", asked) == _by_transformers(fitted.adapter, asked)


def test_predictions_stand_beside_the_columns_of_the_input(fitted, tmp_path):
    out = tmp_path / "answers.csv"
    succeeded("predict", fitted.whole, fitted.test, "--out", out, "--threads", "1", "-q")
    with out.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["mr", "ref", "prediction", "stopped"]
    assert [(row["mr"], row["ref"]) for row in rows] == _rows(fitted.test, 7)
    assert all(row["prediction"] for row in rows)
    assert {row["stopped"] for row in rows} <= {"True", "False"}


def test_conversations_keep_their_form(fitted, tmp_path):
    chats = tmp_path / "chats.jsonl"
    asked = [[{"role": "user", "content": "name[Blue Spice]"}], [{"role": "user", "content": "name[Aromi]"}]]
    chats.write_text("".join(json.dumps({"id": i, "messages": turns}) + "\n" for i, turns in enumerate(asked)))
    called = succeeded("predict", fitted.whole, chats, "--threads", "1", "-q")
    records = [json.loads(line) for line in called.out.splitlines()]
    assert [record["messages"] for record in records] == asked
    assert all(isinstance(record["prediction"], str) for record in records)
    assert all(isinstance(record["stopped"], bool) for record in records)


def test_what_was_answered_before_an_interruption_is_kept(fitted, tmp_path, monkeypatch):
    from nshot.api import Model

    answered = []
    answer = Model.answer

    def interrupted(self, examples):
        if answered:
            raise KeyboardInterrupt
        answered.append(len(examples))
        return answer(self, examples)

    monkeypatch.setattr(Model, "answer", interrupted)
    monkeypatch.setattr("nshot.api.model._WRITTEN_AT_ONCE", 3)
    called = nshot("predict", fitted.whole, fitted.test, "--out", tmp_path / "answers.csv", "--threads", "1", "-q")
    assert called.code == 130
    assert "The 3 answers that were finished" in called.err
    assert [path.name for path in tmp_path.iterdir()] == ["answers.unfinished.csv"]
    assert len((tmp_path / "answers.unfinished.csv").read_text().splitlines()) >= 4


def test_an_input_with_several_answers_is_scored_once(fitted):
    record = succeeded("evaluate", fitted.whole, fitted.test, "--threads", "1", "--json", "-q").json()
    assert record["rows"] == 7
    assert record["n"] == len({mr for mr, _ in _rows(fitted.test, 7)}) < 7
    for name in ("bleu", "chrf", "bits_per_byte"):
        low, high = record["metrics"][name]["interval"]
        assert low <= record["metrics"][name]["score"] <= high


def test_of_two_models_the_likelier_one_is_named(fitted):
    called = succeeded(
        "evaluate", fitted.whole, fitted.adapter, fitted.test, "--metric", "bits_per_byte,chrf", "--threads", "1"
    )
    out = " ".join(called.out.split())  # a long path wraps the line somewhere
    assert "bits per byte" in out
    assert "7 answers" in out
    assert "fitted on 12 answers" in out


def test_a_language_model_has_to_be_named(fitted, tmp_path):
    called = nshot("fit", fitted.data, "--method", "sft", "--out", tmp_path / "model", "-q")
    assert called.code == 2
    assert "--backbone" in called.err
    assert "language model" in called.err
    assert not (tmp_path / "model").exists()


def test_a_classifier_is_not_exported(tmp_path):
    from integration.calling import tickets

    data = write_csv(tmp_path / "tickets.csv", tickets(30))
    succeeded("fit", data, "--method", "tfidf_linear", "--out", tmp_path / "model", "-q")
    called = nshot("export", tmp_path / "model", tmp_path / "out", "-q")
    assert called.code == 2
    assert "makes no language model" in called.err
