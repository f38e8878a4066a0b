"""What every method file promises before it is ever fitted."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nshot
from contract.cases import CASES, NAMES, PLUGIN, small_options
from nshot import methods
from nshot.core import Family, Needs, OptionError

every_method = pytest.mark.parametrize("name", NAMES)

SECTIONS = ("Idea", "Needs", "Wins", "Source", "Example")
HEAVY = (
    "accelerate",
    "altair",
    "pandas",
    "peft",
    "pyarrow",
    "safetensors",
    "scipy",
    "sklearn",
    "torch",
    "transformers",
)


@every_method
def test_the_file_can_be_imported_and_holds_one_method(name: str) -> None:
    kind = methods.get(name)
    assert kind.method_name() == name
    assert isinstance(kind.needs, Needs)
    assert isinstance(kind.family, Family)
    assert kind.version >= 1


@every_method
def test_every_method_is_tested_on_some_backbone(name: str) -> None:
    assert name in {case.method for case in CASES}, (
        "no sample of contract/cases.py and no fake backbone suits it: add one there"
    )


@every_method
def test_the_docstring_has_a_summary_and_its_five_sections(name: str) -> None:
    text = inspect.cleandoc(methods.get(name).__doc__ or "")
    assert re.match(r"\S[^\n]*\.\n", text), "one sentence first"
    found = [title for title in SECTIONS if re.search(rf"^\*\*{title}\b", text, re.MULTILINE)]
    assert found == list(SECTIONS)


@every_method
def test_every_option_is_described_and_has_a_default(name: str) -> None:
    for option, field in methods.get(name).model_fields.items():
        assert field.description, option
        assert not field.is_required(), option


@every_method
@pytest.mark.parametrize("small", [False, True], ids=["defaults", "changed"])
def test_options_come_back_from_json(name: str, small: bool) -> None:
    kind = methods.get(name)
    method = kind.parse(small_options(kind) if small else {})
    assert kind.parse(json.loads(json.dumps(method.model_dump(mode="json")))) == method
    assert kind.parse(json.loads(json.dumps(method.changed()))) == method


@every_method
def test_an_unknown_option_is_refused_with_a_suggestion(name: str) -> None:
    with pytest.raises(OptionError, match=f"^{name} has no option 'no_such_thing'"):
        methods.build(name, {"no_such_thing": 1})
    for option in methods.get(name).model_fields:
        with pytest.raises(OptionError, match=f"Did you mean '{option}'"):
            methods.build(name, {f"{option}_": 1})


@every_method
def test_options_are_frozen(name: str) -> None:
    method = methods.build(name)
    assert hash(method) == hash(methods.build(name))
    for option in methods.get(name).model_fields:
        with pytest.raises(ValueError, match="frozen"):
            setattr(method, option, None)


def test_an_unknown_method_is_refused_with_a_suggestion() -> None:
    with pytest.raises(OptionError, match="Did you mean 'row_centroids'"):
        methods.get("row_centroid")


def test_the_example_methods_are_found_by_their_entry_points() -> None:
    expected = {"copied_answer", "distance_to_pool", "known_spans", "row_centroids", "second_opinion"}
    assert expected <= set(methods.names())


def test_method_files_do_not_import_each_other() -> None:
    folder = Path(nshot.__file__).parent / "methods"
    names = {path.stem for path in folder.glob("[!_]*.py")}
    for path in (*folder.glob("[!_]*.py"), *(PLUGIN / "nshot_contract_examples").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            else:
                continue
            others = {f"nshot.methods.{name}" for name in names}
            assert not imported & others, path.name


def _loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after running `code`."""
    shown = f"{code}\nimport sys\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_listing_the_names_loads_no_numeric_package() -> None:
    loaded = _loaded_by("from nshot import methods; assert methods.names() is not None")
    assert not loaded & {*HEAVY, "numpy"}


def test_reading_every_method_class_loads_no_heavy_package() -> None:
    loaded = _loaded_by("from nshot import methods; [methods.get(name) for name in methods.names()]")
    assert not loaded & set(HEAVY)
