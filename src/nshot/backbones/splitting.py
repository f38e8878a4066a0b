"""A text encoder cut between two layers: the lower part computes, the upper part is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nshot.backbones.bert import BertEncoder, UpperBert
from nshot.backbones.bert_inference import PackedBert
from nshot.backbones.networks import PaddedEncoder, packing, padding_mask
from nshot.core import UnsupportedError

_CLOSE = 1e-4
"""How far a network that was cut may answer from the whole one."""

States = Callable[[Mapping[str, Tensor]], list[Tensor]]
"""A batch of `networks.batch` to the states of each text, shape (tokens, hidden), in the order of its texts."""


def lower(network: nn.Module, top: int, precision: str, device: str) -> States:
    """Return what computes the layers below the last `top` of `network`, which is not to be used any more.

    Args:
        network: From `networks.pretrained`.
        top: How many layers are left out.
        precision: ``fp32`` or ``bf16``.
        device: A torch device name.
    """
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    if isinstance(network, BertEncoder):
        network.encoder.layer = network.encoder.layer[: len(network.encoder.layer) - top]
        return _packed_states(PackedBert(network, kind).hidden if device == "cpu" else _on(network, kind, device))
    encoder = _padded(network)
    return _padded_states(encoder.to(device=device, dtype=kind), layers(encoder)[-top], device)


def upper(network: nn.Module, top: int) -> nn.Module:
    """Return the last `top` layers and the head; `network` is not to be used any more.

    Everything of it that is not to be trained needs no gradient.
    """
    return UpperBert(network, top) if isinstance(network, BertEncoder) else UpperPadded(_padded(network), top)


def collate(states: Sequence[Tensor], *, packed: bool) -> dict[str, Tensor]:
    """Return the arguments of `upper` for the states of some texts, each of shape (tokens, hidden).

    Args:
        states: In any order.
        packed: Whether the network is a `BertEncoder`.
    """
    lengths = [len(each) for each in states]
    if packed:
        order, arguments = packing(lengths)
        return {"states": torch.cat([states[row] for row in order]), **arguments}
    return {
        "states": nn.utils.rnn.pad_sequence(list(states), batch_first=True),
        "attention_mask": padding_mask(lengths),
    }


def depth(network: nn.Module) -> int:
    """Return the number of layers."""
    return len(network.encoder.layer) if isinstance(network, BertEncoder) else len(layers(network))


def layers(network: nn.Module) -> nn.ModuleList:
    """Return the layers of a network: its longest list of modules.

    Raises:
        UnsupportedError: It has none.
    """
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise UnsupportedError("This backbone has no list of layers that could be cut in two. Use full_finetune.")
    return max(lists, key=len)


def require_the_same(whole: Tensor, cut: Callable[[], Tensor]) -> None:
    """Check that a network answers the same when it is cut.

    Args:
        whole: Vectors of the whole network for some texts, shape (texts, width).
        cut: Computes the same with both halves.

    Raises:
        UnsupportedError: It does not: its layers depend on more than what the layer below hands over.
    """
    try:
        found = cut()
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UnsupportedError(
            f"The layers of this backbone cannot be run without those below them ({type(error).__name__}: {error}). "
            "Use full_finetune or lora."
        ) from None
    if not torch.allclose(found, whole, atol=_CLOSE * float(whole.abs().max())):
        raise UnsupportedError(
            "The layers of this backbone need more than what the layer below hands over. Use full_finetune or lora."
        )


class UpperPadded(nn.Module):
    """The last layers of an encoder of transformers and its head, with the same names.

    What the model does around its layers (masks, positions) it does as always, on texts that say nothing; the layers
    that are left out hand on what they get, and the first that is left takes the states in its place.
    """

    def __init__(self, network: PaddedEncoder, top: int) -> None:
        """Take over the last `top` layers of `network`, which is not to be used any more."""
        super().__init__()
        stack = layers(network)
        for number in range(len(stack) - top):
            stack[number] = _LeftOut()
        network.requires_grad_(False)
        for part in (*stack, network.head):
            part.requires_grad_(True)
        self.model = network.model
        self.head = network.head
        self._states: Tensor | None = None
        stack[len(stack) - top].register_forward_pre_hook(self._hand_over, with_kwargs=True)

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Return float32 vectors, shape (texts, width).

        Args:
            states: What the layers below make of the texts, padded, shape (texts, tokens, hidden).
            attention_mask: 1 for tokens, 0 for padding, shape (texts, tokens).
        """
        self._states = states.float()
        try:
            made = self.model(input_ids=torch.zeros_like(attention_mask), attention_mask=attention_mask)
        finally:
            self._states = None
        groups = [(1, length) for length in attention_mask.sum(dim=1).tolist()]
        vectors: Tensor = self.head(made.last_hidden_state[attention_mask.bool()], groups)
        return vectors

    def _hand_over(
        self, layer: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if positional:
            return (self._states, *positional[1:]), named
        return positional, {**named, "hidden_states": self._states}


class _LeftOut(nn.Module):
    """Stands where a layer was."""

    def forward(self, hidden_states: Tensor, *others: Any, **named: Any) -> Tensor:
        """Return the same."""
        return hidden_states


def _padded(network: nn.Module) -> PaddedEncoder:
    if not isinstance(network, PaddedEncoder):
        raise TypeError(f"a text encoder was expected, not {type(network).__name__}")
    return network


def _on(network: BertEncoder, kind: torch.dtype, device: str) -> Callable[[Mapping[str, Tensor]], Tensor]:
    network = network.to(device=device, dtype=kind)
    return lambda arguments: network.hidden(**{name: value.to(device) for name, value in arguments.items()})


def _packed_states(hidden: Callable[[Mapping[str, Tensor]], Tensor]) -> States:
    def compute(arguments: Mapping[str, Tensor]) -> list[Tensor]:
        pieces = torch.split(hidden(arguments).cpu(), arguments["lengths"].tolist())
        return [pieces[place] for place in arguments["rows"].tolist()]

    return compute


def _padded_states(network: PaddedEncoder, first: nn.Module, device: str) -> States:
    """Return what runs the whole network and keeps what its layer `first` was given."""
    seen: list[Tensor] = []

    def look(layer: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(positional[0] if positional else named["hidden_states"])

    first.register_forward_pre_hook(look, with_kwargs=True)

    def compute(arguments: Mapping[str, Tensor]) -> list[Tensor]:
        seen.clear()
        network.model(**{name: value.to(device) for name, value in arguments.items()})
        lengths = arguments["attention_mask"].sum(dim=1).tolist()
        return [text[:length] for text, length in zip(seen[0].cpu(), lengths, strict=True)]

    return compute
