"""A decoder that is told what to say, and remembers what it was asked."""

from __future__ import annotations

import numpy as np

from nshot import methods, metrics
from nshot.backbones import fake
from nshot.core import Ability, BackboneRef, FitContext, Written, as_conversation


class Scripted:
    """Takes a word for a token; scores by a function of the turns and the continuation."""

    modalities = frozenset({"text", "conversation"})
    ref = BackboneRef("scripted", sha256="0" * 64)

    def __init__(self, score=lambda turns, text: 0.0, write=lambda turns: "yes", longest=1000, scores=True):
        self.says, self.write, self.longest = score, write, longest
        self.abilities = frozenset({Ability.GENERATES, *([Ability.SCORES] if scores else [])})
        self.asked = []

    def prompt_tokens(self, examples, *, before=()):
        return [
            sum(len(turn.content.split()) for turn in as_conversation(example, before).messages) for example in examples
        ]

    def _turns(self, examples, before):
        self.asked.append((tuple(before), list(examples)))
        return [as_conversation(example, before).messages for example in examples]

    def generate(self, examples, decoding, *, before=()):
        return [Written(self.write(turns), True, 1) for turns in self._turns(examples, before)]

    def stream(self, example, decoding, *, before=()):
        yield self.generate([example], decoding, before=before)[0].text

    def score(self, examples, continuations, *, before=()):
        turns = self._turns(examples, before)
        return np.array([[self.says(turn, text) for text in continuations] for turn in turns], dtype=np.float32)

    def likelihoods(self, examples, answers, *, before=()):
        turns = self._turns(examples, before)
        return np.array([[self.says(turn, text), len(text)] for turn, text in zip(turns, answers, strict=True)])


def context(task, seed=0):
    judged = metrics.get("token_f1" if not task.labels else "macro_f1")
    return FitContext(lambda targets, answers: judged.score(targets, answers, task), seed=seed, open=fake.open)


def fit(name, task, train, model, *, seed=0, **options):
    return methods.build(name, options).fit(task, train, train.without_targets(), model, context(task, seed))


def restored(name, task, predictor, model, **options):
    def opened(ref):
        return model if ref == model.ref else fake.open(ref)

    return methods.build(name, options).restore(task, predictor.state(), opened)
