"""What a model's own files state about its licence is taken over, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nshot.backbones.licence import Licence, licence_of
from nshot.core import BackboneRef


def stated(folder: Path, card: str | None = None, config: object = None) -> Licence:
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")
    if config is not None:
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
    return licence_of(BackboneRef(str(folder)))


def test_the_model_that_comes_with_the_package_states_its_licence() -> None:
    assert licence_of(BackboneRef("all-MiniLM-L6-v2")).name == "apache-2.0"
    assert licence_of(BackboneRef("sentence-transformers/all-MiniLM-L6-v2")).name == "apache-2.0"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("license: mit", "mit"),
        ("language: en\nlicense: 'cc-by-4.0'\ntags:\n- x", "cc-by-4.0"),
        ('license: "Apache-2.0"  # as the authors say', "Apache-2.0"),
        ("license:\n- mit\ntags:\n- x", "mit"),
        ("license: other\nlicense_name: llama3.2", "llama3.2"),
        ("license: other", None),
        ("license: unknown", None),
        ("license:\n- mit\n- gpl-3.0", None),
        ("license: see the file | of my company", None),
        ("license:", None),
        ("tags:\n- license: mit", None),
        ("model: x", None),
    ],
)
def test_the_head_of_a_card_is_read_as_the_hub_reads_it(tmp_path: Path, head: str, expected: str | None) -> None:
    assert stated(tmp_path, f"---\n{head}\n---\n# A model\nlicense: gpl-3.0\n").name == expected


def test_words_below_the_head_state_nothing(tmp_path: Path) -> None:
    assert stated(tmp_path, "# A model\n\n- Licence: MIT\n\nlicense: mit\n") == Licence()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"license": "bsd-3-clause"}, "bsd-3-clause"),
        ({"license": ["mit"]}, None),
        ([], None),
        ("[" * 100_000, None),
        ("{", None),
    ],
)
def test_the_settings_are_asked_where_there_is_no_card(tmp_path: Path, config: object, expected: str | None) -> None:
    assert stated(tmp_path, config=config).name == expected
    assert stated(tmp_path, "---\nlicense: mit\n---\n", config).name == "mit"


def test_a_text_of_a_licence_is_named_and_not_guessed_from(tmp_path: Path) -> None:
    (tmp_path / "LICENSE.txt").write_text("Apache License, Version 2.0", encoding="utf-8")
    assert stated(tmp_path) == Licence(None, "LICENSE.txt")


def test_a_model_of_the_hub_is_asked_in_its_cache_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert licence_of(BackboneRef("org/tiny", "abc")).name == "mit"
    assert licence_of(BackboneRef("org/tiny", "def")) == Licence()


@pytest.mark.parametrize("name", ["table", "table:all-MiniLM-L6-v2", "pixels", "openai:model@http://127.0.0.1:9/v1"])
def test_what_is_not_pre_trained_or_not_here_states_nothing(name: str) -> None:
    assert licence_of(BackboneRef(name)) == Licence()
