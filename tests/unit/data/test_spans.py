import json

import pytest

from nshot.core import DataError, Span, TaskKind
from nshot.data.options import ReadOptions
from nshot.data.reading import read, stream_inputs

TEXT = "Anna lives in New York"
PLACE = Span(14, 22, "place")


def row(cell: object, **more: object) -> dict[str, object]:
    return {"text": TEXT, "entities": cell, **more}


@pytest.mark.parametrize(
    "cell",
    [
        [{"start": 14, "end": 22, "label": "place"}],
        [[14, 22, "place"]],
        {"entities": [[14, 22, "place"]]},
        [{"start_offset": 14, "end_offset": 22, "label": "place", "id": 3}],
        [{"start": 14, "end": 22, "text": "New York", "labels": ["place"]}],
        [{"result": [{"value": {"start": 14, "end": 22, "text": "New York", "labels": ["place"]}, "type": "labels"}]}],
        [{"start": 13, "end": 22, "label": " place"}],
        '[{"start": 14, "end": 22, "label": "place"}]',
    ],
)
def test_entities_are_read_however_they_are_written(cell: object) -> None:
    source = read([row(cell), row([]), row(None)])
    assert source.task.kind is TaskKind.EXTRACT
    assert source.task.labels == ("place",)
    assert list(source.dataset.targets) == [(PLACE,), ()]
    assert list(source.unlabelled_positions) == [2]


def test_tokens_and_tags_are_joined_by_one_space_also_to_predict() -> None:
    rows = [{"tokens": ["New", "York", "is", "big"], "ner_tags": ["B-place", "I-place", "O", "O"]}]
    source = read(rows)
    assert list(source.dataset.examples) == ["New York is big"]
    assert list(source.dataset.targets) == [(Span(0, 8, "place"),)]
    assert next(stream_inputs(rows, source.text_columns).batches).examples == ["New York is big"]


def test_a_jsonl_file_is_read_with_offsets_of_code_points(tmp_path) -> None:
    path = tmp_path / "entities.jsonl"
    text = "\U0001f600 e\u0301 Zoë went"
    start = text.index("Zoë")
    path.write_text(json.dumps({"text": text, "spans": [[start, start + 3, "person"]]}) + "\n", encoding="utf-8")
    source = read(path)
    assert [source.dataset.examples[0][span.start : span.end] for span in source.dataset.targets[0]] == ["Zoë"]


def test_of_entities_that_overlap_the_longest_is_kept_and_the_others_are_counted() -> None:
    source = read([row([[14, 17, "place"], [14, 22, "city"], [0, 4, "person"], [0, 4, "person"]])])
    assert list(source.dataset.targets) == [(Span(0, 4, "person"), Span(14, 22, "city"))]
    assert "1 that overlap a longer one left out" in source.recognised


@pytest.mark.parametrize(
    ("entity", "said"),
    [
        ([14, 99, "place"], r"Row 2 .* from 14 to 99, and its text has 22 characters"),
        ([14, 14, "place"], r"nothing in between. The end is exclusive"),
        (
            {"start": 14, "end": 21, "label": "place", "text": "New York"},
            r"its end is the last character.*add 1",
        ),
        (
            {"start": 3, "end": 9, "label": "place", "text": "New York"},
            r"'a live', and it says .New York.*code",
        ),
        ({"start": 14, "end": 22}, r"without start, end or label"),
        ("New York", r"cannot be read"),
    ],
)
def test_what_is_wrong_with_an_entity_is_said_with_its_row(entity: object, said: str) -> None:
    rows = [row([[14, 22, "place"]]), row([entity])]
    with pytest.raises(DataError, match=said):
        read(rows, ReadOptions(task="extract", label="entities"))


def test_ends_that_cut_off_a_last_letter_everywhere_are_taken_for_a_way_of_counting() -> None:
    with pytest.raises(DataError, match=r"4 of the 4 entities .* end one character before a word does.*add 1"):
        read([row([[14, 21, "place"]])] * 4)


def test_tags_that_are_numbers_are_refused_in_words() -> None:
    with pytest.raises(DataError, match=r"'ner_tags' .* holds numbers, .* such as B-person"):
        read([{"tokens": ["New", "York"], "ner_tags": [1, 2]}, {"tokens": ["a"], "ner_tags": [0]}])


def test_labels_and_lists_of_other_things_are_no_entities() -> None:
    rows = [{"text": f"text number {i}", "label": "ab"[i % 2], "tokens": ["a", "b"]} for i in range(20)]
    assert read(rows).task.kind is TaskKind.CLASSIFY
    with pytest.raises(DataError, match=r"No column of the list holds entities. Found: text, label, tokens"):
        read(rows, ReadOptions(task="extract"))


def test_a_file_in_which_nothing_is_marked_is_refused() -> None:
    with pytest.raises(DataError, match="None of the 2 rows of the list has an entity"):
        read([row([]), row([])], ReadOptions(task="extract", label="entities"))


def test_a_test_has_the_columns_and_the_labels_of_its_training_file() -> None:
    train = read([row([[14, 22, "place"]])])
    assert read([row([])], like=train).task == train.task
    with pytest.raises(DataError, match=r"labels that do not occur in the list: 'person' \(1 row\)"):
        read([row([[0, 4, "person"]])], like=train)
