"""Asking a model that may have come from a stranger."""

from __future__ import annotations

from collections.abc import Sequence

from nshot.core import Example, ModelError, NshotError, Prediction, Predictor

_LONGEST_REASON = 300


def answer(predictor: Predictor, examples: Sequence[Example], called: str) -> Prediction:
    """Return what the model answers.

    What was saved by its method answers, or says why an example cannot be answered. Numbers that a stranger put in its
    place may fit together only until they are used: that is then said, instead of where the computation stumbled.

    Args:
        predictor: Fitted, or loaded.
        examples: n examples.
        called: What people call the model.

    Raises:
        NshotError: What the model says about an example.
        ModelError: It is damaged, or there is a mistake in nshot.
    """
    try:
        return predictor.predict(examples)
    except NshotError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(
            f"{called} cannot answer ({type(error).__name__}: {error!s:.{_LONGEST_REASON}}). If somebody else made the "
            "model, it is damaged: get it anew. If you made it, this is a mistake in nshot: please report it."
        ) from error
