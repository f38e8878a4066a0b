from __future__ import annotations

from pathlib import Path

import pytest

from nshot.backbones import DEFAULT, known, open_backbone
from nshot.backbones.locate import locate
from nshot.core import BackboneRef, ModelError
from unit.backbones.tiny import write_bert

PUBLISHED = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_the_embedded_model_is_the_published_one() -> None:
    located = locate(BackboneRef(DEFAULT))
    assert located.sha256() == PUBLISHED
    assert open_backbone().ref == BackboneRef(DEFAULT, None, PUBLISHED)


def test_the_hub_id_of_the_embedded_model_needs_no_hub() -> None:
    assert open_backbone("sentence-transformers/all-MiniLM-L6-v2").ref.id == DEFAULT


def test_a_reference_with_other_weights_is_refused() -> None:
    with pytest.raises(ModelError, match="recorded with other weights"):
        open_backbone(BackboneRef(DEFAULT, sha256="0" * 64))


def test_known_models_name_the_embedded_one() -> None:
    first = known()[0]
    assert (first.ref.name, first.source) == (DEFAULT, "embedded")
    assert first.size_bytes == 90868376


def test_a_hub_id_without_a_network_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"hf download some-org/some-encoder --local-dir FOLDER"):
        open_backbone("some-org/some-encoder")


def test_a_near_miss_of_the_embedded_name_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=f"Did you mean '{DEFAULT}'"):
        open_backbone("all-MiniLM-L6-v3")


def test_folders_that_hold_no_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ModelError, match=r"config.json is missing. Found: notes.txt"):
        open_backbone(str(tmp_path))
    with pytest.raises(ModelError, match="There is no model folder"):
        open_backbone("./not/there")


def test_a_model_in_the_hub_cache_opens_at_its_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--some-org--tiny"
    write_bert(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    listed = [model.ref for model in known() if model.source == "hub cache"]
    assert listed == [BackboneRef("some-org/tiny", commit)]

    opened = open_backbone("some-org/tiny")
    assert opened.ref.revision == commit


def test_a_model_whose_settings_name_the_size_of_images_takes_images(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "tiny", image_size=224)
    assert open_backbone(str(folder)).modalities == {"image"}


def test_the_hash_of_a_changed_file_is_computed_again(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "tiny", seed=0)
    before = locate(BackboneRef(str(folder))).sha256()
    write_bert(folder, seed=1)
    assert locate(BackboneRef(str(folder))).sha256() != before
