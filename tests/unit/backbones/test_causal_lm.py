from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nshot.backbones import known, open_backbone
from nshot.backbones.causal_lm import CausalLM
from nshot.backbones.text_encoder import TextEncoder
from nshot.core import (
    Ability,
    Conversation,
    DataError,
    Decoding,
    Generates,
    Message,
    ModelError,
    Scores,
    Streams,
    TrainsToWrite,
)
from unit.backbones.tiny_decoder import CHATML, write_decoder

ARCHITECTURES = ["LlamaConfig", "GPT2Config", "Qwen2Config", "Gemma2Config", "Gemma3TextConfig", "Phi3Config"]
WITHOUT_PACKING = ["BloomConfig", "MambaConfig"]
TEXTS = [
    "the red cat",
    "",
    "where is my card with a long text about the lost account and more food",
    "no",
    "é 漢 🙂\x00",
]
BEFORE = (
    Message("user", "the cat sat on the mat and the dog ran"),
    Message("assistant", "yes"),
    Message("user", "where is the ball"),
    Message("assistant", "no no"),
)
ANSWERS = ["yes", "the ball is lost", "no no", "", "dog é"]
SHORT = Decoding(max_new_tokens=12)
DRAWN = Decoding(max_new_tokens=24, temperature=1.5, top_p=0.95, seed=3)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CausalLM]:
    folders: dict[str, Path] = {}

    def get(kind: str = "LlamaConfig", template: str | None = None, **options: Any) -> CausalLM:
        key = repr((kind, template, sorted(options.items())))
        if key not in folders:
            folders[key] = write_decoder(tmp_path_factory.mktemp("models") / "tiny", kind, template=template, **options)
        return decoder(folders[key])

    return get


def decoder(folder: Path, **options: Any) -> CausalLM:
    found = open_backbone(str(folder), **{"threads": 1, "precision": "fp32", **options})
    assert isinstance(found, CausalLM)
    return found


def prompt_ids(model: CausalLM, before: tuple[Message, ...] = ()) -> list[list[int]]:
    prompts = model.format.prompts(TEXTS, before)
    return [[*prompts.before(row), *prompts.rests[row]] for row in range(len(TEXTS))]


def direct(module: Any, ids: list[int], first: int) -> float:
    """Return the log-probability of the tokens from `first` on by one plain forward pass."""
    import torch

    with torch.no_grad():
        chances = module(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return float(sum(chances[at - 1, ids[at]] for at in range(first, len(ids))))


def test_opening_reads_settings_only(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "tiny")
    program = (
        "import sys; from nshot.backbones import open_backbone; model = open_backbone(sys.argv[1]);"
        "print(model.longest, sorted(model.abilities), [m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("128 [") and done.stdout.rstrip().endswith("[]")


def test_it_has_the_abilities_it_names(opened: Callable[..., CausalLM]) -> None:
    model = opened()
    assert model.abilities == {Ability.GENERATES, Ability.SCORES, Ability.TRAINS}
    for protocol in (Generates, Scores, Streams, TrainsToWrite):
        assert isinstance(model, protocol)


def test_a_decoder_inside_a_sentence_transformers_folder_stays_a_text_encoder(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "tiny")
    (folder / "modules.json").write_text(json.dumps([{"type": "models.Transformer", "path": ""}]))
    assert isinstance(open_backbone(str(folder)), TextEncoder)


@pytest.mark.parametrize("kind", ARCHITECTURES + WITHOUT_PACKING)
def test_greedy_answers_are_those_of_transformers_whatever_stands_beside_them(
    opened: Callable[..., CausalLM], kind: str
) -> None:
    import torch

    model = opened(kind, CHATML)
    written = model.generate(TEXTS, SHORT, before=BEFORE)
    module = model.causal_module()
    ends = sorted(model.format.end_ids)
    for row, ids in enumerate(prompt_ids(model, BEFORE)):
        theirs = module.generate(
            torch.tensor([ids]), max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=ends
        )[0, len(ids) :].tolist()
        assert written[row].tokens == len(theirs)
        assert written[row].stopped == (theirs[-1] in ends)
        said = theirs[:-1] if written[row].stopped else theirs
        assert written[row].text == model.format.text(said, ids, ended=written[row].stopped)
        assert model.generate([TEXTS[row]], SHORT, before=BEFORE) == [written[row]]


@pytest.mark.parametrize("kind", ARCHITECTURES + WITHOUT_PACKING)
def test_likelihoods_and_scores_are_those_of_a_plain_forward_pass(opened: Callable[..., CausalLM], kind: str) -> None:
    model = opened(kind)
    module = model.causal_module()
    prompts = model.format.prompts(TEXTS, BEFORE)
    found = model.likelihoods(TEXTS, ANSWERS, before=BEFORE)
    scores = model.score(TEXTS, ANSWERS, before=BEFORE)
    assert found.dtype == np.float64 and scores.dtype == np.float32 and scores.shape == (5, 5)
    for row, (ids, first) in enumerate(model.format.answered(prompts, ANSWERS)):
        before = list(prompts.before(row))
        assert ids[-1] == model.format.end_of_text
        assert found[row, 1] == len(ids) - first
        assert found[row, 0] == pytest.approx(direct(module, before + ids, len(before) + first), abs=1e-4)
        for column, (path, start) in enumerate(model.format.continued(prompts, row, ANSWERS)):
            wanted = direct(module, before + path, len(before) + start)
            assert scores[row, column] == pytest.approx(wanted, abs=1e-4)


def test_the_usual_architectures_are_packed(opened: Callable[..., CausalLM]) -> None:
    assert [kind for kind in ARCHITECTURES + WITHOUT_PACKING if not opened(kind)._packs] == WITHOUT_PACKING


def test_turns_before_the_examples_count_as_if_they_stood_in_each(opened: Callable[..., CausalLM]) -> None:
    model = opened("LlamaConfig", CHATML)
    inside = [Conversation((*BEFORE, Message("user", text))) for text in TEXTS]
    assert model.prompt_tokens(TEXTS, before=BEFORE) == model.prompt_tokens(inside)
    assert len(model.format.prompts(TEXTS, BEFORE).shared) > len(model.format.prompts(inside).shared)
    assert model.generate(TEXTS, SHORT, before=BEFORE) == model.generate(inside, SHORT)
    np.testing.assert_allclose(
        model.likelihoods(TEXTS, ANSWERS, before=BEFORE), model.likelihoods(inside, ANSWERS), atol=1e-4
    )


def test_the_beginning_is_read_once(opened: Callable[..., CausalLM], monkeypatch: pytest.MonkeyPatch) -> None:
    from nshot.backbones.reading import Network

    read: list[int] = []
    original = Network.beginning

    def counted(self: Network, ids: tuple[int, ...]) -> Any:
        read.append(len(ids))
        return original(self, ids)

    model = opened("LlamaConfig", CHATML)
    model.score(TEXTS, ["a"], before=BEFORE)
    monkeypatch.setattr(Network, "beginning", counted)
    model.score(TEXTS, ["yes", "no"], before=BEFORE)
    model.likelihoods(TEXTS, ANSWERS, before=BEFORE)
    assert read == []
    model.likelihoods(TEXTS, ANSWERS, before=BEFORE[:2])
    assert read == [len(model.format.prompts(TEXTS, BEFORE[:2]).shared)]


def test_an_example_with_a_system_message_of_its_own_does_without_the_common_beginning(
    opened: Callable[..., CausalLM],
) -> None:
    model = opened("LlamaConfig", CHATML)
    before = (Message("system", "say yes to the red cat and no to the blue dog"), *BEFORE)
    own = Conversation((Message("system", "say no"), Message("user", "the ball")))
    mixed = model.generate(["the ball", own, "the cat"], SHORT, before=before)
    assert mixed == [model.generate([each], SHORT, before=before)[0] for each in ("the ball", own, "the cat")]
    whole = Conversation((own.messages[0], *BEFORE, own.messages[1]))
    assert mixed[1] == model.generate([whole], SHORT)[0]


@pytest.mark.parametrize("kind", ["LlamaConfig", "MambaConfig"])
def test_drawn_answers_depend_on_seed_and_prompt_only(opened: Callable[..., CausalLM], kind: str) -> None:
    model = opened(kind)
    together = model.generate(TEXTS, DRAWN)
    assert together == [model.generate([text], DRAWN)[0] for text in TEXTS]
    assert together == model.generate(TEXTS[::-1], DRAWN)[::-1]
    assert together != model.generate(TEXTS, Decoding(24, 1.5, 0.95, seed=4))
    nearly_greedy = model.generate(TEXTS, Decoding(12, 1.0, top_p=1e-6))
    assert nearly_greedy == model.generate(TEXTS, SHORT)


def test_draws_follow_the_probabilities() -> None:
    import torch

    from nshot.backbones.decoding import chosen

    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).repeat(1000, 1)
    even = [(number + 0.5) / 1000 for number in range(1000)]
    counts = np.bincount(chosen(logits, Decoding(temperature=1.0), even), minlength=3)
    assert counts.tolist() == [500, 300, 200]
    kept = np.bincount(chosen(logits, Decoding(temperature=1.0, top_p=0.7), even), minlength=3)
    assert kept.tolist() == [625, 375, 0]


@pytest.mark.parametrize("kind", ["LlamaConfig", "MambaConfig"])
def test_pieces_of_a_stream_joined_are_the_answer(opened: Callable[..., CausalLM], kind: str) -> None:
    model = opened(kind)
    for decoding in (SHORT, DRAWN, Decoding(40, 2.0, stop=("a", "\ufffd "))):
        for text, written in zip(TEXTS, model.generate(TEXTS, decoding), strict=True):
            assert "".join(model.stream(text, decoding)) == written.text


def test_a_stream_comes_in_pieces_of_whole_characters(opened: Callable[..., CausalLM]) -> None:
    model = opened()
    pieces = list(model.stream("the red cat", Decoding(40, 0.7)))
    assert len(pieces) > 5
    assert all(piece for piece in pieces)


def test_an_answer_ends_before_a_stop_text(opened: Callable[..., CausalLM]) -> None:
    model = opened()
    free = model.generate(["the red cat"], SHORT)[0]
    assert not free.stopped
    stop = free.text[4:7]
    cut = model.generate(["the red cat"], Decoding(12, stop=("never said", stop)))[0]
    assert cut.stopped
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.tokens < free.tokens


def test_an_answer_ends_at_every_token_that_is_named_as_an_end(tmp_path: Path) -> None:
    import torch

    folder = write_decoder(tmp_path / "tiny")
    model = decoder(folder)
    free = model.generate(["the red cat"], SHORT)[0]
    asked = torch.tensor([model.format.prompts(["the red cat"]).rests[0]])
    ids = model.causal_module().generate(asked, max_new_tokens=12, do_sample=False, pad_token_id=0)[0].tolist()
    ids = ids[asked.shape[1] :]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, ids[3]]}))
    cut = decoder(folder).generate(["the red cat"], SHORT)[0]
    assert cut.stopped
    assert cut.tokens == ids.index(ids[3]) + 1
    assert cut.text == model.format.text(ids[: cut.tokens - 1], asked[0].tolist(), ended=True)
    assert cut.tokens < free.tokens


def test_the_longest_answer_leaves_the_context_unbroken(opened: Callable[..., CausalLM]) -> None:
    model = opened("GPT2Config", names={"eos_token": None})
    size = model.prompt_tokens(["the red cat"])[0]
    written = model.generate(["the red cat", "no"], Decoding(max_new_tokens=1000))
    assert written[0].tokens == 128 - size and not written[0].stopped


def test_a_text_longer_than_the_context_is_refused_with_its_size(opened: Callable[..., CausalLM]) -> None:
    model = opened()
    long = "the cat " * 12_500
    size = model.prompt_tokens([long])[0]
    assert size > 12_500
    message = rf"Example 2 has {size:,} tokens.*takes 128"
    with pytest.raises(DataError, match=message):
        model.generate(["no", long], SHORT)
    for ask in (lambda: model.likelihoods(["no", long], ["a", "b"]), lambda: model.score(["no", long], ["a"])):
        with pytest.raises(DataError, match=r"Example 2 has .* tokens with its answer, and tiny takes 128"):
            ask()
    assert len(model.conversations([long], ["yes"])[0]) > 12_500


def test_a_text_of_many_slices_is_read_as_a_whole(opened: Callable[..., CausalLM]) -> None:
    model = opened("LlamaConfig", max_position_embeddings=4096)
    text = "the red cat and the blue dog " * 60
    prompts = model.format.prompts([text, "no"])
    assert prompts.size(0) > 3 * model._network.pack_tokens
    answer = "where is my account " * 80
    found = model.likelihoods([text, "no"], [answer, "yes"])
    ids, first = model.format.answered(prompts, [answer, "yes"])[0]
    assert found[0, 0] == pytest.approx(direct(model.causal_module(), ids, first), rel=1e-5)
    assert model.generate([text, "no"], SHORT) == [model.generate([each], SHORT)[0] for each in (text, "no")]


def test_more_rows_than_slots_are_all_answered(
    opened: Callable[..., CausalLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nshot.backbones import decoding

    model = opened()
    texts = [f"{text} {number}" for number in range(8) for text in TEXTS]
    wanted = model.generate(texts, DRAWN)
    monkeypatch.setattr(decoding, "_MOST_ROWS", 3)
    assert model.generate(texts, DRAWN) == wanted


def test_nothing_to_answer_is_answered(opened: Callable[..., CausalLM]) -> None:
    model = opened()
    assert model.generate([], SHORT) == []
    assert model.prompt_tokens([]) == []
    assert model.score([], ["a", "b"]).shape == (0, 2)
    assert model.score(["a"], []).shape == (1, 0)
    assert model.likelihoods([], []).shape == (0, 2)
    assert model.conversations([], []) == model.plain_texts([]) == []


def test_odd_texts_are_answered(opened: Callable[..., CausalLM]) -> None:
    model = opened()
    odd = ["", " ", "\n\n", "\ud800 alone", "\x00\ufeff", "👩‍👩‍👧", "<s></s>"]
    assert len(model.generate(odd, SHORT)) == len(odd)
    assert np.isfinite(model.likelihoods(odd, odd)).all()
    assert np.isfinite(model.score(odd, odd)).all()
    with pytest.raises(DataError, match="Example 2 is of type int"):
        model.generate(["a", 3], SHORT)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    model = decoder(write_decoder(tmp_path / "tiny"), progress=lambda *state: told.append(state))
    model.generate(TEXTS, SHORT)
    assert told[-1] == (5, 5, "writing")


def test_trained_weights_are_taken_back(opened: Callable[..., CausalLM]) -> None:
    model = opened("Qwen2Config")
    module = model.random_causal_module(1)
    weights = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    changed = model.rewritten(weights)
    assert isinstance(changed, Generates) and isinstance(changed, Scores)
    assert changed.ref == model.ref
    assert changed.format is model.format
    before = model.generate(TEXTS, SHORT)
    assert changed.generate(TEXTS, SHORT) != before
    assert model.generate(TEXTS, SHORT) == before
    again = changed.causal_module()
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), weights[name])
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    with pytest.raises(ModelError, match=r"name 'no\.such', which"):
        model.rewritten({"no.such": np.zeros(1)}).generate(["a"], SHORT)


def test_one_name_of_a_tied_weight_is_enough(opened: Callable[..., CausalLM]) -> None:
    model = opened("Qwen2Config")
    weight = model.random_causal_module(1).get_input_embeddings().weight.detach().numpy()
    changed = model.rewritten({"model.embed_tokens.weight": weight}).causal_module()
    np.testing.assert_array_equal(changed.get_output_embeddings().weight.detach().numpy(), weight)


def test_fresh_weights_follow_the_seed(opened: Callable[..., CausalLM]) -> None:
    import torch

    model = opened()
    state = torch.random.get_rng_state()
    one, same, other = (model.random_causal_module(seed).lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not model.random_causal_module(1).training and not model.causal_module().training


@pytest.mark.parametrize("template", [None, CHATML])
def test_a_saved_folder_answers_alike_here_and_in_transformers(
    opened: Callable[..., CausalLM], tmp_path: Path, template: str | None
) -> None:
    from safetensors.torch import save_model
    from transformers import AutoTokenizer

    model = opened("Qwen2Config", template)
    for name, content in model.files_for_saving().items():
        (tmp_path / name).write_bytes(content)
    save_model(model.causal_module(), str(tmp_path / "model.safetensors"), metadata={"format": "pt"})
    again = decoder(tmp_path)
    assert again.generate(TEXTS, SHORT, before=BEFORE) == model.generate(TEXTS, SHORT, before=BEFORE)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    asked = [{"role": "user", "content": "the red cat"}]
    ids = theirs.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
    prompts = model.format.prompts(["the red cat"])
    assert ids == [*prompts.before(0), *prompts.rests[0]]
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"
    stated = json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"]
    assert set(stated) == model.format.end_ids


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"lack \d+ that its config.json asks for, such as model.layers.2"):
        decoder(folder).generate(["a"], SHORT)


def test_weights_that_can_run_code_are_refused(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"Found: pytorch_model.bin, which can run code when opened"):
        decoder(folder).generate(["a"], SHORT)


def test_a_folder_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "tiny")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        decoder(folder).prompt_tokens(["a"])


def test_a_decoder_in_the_hub_cache_is_known_and_opens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--some-org--writer"
    write_decoder(repository / "snapshots" / commit, template=CHATML)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    assert "some-org/writer" in [model.ref.id for model in known()]
    found = open_backbone("some-org/writer")
    assert isinstance(found, CausalLM)
    assert found.ref.revision == commit


def test_half_precision_stays_near(opened: Callable[..., CausalLM], tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "tiny")
    exact = decoder(folder).likelihoods(TEXTS, ANSWERS)
    rounded = decoder(folder, precision="bf16")
    assert rounded._packs
    np.testing.assert_allclose(rounded.likelihoods(TEXTS, ANSWERS)[:, 0], exact[:, 0], rtol=0.05, atol=0.3)
    assert decoder(folder, precision="auto").precision == "fp32"
