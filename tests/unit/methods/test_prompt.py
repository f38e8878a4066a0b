import numpy as np
import pytest

from nshot.core import ASSISTANT, SYSTEM, Conversation, DataError, Dataset, Message, Task, TaskKind, UnsupportedError
from unit.methods.decoders import Scripted, fit, restored

WRITE = Task(TaskKind.GENERATE, instruction="Answer in one word.")
MOODS = Task(TaskKind.CLASSIFY, ("bad", "good"))
NOTHING = Dataset([], targets=[], name="nothing")


def moods(evidence, prior, **more):
    """Return a model to which a text says so much for each label, beside what every text says."""
    return Scripted(lambda turns, text: evidence.get((turns[-1].content, text), 0.0) + prior[text], **more)


def test_the_instruction_is_the_system_message_and_the_model_is_asked_as_it_is():
    model = Scripted(lambda turns, text: -1.0, write=lambda turns: turns[-1].content.upper())
    predictor = fit("prompt", WRITE, NOTHING, model)
    assert predictor.predict(["hello"]).texts == ["HELLO"]
    assert model.asked == [((Message(SYSTEM, "Answer in one word."),), ["hello"])]


def test_without_an_instruction_nothing_stands_before_the_input():
    model = Scripted()
    fit("prompt", Task(TaskKind.GENERATE), NOTHING, model).predict([Conversation.asking("hello")])
    assert model.asked[0][0] == ()


def test_answers_may_be_half_as_long_again_as_the_longest_labelled_one():
    train = Dataset(["a", "b"], targets=[("one two",), (" ".join("x" * 40),)])
    assert fit("prompt", WRITE, train, Scripted()).decoding.max_new_tokens == 60
    assert fit("prompt", WRITE, NOTHING, Scripted()).decoding.max_new_tokens == 256
    assert fit("prompt", WRITE, train, Scripted(), max_new_tokens=7).decoding.max_new_tokens == 7


def test_a_model_that_tells_no_probabilities_has_no_likelihoods():
    assert fit("prompt", WRITE, NOTHING, Scripted(scores=False)).likelihoods(["a"], ["b"]) is None
    assert fit("prompt", WRITE, NOTHING, Scripted()).likelihoods(["a"], ["b"]).tolist() == [[0.0, 1.0]]


def test_what_a_label_has_whatever_the_input_is_does_not_count():
    model = moods({("awful", "bad"): 1.0, ("lovely", "good"): 1.0}, {"bad": -20.0, "good": -2.0})
    prediction = fit("prompt", MOODS, NOTHING, model).predict(["awful", "lovely", "a table"])
    assert prediction.labels[:2] == ["bad", "good"]
    np.testing.assert_allclose(prediction.probabilities[2], 0.5, atol=1e-6)


def test_evidence_counts_over_the_root_of_the_length():
    task = Task(TaskKind.CLASSIFY, ("no", "perhaps"))
    model = moods({("x", "no"): 2.0, ("x", "perhaps"): 2.0}, {"no": -1.0, "perhaps": -1.0})
    got = fit("prompt", task, NOTHING, model).predict(["x"]).probabilities[0]
    mean = (2 + 7) / 2
    gain = np.array([2.0 * np.sqrt(mean / 2), 2.0 * np.sqrt(mean / 7)])
    np.testing.assert_allclose(got, np.exp(gain) / np.exp(gain).sum(), atol=1e-6)


def test_the_labels_are_listed_by_their_texts_after_the_instruction():
    task = Task(TaskKind.CLASSIFY, ("a", "b_b"), descriptions={"a": "zebra"}, instruction="Which animal?")
    model = Scripted()
    fit("prompt", task, NOTHING, model).predict(["x"])
    (system,) = model.asked[-1][0]
    assert system.content == "Which animal?\nAnswer with one of these labels and nothing else:\n- b b\n- zebra"


def test_names_of_labels_do_not_matter_where_they_are_described():
    def says(turns, text):
        return -len(set(text) ^ set(turns[-1].content)) - 0.01 * len(turns[0].content)

    described = {"one": "red fruit", "two": "a blue sea"}
    swapped = {"two": "red fruit", "one": "a blue sea"}
    texts = ["fruit", "sea", "red sea"]
    first, second = (
        fit("prompt", Task(TaskKind.CLASSIFY, ("one", "two"), descriptions=words), NOTHING, Scripted(says))
        .predict(texts)
        .probabilities
        for words in (described, swapped)
    )
    np.testing.assert_allclose(first, second[:, ::-1], atol=1e-6)


@pytest.mark.parametrize(("labels", "longest"), [(101, 100_000), (30, 100)])
def test_too_many_labels_are_not_listed(labels, longest):
    task = Task(TaskKind.CLASSIFY, tuple(sorted(f"label{i}" for i in range(labels))))
    model = Scripted(longest=longest)
    fit("prompt", task, NOTHING, model).predict(["x"])
    assert "label7" not in model.asked[-1][0][0].content


def test_a_text_that_is_too_long_is_cut_at_its_end_and_no_other():
    model = Scripted(longest=120)
    fit("prompt", MOODS, NOTHING, model).predict(["short one", "word " * 500])
    short, long = model.asked[-1][1]
    assert short == "short one"
    assert long.startswith("word word")
    assert 40 < len(long.split()) < 110


def test_a_model_too_small_for_the_question_is_refused_in_words():
    predictor = fit("prompt", MOODS, NOTHING, Scripted(longest=9))
    with pytest.raises(DataError, match="takes 9 tokens, and what stands around a text takes"):
        predictor.predict(["hello"])


def test_conversations_are_classified_by_all_that_was_said():
    model = Scripted()
    asked = Conversation.asking("hello", "You are kind.").answered("what is it?").then("a lost card")
    fit("prompt", MOODS, NOTHING, model).predict([asked])
    assert model.asked[-1][1] == ["user: hello\nassistant: what is it?\nuser: a lost card"]


def test_a_model_that_tells_no_probabilities_writes_the_label():
    said = iter(["Good!", "I think it is bad.", "no idea", "the good one, not a bad apple"])
    task = Task(TaskKind.CLASSIFY, ("bad", "bad_apple", "good"))
    prediction = fit("prompt", task, NOTHING, Scripted(write=lambda turns: next(said), scores=False)).predict("abcd")
    assert prediction.labels == ["good", "bad", "bad", "bad_apple"]
    assert prediction.probabilities is None


def test_a_new_label_joins_the_list_and_the_old_predictor_stays():
    model = moods({("calm", "so so"): 3.0}, {"bad": -1.0, "good": -2.0, "so so": -9.0})
    predictor = fit("prompt", MOODS, NOTHING, model)
    grown = predictor.with_label("so_so")
    assert grown.predict(["calm"]).labels == ["so_so"]
    assert "- so so" in model.asked[-1][0][0].content
    assert predictor.predict(["calm"]).probabilities.shape == (1, 2)
    again = restored("prompt", grown.task, grown, model)
    np.testing.assert_array_equal(again.predict(["calm"]).probabilities, grown.predict(["calm"]).probabilities)


def test_a_score_that_is_no_number_is_told_with_its_example():
    model = Scripted(lambda turns, text: float("nan") if turns[-1].content == "x" else -1.0)
    predictor = fit("prompt", MOODS, NOTHING, model)
    with pytest.raises(DataError, match="gave no number for example 1"):
        predictor.predict(["fine", "x"])


def test_an_impossible_label_has_probability_zero():
    model = Scripted(lambda turns, text: -np.inf if text == "bad" and turns[-1].content == "x" else -1.0)
    got = fit("prompt", MOODS, NOTHING, model).predict(["x"])
    np.testing.assert_allclose(got.probabilities, [[0, 1]], atol=1e-6)


def test_a_backbone_that_does_not_write_is_refused_in_a_sentence():
    from nshot.backbones import fake

    with pytest.raises(UnsupportedError, match="prompt needs a backbone that generates; text-encoder does not"):
        fit("prompt", MOODS, NOTHING, fake.FakeTextEncoder())


def test_an_answer_of_the_assistants_is_never_the_last_turn_before_an_input():
    model = Scripted()
    fit("prompt", WRITE, NOTHING, model).predict(["a"])
    assert ASSISTANT not in {turn.role for turn in model.asked[0][0]}
