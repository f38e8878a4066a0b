"""What a backbone has to have for entities to be found with it; imports nothing heavy."""

from __future__ import annotations

from nshot.core import Backbone, EmbedsTokens, Task, TaskKind


def not_trainable(name: str, task: Task, backbone: Backbone | None, *, early_stopping: bool) -> str | None:
    """Return why a method of this name trains no network to find entities; None where it does, and for other tasks.

    Args:
        name: Of the method.
        task: What is asked.
        backbone: As in `unsupported`.
        early_stopping: It was to be chosen how long is trained.
    """
    if task.kind is TaskKind.EXTRACT and early_stopping:
        return f"{name} does not choose how long it trains where entities are found. Leave early_stopping out."
    return unsupported(name, task, backbone)


def unsupported(name: str, task: Task, backbone: Backbone | None) -> str | None:
    """Return why a method of this name finds no entities with a backbone; None where it does, and for other tasks.

    Args:
        name: Of the method.
        task: What is asked.
        backbone: None where none was given, which is said elsewhere.
    """
    if task.kind is not TaskKind.EXTRACT or backbone is None or isinstance(backbone, EmbedsTokens):
        return None
    return f"{name} finds entities by the vectors of words, and {backbone.ref.name} has none. Use a text encoder."
