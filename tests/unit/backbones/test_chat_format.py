from __future__ import annotations

import json
from pathlib import Path

import pytest

from nshot.backbones import open_backbone
from nshot.backbones.causal_lm import CausalLM
from nshot.core import Conversation, DataError, Decoding, Message, ModelError, NshotError, TokenisedText
from unit.backbones.tiny_decoder import CHATML, write_decoder, write_tokenizer

TURNS = (
    Message("user", "the red cat"),
    Message("assistant", "yes"),
    Message("user", "the dog"),
    Message("assistant", "no no"),
    Message("user", "where"),
)
# Takes no system message, asks for turns that alternate, takes blanks off, begins with a token of its own.
STRICT = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}"
    "{% endif %}"
    "<|im_start|>{{ 'model' if message.role == 'assistant' else message.role }}\n{{ message.content | trim }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)
# Shows that nothing was thought before the last answer, and nothing of it before earlier ones.
THINKING = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
# Asks for a thought that answers are then shown without: what is asked is no beginning of what is shown.
ALWAYS_THINKING = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}:{{ message.content }}"
    "{% if message.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant:<think>\n{% endif %}"
)
# Blanks around what is said, and no token but the end of a text.
BRACKETS = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}[ {{ message.content }} ]{% else %} {{ message.content }} {{ eos_token }}"
    "{% endif %}{% endfor %}"
)
NO_END = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
MARKED = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CALLING = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}{% for call in message.tool_calls or [] %}"
    "{{ call.function.name }}({% for name, value in call.function.arguments.items() %}{{ name }}={{ value }}"
    "{% endfor %}){% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def decoder(folder: Path, template: str | None = None, **names: str | None) -> CausalLM:
    found = open_backbone(str(write_decoder(folder / "tiny", template=template, names=names)), threads=1)
    assert isinstance(found, CausalLM)
    return found


def learnt(model: CausalLM, text: TokenisedText) -> str:
    """Return the text with what is learnt in double brackets."""
    shown, inside = "", False
    for token, counts in zip(text.ids, text.learnt, strict=True):
        if counts != inside:
            shown, inside = shown + ("⟦" if counts else "⟧"), counts
        shown += model.decoded([token])
    return shown + ("⟧" if inside else "")


def test_without_a_template_an_answer_follows_on_a_new_line(tmp_path: Path) -> None:
    model = decoder(tmp_path)
    single, several = model.conversations(["the red cat", Conversation(TURNS)], ["yes", "no"])
    assert learnt(model, single) == "the red cat\n⟦yes</s>⟧"
    assert learnt(model, several) == "the red cat\nyes</s>the dog\nno no</s>where\n⟦no</s>⟧"
    told = model.conversations([Conversation.asking("the dog", "say yes")], ["yes"])[0]
    assert learnt(model, told) == "say yes\n\nthe dog\n⟦yes</s>⟧"


def test_the_models_own_template_is_used(tmp_path: Path) -> None:
    model = decoder(tmp_path, CHATML)
    text = model.conversations([Conversation.asking("the dog", "say yes")], ["yes"])[0]
    assert learnt(model, text) == (
        "<|im_start|>system\nsay yes<|im_end|>\n<|im_start|>user\nthe dog<|im_end|>\n"
        "<|im_start|>assistant\n⟦yes<|im_end|>⟧"
    )


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        (None, "the red cat\n⟦yes</s>⟧the dog\n⟦no no</s>⟧where\n⟦no</s>⟧"),
        (
            CHATML,
            "<|im_start|>user\nthe red cat<|im_end|>\n<|im_start|>assistant\n⟦yes<|im_end|>⟧\n"
            "<|im_start|>user\nthe dog<|im_end|>\n<|im_start|>assistant\n⟦no no<|im_end|>⟧\n"
            "<|im_start|>user\nwhere<|im_end|>\n<|im_start|>assistant\n⟦no<|im_end|>⟧",
        ),
        (
            THINKING,
            "<|im_start|>user\nthe red cat<|im_end|>\n<|im_start|>assistant\n⟦yes<|im_end|>⟧\n"
            "<|im_start|>user\nthe dog<|im_end|>\n<|im_start|>assistant\n⟦no no<|im_end|>⟧\n"
            "<|im_start|>user\nwhere<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n⟦no<|im_end|>⟧",
        ),
        (
            BRACKETS,
            "<s>[ the red cat ]⟦ yes </s>⟧[ the dog ]⟦ no no </s>⟧[ where ]⟦ no </s>⟧",
        ),
    ],
)  # fmt: skip
def test_every_answer_can_be_learnt(tmp_path: Path, template: str | None, wanted: str) -> None:
    model = decoder(tmp_path, template)
    text = model.conversations([Conversation(TURNS)], ["no"], every_answer=True)[0]
    shown = learnt(model, text)
    # A blank that the template puts before an earlier answer may stand on either side.
    assert shown.replace("] ⟦", "]⟦ ") == wanted


def test_markers_of_what_is_learnt_do_not_disturb(tmp_path: Path) -> None:
    marked, plain = decoder(tmp_path / "a", MARKED), decoder(tmp_path / "b", CHATML)
    asked = [Conversation(TURNS)]
    assert marked.conversations(asked, ["no"]) == plain.conversations(asked, ["no"])


def test_a_template_that_takes_no_system_message_is_told_by_the_user(tmp_path: Path) -> None:
    model = decoder(tmp_path, STRICT)
    text = model.conversations([Conversation.asking("the dog", "say yes")], [" yes "])[0]
    assert (
        learnt(model, text) == "<s><|im_start|>user\nsay yes\n\nthe dog<|im_end|>\n<|im_start|>model\n⟦yes<|im_end|>⟧"
    )
    before = (Message("system", "say yes"), *TURNS[:2])
    assert model.prompt_tokens(["the dog"], before=before) == model.prompt_tokens(
        [Conversation((*before, Message("user", "the dog")))]
    )


def test_a_conversation_that_the_template_refuses_is_named(tmp_path: Path) -> None:
    model = decoder(tmp_path, STRICT)
    broken = Conversation((Message("user", "a"), Message("user", "b")))
    with pytest.raises(DataError, match=r"Example 2: The chat template of tiny .*\(user, user\): Roles must alternate"):
        model.generate(["fine", broken], Decoding(4))
    with pytest.raises(DataError, match="Example 1: The conversation has no message"):
        model.generate([Conversation(())], Decoding(4))


def test_an_answer_is_learnt_where_it_will_be_asked_for(tmp_path: Path) -> None:
    model = decoder(tmp_path, ALWAYS_THINKING)
    text = model.conversations(["the dog"], ["yes"])[0]
    assert learnt(model, text) == "<s><|im_start|>user:the dog<|im_start|>assistant:<think>\n⟦yes</s>⟧"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% include '/etc/passwd' %}",
        "{% for i in range(10 ** 9) %}{% endfor %}",
        "{{ 1 // 0 }}",
        "{{ [][7] + {}['a'] }}",
    ],
)
def test_a_template_that_reaches_out_of_its_sandbox_is_refused(tmp_path: Path, template: str) -> None:
    with pytest.raises(NshotError, match="chat template"):
        decoder(tmp_path, template).generate(["hello"], Decoding(max_new_tokens=1))


def test_an_answer_that_the_template_hides_cannot_be_learnt(tmp_path: Path) -> None:
    hiding = CHATML.replace("message.content", "(message.content if loop.last or message.role == 'user' else '...')")
    model = decoder(tmp_path, hiding)
    with pytest.raises(
        DataError, match=r"does not show answer 2 of the conversation.*Learn from the last answers only"
    ):
        model.conversations([Conversation(TURNS)], ["no"], every_answer=True)


def test_blanks_that_the_template_puts_around_an_answer_are_no_part_of_it(tmp_path: Path) -> None:
    model = decoder(tmp_path, BRACKETS)
    assert model.format.frame.lead == model.format.frame.tail == " "
    ids, _ = model.format.answered(model.format.prompts(["the dog"]), ["yes"])[0]
    prompt = model.format.prompts(["the dog"]).rests[0]
    assert model.format.text(ids[len(prompt) : -1], prompt, ended=True) == "yes"


def test_an_answer_ends_with_the_end_of_a_text_where_the_template_ends_it_with_none(tmp_path: Path) -> None:
    model = decoder(tmp_path, NO_END)
    assert learnt(model, model.conversations(["the dog"], ["yes"])[0]) == "user: the dog\nassistant:⟦ yes</s>⟧"


def test_the_token_that_the_template_ends_an_answer_with_ends_one_that_is_written(tmp_path: Path) -> None:
    model = decoder(tmp_path, CHATML)
    assert {model.decoded([token]) for token in model.format.end_ids} == {"</s>", "<|im_end|>"}


def test_without_a_token_that_ends_a_text_a_model_writes_but_does_not_learn(tmp_path: Path) -> None:
    model = decoder(tmp_path, eos_token=None)
    assert not model.generate(["the dog"], Decoding(4))[0].stopped
    assert model.likelihoods(["the dog"], ["yes"])[0, 1] == len(model.format.ids(["yes"])[0])
    for learn in (lambda: model.conversations(["a"], ["b"]), lambda: model.plain_texts(["a"])):
        with pytest.raises(ModelError, match=r"has no token that ends a text.*would never stop.*'eos_token'"):
            learn()


def test_the_end_of_a_template_is_enough(tmp_path: Path) -> None:
    model = decoder(tmp_path, CHATML, eos_token=None)
    assert learnt(model, model.conversations(["the dog"], ["yes"])[0]).endswith("⟦yes<|im_end|>⟧")


def test_the_token_that_begins_a_text_stands_once(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, processors

    for template in (None, STRICT):
        folder = write_decoder(tmp_path / str(template is None), template=template)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        tokenizer.save(str(folder / "tokenizer.json"))
        model = open_backbone(str(folder), threads=1)
        assert isinstance(model, CausalLM)
        assert model.conversations(["the dog"], ["yes"])[0].ids.count(0) == 1
        assert model.plain_texts(["the dog"])[0].ids.count(0) == 1
        assert model.plain_texts(["the dog"])[0].ids[0] == 0


def test_the_token_that_ends_a_text_stands_once(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, processors

    folder = write_decoder(tmp_path / "tiny")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    model = open_backbone(str(folder), threads=1)
    assert isinstance(model, CausalLM)
    assert model.plain_texts(["the dog", ""])[0].ids.count(1) == 1
    assert model.conversations(["the dog"], ["yes"])[0].ids.count(1) == 1


def test_arguments_of_a_call_reach_the_template_as_an_object(tmp_path: Path) -> None:
    model = decoder(tmp_path, CALLING)
    call = {"type": "function", "function": {"name": "find", "arguments": json.dumps({"colour": "red"})}}
    asked = Conversation(
        (
            Message("user", "cat"),
            Message("assistant", "", (call,)),
            Message("tool", "lost", name="find"),
        ),
        ({"type": "function", "function": {"name": "find"}},),
    )
    text = learnt(model, model.conversations([asked], ["no"], every_answer=True)[0])
    assert '"name": "find"' in text
    assert "⟦find(colour=red)<|im_end|>⟧" in text
    assert text.endswith("⟦no<|im_end|>⟧")
    plain = decoder(tmp_path / "plain")
    assert '{"name": "find", "arguments": {"colour": "red"}}' in learnt(plain, plain.conversations([asked], ["no"])[0])


def test_several_templates_in_one_tokenizer(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "tiny")
    record = json.loads((folder / "tokenizer_config.json").read_text())
    record["chat_template"] = [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": CALLING}]
    (folder / "tokenizer_config.json").write_text(json.dumps(record))
    model = open_backbone(str(folder), threads=1)
    assert isinstance(model, CausalLM)
    assert model.decoded(model.conversations(["the dog"], ["yes"])[0].ids).startswith("<|im_start|>user\nthe dog")


@pytest.mark.parametrize("template", [None, CHATML, STRICT, THINKING, ALWAYS_THINKING, BRACKETS, NO_END])
@pytest.mark.parametrize("metaspace", [None, "first", "always"])
def test_tokens_behind_a_common_beginning_are_those_of_the_whole_text(
    tmp_path: Path, template: str | None, metaspace: str | None
) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_tokenizer(folder, template=template)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}))
    if metaspace is not None:
        _with_blanks_in_front(folder, metaspace)
    model = open_backbone(str(folder), threads=1)
    assert isinstance(model, CausalLM)
    texts = ["the dog", "", " where", "\n", "0", "é"]
    prompts = model.format.prompts(texts, TURNS[:4] * 3)
    for row, text in enumerate(texts):
        whole = model.format.prompt(Conversation((*TURNS[:4] * 3, Message("user", text))))
        assert [*prompts.before(row), *prompts.rests[row]] == model.format.ids([whole])[0]
    if template is not NO_END:
        assert len(prompts.shared) >= 16 and not any(prompts.whole)


def _with_blanks_in_front(folder: Path, scheme: str) -> None:
    """Turn the tokenizer into one that writes blanks as a letter and puts one in front of a text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted({*"abcdefghijklmnopqrstuvwxyzT:[]<>/\n▁0é"})
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<unk>"]
    vocabulary = {token: at for at, token in enumerate([*special, *letters, "▁t", "th", "▁th"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "t"), ("t", "h"), ("▁t", "h")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))


def test_a_folder_without_a_tokenizer_says_what_is_missing(tmp_path: Path) -> None:
    model = decoder(tmp_path, CHATML)
    folder = model.settings.folder
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer\. Expected tokenizer\.json or "):
        open_backbone(str(folder)).prompt_tokens(["the dog"])
