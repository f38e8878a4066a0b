import numpy as np
import pytest

from nshot.core import (
    ASSISTANT,
    SYSTEM,
    USER,
    Conversation,
    DataError,
    Dataset,
    ExampleError,
    Message,
    Task,
    TaskKind,
    as_conversation,
)
from unit.methods.decoders import Scripted, fit, restored

WRITE = Task(TaskKind.GENERATE, instruction="Answer.")
COLOURS = Task(TaskKind.CLASSIFY, ("blue", "green", "red"))


def pairs(n, words=1):
    return Dataset([f"q{i} {'x ' * (words - 1)}".strip() for i in range(n)], targets=[(f"a{i}",) for i in range(n)])


def coloured(n_of_each, words=2):
    labels = [label for label in COLOURS.labels for _ in range(n_of_each[label])]
    return Dataset([f"{label} thing{i} {'y ' * (words - 2)}".strip() for i, label in enumerate(labels)], targets=labels)


def shown(turns):
    return [(asked.content, told.content) for asked, told in zip(turns[::2], turns[1::2], strict=True)]


def without_system(turns):
    return [turn for turn in turns if turn.role != SYSTEM]


def test_the_same_examples_stand_once_before_all_inputs():
    model = Scripted()
    predictor = fit("in_context", WRITE, pairs(30), model, shots=5)
    predictor.predict([f"new {i}" for i in range(7)])
    ((before, asked),) = model.asked
    assert before[0] == Message(SYSTEM, "Answer.")
    worked = shown(before[1:])
    assert len({question for question, _ in worked}) == 5
    assert all(answer == question.replace("q", "a") for question, answer in worked)
    assert len(asked) == 7
    assert predictor.state().settings["shown"] == 5


def test_another_seed_shows_other_examples():
    worked = []
    for seed in (0, 0, 1):
        model = Scripted()
        fit("in_context", WRITE, pairs(30), model, seed=seed, shots=5).predict(["new"])
        worked.append(model.asked[0][0])
    assert worked[0] == worked[1] != worked[2]


def test_as_many_are_shown_as_the_model_takes_in():
    model = Scripted(longest=100)
    predictor = fit("in_context", WRITE, pairs(30, words=9), model, max_new_tokens=20)
    # 100 less 20 for the answer, 1 for the instruction and 9 for an input leave room for 7 of 10 words.
    assert predictor.state().settings["shown"] == 7


def test_an_example_that_alone_is_too_long_is_passed_over():
    train = Dataset(["long " * 300, "q1", "q2"], targets=[("a0",), ("a1",), ("a2",)])
    for seed in range(4):
        model = Scripted(longest=200)
        fit("in_context", WRITE, train, model, seed=seed, max_new_tokens=20).predict(["new"])
        assert sorted(shown(model.asked[0][0][1:])) == [("q1", "a1"), ("q2", "a2")]


def test_where_no_example_fits_it_says_so():
    with pytest.raises(DataError, match=r"scripted takes 100 tokens.*shortest example has 301"):
        fit("in_context", WRITE, pairs(3, words=300), Scripted(longest=100))


def test_a_longer_input_gets_fewer_examples_and_changes_nothing_for_the_others():
    model = Scripted(write=lambda turns: str(len(turns)), longest=100)
    predictor = fit("in_context", WRITE, pairs(30, words=9), model, max_new_tokens=20)
    texts = predictor.predict(["new", "w " * 45, "w " * 75, "other"]).texts
    assert texts == ["16", "8", "2", "16"]
    streamed = ["".join(predictor.stream(text, predictor.decoding)) for text in ("new", "w " * 45)]
    assert streamed == ["16", "8"]


def test_likelihoods_are_those_after_the_shown_examples_in_the_order_of_the_inputs():
    model = Scripted(lambda turns, text: -float(len(turns)), longest=100)
    predictor = fit("in_context", WRITE, pairs(30, words=9), model, max_new_tokens=20)
    found = predictor.likelihoods(["w " * 45, "new"], ["abc", "d"])
    np.testing.assert_array_equal(found, [[-8, 3], [-16, 1]])
    silent = Scripted(scores=False)
    assert fit("in_context", WRITE, pairs(3), silent).likelihoods(["new"], ["a"]) is None


def test_an_answer_longer_than_any_that_is_written_is_judged_after_fewer_examples():
    model = Scripted(lambda turns, text: -float(len(turns)), longest=100)
    predictor = fit("in_context", WRITE, pairs(30, words=9), model, max_new_tokens=20)
    found = predictor.likelihoods(["new", "new"], ["short", "w " * 60])
    assert found[:, 0].tolist() == [-16, -8]


def test_all_turns_of_a_conversation_are_shown_and_its_system_message_is_not():
    long = Conversation.asking("hi", "You are kind.").answered("yes?").then("help")
    train = Dataset([long], "conversation", targets=[("Of course.", "Sure.")])
    model = Scripted()
    predictor = fit("in_context", WRITE, train, model)
    predictor.predict([Conversation.asking("new", "You are brief.")])
    turns = as_conversation(model.asked[0][1][0], model.asked[0][0]).messages
    assert [turn.role for turn in turns] == [SYSTEM, USER, ASSISTANT, USER, ASSISTANT, USER]
    assert [turn.content for turn in turns] == ["You are brief.", "hi", "yes?", "help", "Of course.", "new"]


def test_of_inputs_that_are_nearly_the_same_one_is_shown():
    train = Dataset(
        [f"q{i}" for i in range(12)], targets=[(f"a{i}",) for i in range(12)], groups=[i % 3 for i in range(12)]
    )
    model = Scripted()
    fit("in_context", WRITE, train, model).predict(["new"])
    numbers = [int(question[1:]) % 3 for question, _ in shown(model.asked[0][0][1:])]
    assert sorted(numbers) == [0, 1, 2]


def test_every_label_gets_its_turn_before_any_gets_a_second():
    model = Scripted(lambda turns, text: -1.0)
    fit("in_context", COLOURS, coloured({"blue": 40, "green": 5, "red": 2}), model, shots=8).predict(["new"])
    labels = [label for _, label in shown(without_system(model.asked[-1][0]))]
    assert sorted(labels[:3]) == sorted(labels[3:6]) == ["blue", "green", "red"]
    assert "red" not in labels[6:]


def test_what_the_shown_examples_say_whatever_the_input_is_does_not_count():
    def says(turns, text):
        return (1.0 if text in turns[-1].content else 0.0) - {"blue": 3.0, "green": 9.0, "red": 30.0}[text]

    predictor = fit("in_context", COLOURS, coloured({"blue": 4, "green": 4, "red": 4}), Scripted(says))
    prediction = predictor.predict(["a red one", "a green one", "nothing"])
    assert prediction.labels[:2] == ["red", "green"]
    np.testing.assert_allclose(prediction.probabilities[2], 1 / 3, atol=1e-5)


def test_the_nearest_are_shown_and_the_nearest_of_them_last():
    train = Dataset(
        ["lost card", "bad exchange rate", "lost my card again", "cash top up", "rate of exchange today"],
        targets=[(f"a{i}",) for i in range(5)],
    )
    model = Scripted()
    predictor = fit("in_context", WRITE, train, model, choose="nearest", shots=2, encoder="fake/text-encoder")
    predictor.predict(["lost card", "exchange rate today"])
    ((before, asked),) = model.asked
    assert before == (Message(SYSTEM, "Answer."),)
    found = [shown(example.messages[:-1]) for example in asked]
    assert found[0][-1] == ("lost card", "a0")
    assert {question for question, _ in found[0]} == {"lost card", "lost my card again"}
    assert {question for question, _ in found[1]} == {"bad exchange rate", "rate of exchange today"}


@pytest.mark.parametrize("task", [WRITE, COLOURS], ids=["generate", "classify"])
def test_chosen_by_nearness_saved_and_restored_answers_alike(task):
    options = {"choose": "nearest", "shots": 2, "encoder": "fake/text-encoder"}
    model = Scripted(
        lambda turns, text: -float(len(text)) * len(turns[0].content.split()), write=lambda turns: turns[-3].content
    )
    train = pairs(9, words=4) if task is WRITE else coloured({"blue": 4, "green": 4, "red": 4})
    predictor = fit("in_context", task, train, model, **options)
    again = restored("in_context", task, predictor, model, **options)
    new = ["q3 x", "blue thing1", "thing9 red"]
    first, second = predictor.predict(new), again.predict(new)
    assert (first.texts, first.labels) == (second.texts, second.labels)
    one_by_one = [predictor.predict([text]) for text in new]
    if task is COLOURS:
        assert np.concatenate([one.probabilities for one in one_by_one]).tolist() == first.probabilities.tolist()
    else:
        assert [one.texts[0] for one in one_by_one] == first.texts


def test_which_labels_are_near_counts_where_not_all_are_shown():
    """A model that repeats the labels it was shown, whatever the input: nearness then decides."""

    def says(turns, text):
        return 0.0 if text in {turn.content for turn in turns if turn.role == ASSISTANT} else -9.0

    def answered(shots):
        model = Scripted(says)
        train = coloured({"blue": 3, "green": 3, "red": 3})
        options = {"choose": "nearest", "shots": shots, "encoder": "fake/text-encoder"}
        return fit("in_context", COLOURS, train, model, **options).predict(["red thing6", "green thing4"])

    assert answered(1).labels == ["red", "green"]
    np.testing.assert_allclose(answered(3).probabilities, 1 / 3, atol=1e-6)


@pytest.mark.parametrize("choose", ["random", "nearest"])
def test_a_model_that_tells_no_probabilities_writes_the_label_after_the_examples(choose):
    model = Scripted(write=lambda turns: turns[-2].content, scores=False)
    train = coloured({"blue": 2, "green": 2, "red": 2})
    predictor = fit("in_context", COLOURS, train, model, choose=choose, encoder="fake/text-encoder")
    prediction = predictor.predict(["red thing4", "green thing2"])
    assert prediction.probabilities is None
    if choose == "nearest":
        assert prediction.labels == ["red", "green"]


def test_long_texts_are_cut_so_that_the_examples_stay():
    model = Scripted(lambda turns, text: -1.0, longest=200)
    for choose in ("random", "nearest"):
        predictor = fit(
            "in_context",
            COLOURS,
            coloured({"blue": 9, "green": 9, "red": 9}),
            model,
            choose=choose,
            shots=6,
            encoder="fake/text-encoder",
        )
        predictor.predict(["red " * 4000])
        before, asked = model.asked[-1]
        turns = without_system(as_conversation(asked[0], before).messages)
        assert len(turns) == 13
        assert sum(len(turn.content.split()) for turn in turns) < 200


def test_an_input_that_is_too_long_is_named_by_where_it_stands_among_all():
    def write(turns):
        if "huge" in turns[-1].content:
            raise ExampleError(0, " has too many tokens.")
        return "yes"

    predictor = fit("in_context", WRITE, pairs(9), Scripted(write=write, longest=60), max_new_tokens=20)
    with pytest.raises(ExampleError, match="Example 3 has too many tokens"):
        predictor.predict(["a", "b", "huge " * 55, "c"])
