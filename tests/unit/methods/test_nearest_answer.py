import numpy as np
import pytest

from nshot.core import Conversation, DataError, Dataset, ModelError, Task, TaskKind
from unit.methods.decoders import Scripted, fit, restored

TASK = Task(TaskKind.GENERATE)
TRAIN = Dataset(
    ["I lost my card", "what is the exchange rate", "top up with cash"],
    targets=[("Blocked.", "It is blocked."), ("See the app.",), ("At the counter.",)],
)
ENCODER = {"encoder": "fake/text-encoder"}


def test_the_answer_of_the_most_similar_input_is_given():
    predictor = fit("nearest_answer", TASK, TRAIN, None, **ENCODER)
    prediction = predictor.predict(["my card is lost", "exchange rate for euros", "can I top up"])
    assert prediction.texts == ["Blocked.", "See the app.", "At the counter."]
    assert prediction.stopped == [True] * 3


def test_every_labelled_input_gets_its_own_answer():
    predictor = fit("nearest_answer", TASK, TRAIN, None, **ENCODER)
    assert predictor.predict(TRAIN.examples).texts == [target[0] for target in TRAIN.targets]


def test_of_equal_inputs_the_first_labelled_is_taken():
    train = Dataset(["same", "same"], targets=[("first",), ("second",)])
    assert fit("nearest_answer", TASK, train, None, **ENCODER).predict(["same"]).texts == ["first"]


def test_all_turns_but_the_system_message_are_compared():
    about = {"card": "I lost my card", "rate": "what is the exchange rate"}
    train = Dataset(
        [Conversation.asking(text, "You work for a bank.").answered("Yes?").then("help") for text in about.values()],
        "conversation",
        targets=[(name,) for name in about],
    )
    predictor = fit("nearest_answer", TASK, train, None, **ENCODER)
    asked = Conversation.asking("the exchange rate", "I lost my card").answered("Yes?").then("help")
    assert predictor.predict([asked]).texts == ["rate"]


def test_it_is_saved_with_its_answers_and_its_encoder():
    predictor = fit("nearest_answer", TASK, TRAIN, None, **ENCODER)
    state = predictor.state()
    assert state.settings["encoder"]["id"] == "fake/text-encoder"
    again = restored("nearest_answer", TASK, predictor, Scripted(), **ENCODER)
    assert again.answers == predictor.answers
    np.testing.assert_array_equal(again.vectors, predictor.vectors)


def test_no_label_and_no_such_encoder_are_told_in_words():
    with pytest.raises(DataError, match="nearest_answer needs at least 1 labelled example"):
        fit("nearest_answer", TASK, TRAIN.take([]), None, **ENCODER)
    with pytest.raises(ModelError, match="no fake backbone 'fake/decoder2'"):
        fit("nearest_answer", TASK, TRAIN, None, encoder="fake/decoder2")
