"""What leaves this machine for a hub, and what does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nshot import api
from nshot.cli import main
from nshot.core import EnvironmentProblem, ModelError, OptionError

ROWS = [{"text": f"{word} {i}", "label": word} for i in range(6) for word in ("red", "blue")]


@dataclass
class Repository:
    private: bool | None


@dataclass
class Hub:
    """A hub that remembers what it was told."""

    is_private: bool | None = None
    error: Exception | None = None
    uploaded: list[dict[str, Any]] = field(default_factory=list)

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        if self.error is not None:
            raise self.error
        assert exist_ok
        self.is_private = private if self.is_private is None else self.is_private

    def model_info(self, repo_id: str) -> Repository:
        return Repository(self.is_private)

    def upload_folder(self, **what: Any) -> None:
        self.uploaded.append(what)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    api.fit(ROWS, method="tfidf_linear", out=tmp_path / "model")
    return tmp_path / "model"


def test_a_model_goes_to_a_private_repository_unless_said_otherwise(model):
    hub = Hub()
    done = api.push(api.prepare_push(model, "me/colours"), hub)
    assert hub.is_private
    (told,) = hub.uploaded
    assert (told["repo_id"], told["folder_path"]) == ("me/colours", model)
    assert {"manifest.json", "README.md"} <= set(told["allow_patterns"])
    assert done.record["private"]
    assert done.record["address"] == "https://huggingface.co/me/colours"
    other = Hub()
    api.push(api.prepare_push(model, "me/colours", public=True), other)
    assert other.is_private is False


def test_nothing_is_uploaded_to_a_public_repository_that_is_there_already(model):
    hub = Hub(is_private=False)
    with pytest.raises(OptionError, match="everybody can read it"):
        api.push(api.prepare_push(model, "me/colours"), hub)
    assert not hub.uploaded


def test_hidden_files_and_links_stay_here(model, tmp_path):
    (tmp_path / "secret").write_text("x")
    (model / ".env").write_text("x")
    (model / "link").symlink_to(tmp_path / "secret")
    assert not {".env", "link"} & set(api.prepare_push(model, "me/colours").files)


def test_what_nshot_did_not_write_and_names_of_no_hub_are_refused(model, tmp_path):
    with pytest.raises(ModelError, match="no saved model"):
        api.prepare_push(tmp_path, "me/colours")
    for name in ("colours", "../colours", "me/co/lours", "me/ colours"):
        with pytest.raises(OptionError, match="my-name/my-model"):
            api.prepare_push(model, name)


def test_a_refusal_of_the_hub_is_told_without_a_traceback(model):
    with pytest.raises(EnvironmentProblem, match="did not take me/colours: 403 Forbidden"):
        api.push(api.prepare_push(model, "me/colours"), Hub(error=OSError("403 Forbidden")))


def test_a_script_has_to_say_yes_and_needs_a_token(model, monkeypatch, capsys):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main.run(["push", str(model), "me/colours"]) == 2
    told = capsys.readouterr().err
    assert "--yes" in told
    assert "where only you or your organisation read it" in told
    assert main.run(["push", str(model), "me/colours", "--yes"]) == 3
    assert "no token" in capsys.readouterr().err
