"""`nshot grow` as a user types it: real texts, odd files, and what the grown model answers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from integration.calling import nshot, succeeded, write_csv
from nshot import bundle

QUICK = ("--precision", "fp32", "--threads", "1")


@pytest.fixture(scope="module")
def banking(shared_data) -> dict[str, list[tuple[str, str]]]:
    """Return the first texts of each label of Banking77."""
    found: dict[str, list[tuple[str, str]]] = {}
    with (shared_data / "text/banking77/train.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["category"], []).append((row["text"], row["category"]))
    return {label: found[label][:14] for label in sorted(found)[:8]}


@pytest.fixture(scope="module")
def folder(banking, tmp_path_factory) -> Path:
    """Return a folder with models of six labels, and the rows of two more."""
    found = tmp_path_factory.mktemp("grow")
    labels = list(banking)
    write_csv(found / "train.csv", [row for label in labels[:6] for row in banking[label][:8]], ("text", "category"))
    write_csv(found / "more.csv", [row for label in labels[5:] for row in banking[label][8:11]], ("text", "category"))
    write_csv(found / "test.csv", [row for label in labels for row in banking[label][11:]], ("text", "category"))
    (found / "one.txt").write_text("".join(f"{text}\n" for text, _ in banking[labels[7]]), encoding="utf-8")
    for method in ("prototypes", "label_similarity"):
        succeeded("fit", found / "train.csv", "--method", method, "--out", found / method, *QUICK, "--quiet")
    return found


def test_a_model_that_reads_examples_learns_two_labels_from_a_table(folder, banking, tmp_path):
    called = succeeded("grow", folder / "prototypes", folder / "more.csv", "--out", tmp_path / "grown", *QUICK)
    assert "prototypes answers 8 labels now" in called.out
    scores = [
        succeeded("evaluate", model, folder / "test.csv", "--json", "--quiet").json()["metrics"]["accuracy"]["score"]
        for model in (folder / "prototypes", tmp_path / "grown")
    ]
    assert scores[1] > scores[0] + 0.1


def test_the_manifest_names_all_that_the_answers_depend_on(folder):
    manifest = bundle.read_manifest(folder / "prototypes")
    (base,) = manifest.backbones
    assert (base.id, base.licence, len(base.sha256)) == ("all-MiniLM-L6-v2", "apache-2.0", 64)
    assert (manifest.method.name, set(manifest.method.options)) == ("prototypes", {"sharpness"})
    assert (manifest.task.kind, len(manifest.task.labels), manifest.task.metric) == ("classify", 6, "macro_f1")
    assert {"nshot", "python", "torch"} <= set(manifest.packages)
    assert manifest.data_fingerprint
    assert "all-MiniLM-L6-v2 (apache-2.0)" in (folder / "prototypes" / "README.md").read_text(encoding="utf-8")


def test_a_model_that_reads_names_needs_no_example_and_says_that_it_learnt_from_none(folder, banking, tmp_path):
    label = list(banking)[7]
    called = succeeded(
        *("grow", folder / "label_similarity", folder / "one.txt", "--new-label", label, "--out", tmp_path / "grown"),
        *("--description", label.replace("_", " "), *QUICK, "--json"),
    )
    record = called.json()
    assert record["asked"]["examples"] == 14
    assert record["asked"]["right"] >= 7
    assert record["asked"]["learnt_from"] is False
    assert record["added"][0]["n_examples"] == 0
    succeeded("grow", folder / "label_similarity", "--new-label", "refund", "--out", tmp_path / "b", *QUICK)


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        ("empty.csv", b"", (), "empty"),
        ("head.csv", b"text,category\n", (), "no rows"),
        ("both.csv", b"text,category\na b c,x\nb c d,y\n", ("--label", "text"), "both the text and its label"),
        ("known.csv", b"text,category\nwhere is it,activate_my_card\n", (), "answers 'activate_my_card' already"),
        (
            "long.csv",
            b"text,category\nhello," + b"x" * 5_000_000 + b"\n",
            ("--text", "text", "--label", "category"),
            "letters",
        ),
    ],
)
def test_odd_files_end_in_a_message(folder, tmp_path, name, content, options, words):
    (tmp_path / name).write_bytes(content)
    called = nshot("grow", folder / "label_similarity", tmp_path / name, "--out", tmp_path / "grown", *options, *QUICK)
    assert (called.code, words in called.err) == (2, True), called.err
    assert not (tmp_path / "grown").exists()


def test_latin_1_and_a_cell_of_five_megabytes_are_read_like_everywhere(folder, tmp_path):
    cell = "where is my money " * 290_000
    text = f"text,category\n{cell},huge\nWo ist mein Geld für Köln geblieben?,wo_ist_es\n"
    (tmp_path / "latin.csv").write_bytes(text.encode("latin-1"))
    called = succeeded(
        "grow",
        folder / "prototypes",
        tmp_path / "latin.csv",
        "--out",
        tmp_path / "grown",
        "--encoding",
        "latin-1",
        *QUICK,
    )
    assert "new: 'huge', 'wo_ist_es'" in called.out
