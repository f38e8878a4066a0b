"""From texts without labels to a comparison, as a user does it."""

from __future__ import annotations

import csv

import nshot


def test_the_file_that_was_filled_in_goes_straight_into_a_comparison(shared_data, tmp_path):
    with (shared_data / "text" / "ag_news" / "rows.csv").open(newline="") as file:
        truth = {row["text"]: row["topic"] for row in list(csv.DictReader(file))[:1600:8]}
    data = tmp_path / "news.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([f"n{i}", text] for i, text in enumerate(truth))])
    found = nshot.explore_data(data, out=tmp_path / "out", label_next=40)
    assert found.record["modality"] == "text"
    file = found.record["files"]["to_label"]
    assert "--text text --label label" in file["then"]

    with (tmp_path / "out" / "to_label.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == len(truth)
    for row in rows[:40]:
        row["label"] = truth[row["text"]]
    filled = tmp_path / "filled.csv"
    with filled.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    compared = nshot.compare(
        filled,
        text="text",
        label="label",
        out=tmp_path / "compared",
        methods=("tfidf_linear", "majority"),
        budget="60s",
        repeats=1,
    )
    assert compared.verdict["model_n_labels"] == 40
