"""The torch side of a text encoder: building it, filling in weights, making batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from nshot.backbones.bert import BertEncoder, BertShape, Prefix
from nshot.backbones.bert_inference import PackedBert
from nshot.backbones.pooling import Head
from nshot.backbones.settings import Dense, EncoderSettings
from nshot.core import ModelError, UnsupportedError

if TYPE_CHECKING:
    import transformers

Network = Callable[[Mapping[str, Tensor]], Tensor]
"""A batch of `batch` to vectors, shape (texts, width)."""


class PaddedEncoder(nn.Module):
    """Any encoder of transformers, with pooling."""

    def __init__(self, model: transformers.PreTrainedModel, head: Head) -> None:
        super().__init__()
        self.model = model
        self.head = head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return float32 vectors, shape (texts, width), from padded ids and their mask, shape (texts, tokens)."""
        # Texts of a padded batch are in any order of length: every text is a group of its own.
        groups = [(1, length) for length in attention_mask.sum(dim=1).tolist()]
        vectors: Tensor = self.head(self.hidden(input_ids, attention_mask), groups)
        return vectors

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the vector of every token that is no padding, text by text, shape (tokens, hidden)."""
        states: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states[attention_mask.bool()]

    def word_table(self) -> Tensor:
        """Return the vectors of the vocabulary, shape (vocabulary, hidden)."""
        table: Tensor = self.model.get_input_embeddings().weight
        return table


def pretrained(settings: EncoderSettings, files: Sequence[Path], *, trust_remote_code: bool) -> nn.Module:
    """Return the network with its weights, float32, training mode off.

    Args:
        settings: What the model folder says.
        files: Weight files of the network.
        trust_remote_code: Whether code in the folder may be run.

    Raises:
        ModelError: The weights cannot be read or do not fit.
    """
    head = _head(settings)
    _load_head(settings, head)
    shape = BertShape.of(settings.config)
    if shape is None:
        model = _transformers_model(settings, trust_remote_code)
        return PaddedEncoder(model.float(), head).eval()
    network = BertEncoder(shape, head)
    weights = {}
    for path in files:
        weights.update(_read(path))
    _fill(network, {_plain_name(name): value for name, value in weights.items()}, settings.folder)
    return network.eval()


def untrained(settings: EncoderSettings, seed: int, *, trust_remote_code: bool) -> nn.Module:
    """Return the same architecture with weights drawn from `seed`, float32, training mode off."""
    shape = BertShape.of(settings.config)
    if shape is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _transformers_model(settings, trust_remote_code, random=True)
            return PaddedEncoder(model.float(), Head(settings)).eval()
    network = BertEncoder(shape, _head(settings))
    network.initialise(torch.Generator().manual_seed(seed))
    return network.eval()


def changed(network: nn.Module, weights: Mapping[str, np.ndarray]) -> nn.Module:
    """Return the network with these weights put in place of its own.

    Raises:
        ModelError: A name or a shape is not one of this network.
    """
    own = network.state_dict()
    for name, value in weights.items():
        if name not in own:
            raise ModelError(f"The trained weights name '{name}', which this network does not have.")
        if tuple(own[name].shape) != tuple(value.shape):
            raise ModelError(f"The trained weight '{name}' has shape {value.shape}. Expected {tuple(own[name].shape)}.")
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()}, strict=False)
    return network


def shortened(network: nn.Module, settings: EncoderSettings) -> BertEncoder:
    """Return the first layers of a network, with its embeddings and its head.

    Args:
        network: A `BertEncoder`, which is not to be used any more.
        settings: Their config says how many layers there are to be.

    Raises:
        UnsupportedError: It is another network.
    """
    shape = BertShape.of(settings.config)
    if not isinstance(network, BertEncoder) or shape is None:
        raise UnsupportedError("Only the architecture of BERT is cut to its first layers.")
    short = BertEncoder(shape, network.head)
    weights = network.state_dict()
    short.load_state_dict({name: weights[name] for name in short.state_dict()})
    return short.eval()


def prefixed(network: nn.Module, vectors: np.ndarray) -> BertEncoder:
    """Return the network with these vectors before every text in every layer; nothing else of it is trained.

    Args:
        network: A `BertEncoder`, which is changed.
        vectors: Shape (prefix, layers * 2 * hidden), see `bert.Prefix`.

    Raises:
        UnsupportedError: It is another network.
        ModelError: The vectors have another shape, or there are more of them than positions.
    """
    if not isinstance(network, BertEncoder):
        raise UnsupportedError("Only the architecture of BERT takes a prefix. Use lora or ia3.")
    shape = network.shape
    width, most = shape.num_hidden_layers * 2 * shape.hidden_size, shape.max_position_embeddings - 1
    if vectors.ndim != 2 or vectors.shape[1] != width or not 1 <= len(vectors) <= most:
        raise ModelError(
            f"The prefix has shape {vectors.shape}. Expected (1 to {most}, {width}): one row for each of its positions."
        )
    network.requires_grad_(False)
    network.prefix = Prefix(torch.from_numpy(np.array(vectors, dtype=np.float32)), shape.num_attention_heads)
    return network


def batch(settings: EncoderSettings, prepared: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Return the arguments of the network for these token ids."""
    if BertShape.of(settings.config) is None:
        return _padded(prepared, int(settings.config.get("pad_token_id") or 0))
    return _packed(prepared)


def for_inference(network: nn.Module, precision: str, device: str) -> Network:
    """Return the network as a function, in this precision on this device."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    if isinstance(network, BertEncoder) and device == "cpu":
        return PackedBert(network, kind)
    network = network.to(device=device, dtype=kind)
    for part in network.modules():
        if isinstance(part, Head):
            part.float()  # pooling hands over float32

    def run(arguments: Mapping[str, Tensor]) -> Tensor:
        vectors: Tensor = network(**{name: value.to(device) for name, value in arguments.items()})
        return vectors

    return run


def tokens_for_inference(network: nn.Module, precision: str, device: str) -> Network:
    """Return what makes the vectors of all tokens of a batch, shape (tokens, hidden), the shortest text first.

    Args:
        network: Has ``hidden``; it is not to be used any more.
        precision: As in `for_inference`.
        device: As in `for_inference`.

    Raises:
        UnsupportedError: It has no vectors of tokens.
    """
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    if isinstance(network, BertEncoder) and device == "cpu":
        return PackedBert(network, kind).hidden
    if not isinstance(network, BertEncoder | PaddedEncoder):
        raise UnsupportedError("This network hands out no vectors of its tokens.")
    hidden = network.to(device=device, dtype=kind).hidden
    return lambda arguments: hidden(**{name: value.to(device) for name, value in arguments.items()})


def packing(lengths: Sequence[int]) -> tuple[list[int], dict[str, Tensor]]:
    """Return the order in which texts of these lengths are packed, and what tells `BertEncoder` about it."""
    counts = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(counts, kind="stable")
    rows = np.empty_like(order)
    rows[order] = np.arange(len(order))
    return order.tolist(), {"lengths": torch.from_numpy(counts[order]), "rows": torch.from_numpy(rows)}


def padding_mask(lengths: Sequence[int]) -> Tensor:
    """Return 1 for every token and 0 for padding, int64, shape (texts, longest)."""
    counts = torch.tensor(lengths)
    return (torch.arange(int(counts.max())) < counts[:, None]).long()


def _packed(prepared: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    order, arguments = packing([len(tokens) for tokens in prepared])
    lengths = arguments["lengths"].numpy()
    ends = lengths.cumsum()
    total = int(ends[-1])
    ids = np.fromiter(itertools.chain.from_iterable(prepared[row] for row in order), dtype=np.int64, count=total)
    positions = np.arange(total) - np.repeat(ends - lengths, lengths)
    return {"input_ids": torch.from_numpy(ids), "position_ids": torch.from_numpy(positions), **arguments}


def _padded(prepared: Sequence[Sequence[int]], padding: int) -> dict[str, Tensor]:
    mask = padding_mask([len(tokens) for tokens in prepared])
    ids = np.full(mask.shape, padding, dtype=np.int64)
    for row, tokens in enumerate(prepared):
        ids[row, : len(tokens)] = tokens
    return {"input_ids": torch.from_numpy(ids), "attention_mask": mask}


def _head(settings: EncoderSettings) -> Head:
    """Return pooling and what follows; the weights that torch draws for it leave nobody's random numbers changed."""
    with torch.random.fork_rng(devices=[]):
        return Head(settings)


def _fill(network: nn.Module, weights: Mapping[str, Tensor], folder: Path) -> None:
    wanted = {name: value for name, value in network.state_dict().items() if not name.startswith("head.")}
    missing = sorted(set(wanted) - set(weights))
    if missing:
        raise ModelError(
            f"The weights in {folder} lack {len(missing)} of {len(wanted)} that a BERT has, such as {missing[0]}. "
            "Is config.json that of another model?"
        )
    for name, value in wanted.items():
        if value.shape != weights[name].shape:
            raise ModelError(
                f"The weight {name} in {folder} has shape {tuple(weights[name].shape)}. "
                f"config.json asks for {tuple(value.shape)}."
            )
        value.copy_(weights[name])


def _load_head(settings: EncoderSettings, head: Head) -> None:
    """Fill in the dense layers after pooling."""
    for step, layer in zip(settings.after, head.after, strict=True):
        if isinstance(step, Dense):
            path = step.folder / "model.safetensors"
            try:
                layer.load_state_dict(_read(path))
            except RuntimeError as error:
                raise ModelError(f"{path} does not fit its config.json: {error}") from None


def _plain_name(name: str) -> str:
    """Return a weight's name without what older releases and task models put around it."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}. Download or copy the model again.") from None


def _transformers_model(
    settings: EncoderSettings, trust_remote_code: bool, *, random: bool = False
) -> transformers.PreTrainedModel:
    from transformers import AutoConfig, AutoModel

    try:
        if random:
            config = AutoConfig.from_pretrained(
                settings.folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
            model: Any = AutoModel.from_config(config, trust_remote_code=trust_remote_code)
        else:
            model = AutoModel.from_pretrained(
                settings.folder, trust_remote_code=trust_remote_code, local_files_only=True, use_safetensors=True
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"The model in {settings.folder} (type '{settings.model_type}') cannot be opened: {error}"
        ) from None
    return model.get_encoder() if settings.config.get("is_encoder_decoder") else model
