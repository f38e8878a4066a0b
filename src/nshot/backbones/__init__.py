"""Pre-trained models: opening one by its name, and what is on this machine already."""

from __future__ import annotations

from functools import partial

from nshot.backbones.cache import CacheInfo, FeatureCache, KeepsVectors, cache_folder
from nshot.backbones.causal_lm import CausalLM
from nshot.backbones.decoder_settings import is_decoder
from nshot.backbones.image_encoder import ImageEncoder
from nshot.backbones.image_settings import is_image_model
from nshot.backbones.locate import DEFAULT, KnownModel, known, locate
from nshot.backbones.pixels import ID as PIXELS
from nshot.backbones.pixels import Pixels
from nshot.backbones.precision import FEW_COMPILED_PRODUCTS, keep_few_products, measured
from nshot.backbones.remote_options import RemoteAccess
from nshot.backbones.text_encoder import TextEncoder
from nshot.core import TABLE, Backbone, BackboneRef, Progress, silent

__all__ = [
    "DEFAULT",
    "FEW_COMPILED_PRODUCTS",
    "CacheInfo",
    "FeatureCache",
    "KeepsVectors",
    "KnownModel",
    "cache_folder",
    "default_for",
    "keep_few_products",
    "known",
    "measured",
    "open_backbone",
]


_DEFAULTS = {"row": TABLE, "image": PIXELS}


def default_for(modality: str) -> str:
    """Return the id of the backbone for examples of this modality (`Dataset.modality`) where none is named."""
    return _DEFAULTS.get(modality, DEFAULT)


def open_backbone(
    ref: BackboneRef | str = DEFAULT,
    *,
    cache: FeatureCache | None = None,
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    trust_remote_code: bool = False,
    remote: RemoteAccess | None = None,
    progress: Progress = silent,
) -> Backbone:
    """Open a pre-trained model; reads its settings only, its weights when they are first used.

    The architecture in its settings decides what it is: an encoder of texts or of images, or a decoder that writes.

    Args:
        ref: A name (see `known`), a local folder, a hub id, or a reference that pins revision and weights.
        cache: Where vectors are kept between runs; None to compute them every time.
        precision: ``fp32``, ``bf16``, or ``auto``: the faster one on this machine.
        device: A torch device name, or ``auto``: a GPU where there is one.
        threads: Processor threads, or None for all that this process may use.
        trust_remote_code: Whether code that comes with the model may be run.
        remote: What is allowed of models behind an address; None: nothing.
        progress: Told how many of the texts are embedded, or answers written.

    Raises:
        ModelError: There is no such model, it cannot be reached, or it is not the recorded one.
    """
    if isinstance(ref, str):
        ref = BackboneRef(ref)
    if ref.is_remote:
        from nshot.backbones.remote_llm import RemoteLlm

        return RemoteLlm(ref, remote, progress)
    if ref.id == PIXELS:
        return Pixels(ref, progress)
    if ref.is_table:
        from nshot.backbones.table import TableRows, text_encoder_of

        opened = partial(
            open_backbone,
            cache=cache,
            precision=precision,
            device=device,
            threads=threads,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
        return TableRows(ref, text_encoder=text_encoder_of(ref, DEFAULT), open_encoder=opened)
    located = locate(ref)
    if is_decoder(located.folder):
        return CausalLM(
            located,
            precision=precision,
            device=device,
            threads=threads,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
    kind = ImageEncoder if is_image_model(located.folder) else TextEncoder
    return kind(
        located,
        cache=cache,
        precision=precision,
        device=device,
        threads=threads,
        trust_remote_code=trust_remote_code,
        progress=progress,
    )
