import pytest

from nshot.core import DataError, Span, TaskKind
from nshot.data import conll
from nshot.data.options import ReadOptions
from nshot.data.reading import read, stream_inputs

SENTENCE = "Anna B-person\nMaria I-person\nsaw O\nNew B-place\nYork I-place\n. O\n\nhe O\nleft O\n"


@pytest.mark.parametrize(
    "tags",
    [
        "I-per I-per O I-loc",  # IOB1
        "B-per I-per O B-loc",  # IOB2
        "B-per E-per O S-loc",  # BIOES
        "B-per L-per O U-loc",  # BILOU
    ],
)
def test_every_way_of_writing_tags_marks_the_same_entities(tags: str) -> None:
    found = conll.marked(["Anna", "Maria", "in", "Rome"], tags.split())
    assert found == [Span(0, 10, "per"), Span(14, 18, "loc")]


def test_a_first_word_or_another_label_begins_a_new_entity() -> None:
    assert conll.marked(["a", "b", "c"], ["B-x", "B-x", "I-y"]) == [Span(0, 1, "x"), Span(2, 3, "x"), Span(4, 5, "y")]
    assert conll.marked(["a", "b", "c"], ["S-x", "I-x", "I-x"]) == [Span(0, 1, "x"), Span(2, 5, "x")]


def test_tags_without_a_label_have_one_label() -> None:
    assert conll.marked(["a", "b", "c"], ["B", "I", "O"]) == [Span(0, 3, "entity")]


@pytest.mark.parametrize("name", ["train.conll", "train.tsv", "train.txt", "train.bio", "train.annotated"])
def test_a_file_is_recognised_by_what_is_in_it(tmp_path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(("\ufeff" + SENTENCE.replace(" ", "\t").replace("\n", "\r\n")).encode())
    source = read(path)
    assert source.task.kind is TaskKind.EXTRACT
    assert source.task.labels == ("person", "place")
    assert list(source.dataset.examples) == ["Anna Maria saw New York .", "he left"]
    assert list(source.dataset.targets) == [(Span(0, 10, "person"), Span(15, 23, "place")), ()]
    assert "tokens joined by one space" in source.recognised


def test_documents_are_groups_and_remarks_are_no_tokens(tmp_path) -> None:
    path = tmp_path / "train.conll"
    first = "-DOCSTART- -X- -X- O\n\n# id 7\nRome NNP B-NP B-place\n# NN O O\nfell VBD O O\n\n\n\nhe PRP O O\n"
    path.write_text(first + "-DOCSTART- -X- O O\n\nParis NNP B-NP B-place\n")
    source = read(path)
    assert list(source.dataset.examples) == ["Rome # fell", "he", "Paris"]
    assert list(source.dataset.groups) == ["1", "1", "2"]


def test_numbers_of_tokens_are_no_tokens(tmp_path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("# a remark\n1\tRome\tB-place\n2\tfell\tO\n\n1\tIt\tO\n2\tfell\tO\n")
    assert list(read(path).dataset.examples) == ["Rome fell", "It fell"]


def test_a_line_without_a_tag_is_named(tmp_path) -> None:
    path = tmp_path / "train.conll"
    path.write_text(SENTENCE * 2000 + "\nRome\n")
    with pytest.raises(DataError, match=r"Line 18,002 of train.conll must be a token and its tag.*'Rome'"):
        read(path)


def test_a_file_whose_tags_mark_nothing_is_refused_as_one_of_entities(tmp_path) -> None:
    path = tmp_path / "train.conll"
    path.write_text("Rome O\nfell O\n\nit O\nfell O\n")
    with pytest.raises(DataError, match=r"None of the 2 rows of train\.conll has an entity"):
        read(path)


@pytest.mark.parametrize(
    "text", ["text\tlabel\ngood\tO\nbad\tB\nfair\tO\n", "Once upon a time O\nthere was\n\na king\n", "a,b\n1,2\n3,4\n"]
)
def test_other_files_are_left_alone(text: str) -> None:
    assert not conll.is_conll(text)


def test_entities_of_a_file_are_predicted_on_its_texts(tmp_path) -> None:
    path = tmp_path / "new.conll"
    path.write_text(SENTENCE)
    batches = stream_inputs(path, ("text",), ReadOptions()).batches
    assert next(batches).examples == ["Anna Maria saw New York .", "he left"]


@pytest.mark.parametrize(
    ("name", "sentences", "entities"),
    [("wnut17/wnut17train.conll", 3394, 1975), ("wnut17/emerging.test.annotated", 1287, 1079)],
)
def test_published_files_have_the_published_numbers(shared_data, name: str, sentences: int, entities: int) -> None:
    """WNUT17: Derczynski et al. 2017, https://aclanthology.org/W17-4418, table 1."""
    source = read(shared_data / "ner" / name)
    assert len(source.dataset) == sentences
    assert sum(map(len, source.dataset.targets)) == entities
