"""What a comparison of written answers looks like: texts beside references, scores from 0 to 100, no labels."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from nshot.report import charts, costs, generated, html, markdown, terminal, wording
from nshot.report.record import LONGEST_PASSAGE, passage, read

SFT, SHOWN, ASKED = "sft:stories260K", "in_context:stories260K", "prompt:stories260K"


def on_a_terminal(record: dict[str, Any], width: int = 100, *, texts: bool = True) -> str:
    out = io.StringIO()
    terminal.render(record, Console(file=out, width=width), texts=texts)
    return out.getvalue()


def visible(page: str) -> str:
    return re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)


def one_row(**changes: Any) -> dict[str, Any]:
    """Return a record of one input, answered by one candidate."""
    row = {
        "row": 7,
        "why": "random",
        "input": "Say hello.",
        "references": ["Hello there."],
        "answers": {"a": {"text": "Hello you.", "score": 40.0, "stopped": True}},
    }
    texts = {"candidates": ["a"], "metric": "chrf", "rows": [{**row, **changes}]}
    return {"verdict": {"task": "generate", "metric": "bleu", "point": 1.0}, "details": {"texts": texts}}


def answered(text: str, *references: str) -> generated.Shown:
    record = one_row(references=list(references), answers={"a": {"text": text}})
    return generated.groups(read(record))[0].rows[0].answers[0]


def marked(shown: generated.Shown) -> list[str]:
    return [piece.text for piece in shown.pieces if piece.is_new]


# Words


def test_nothing_speaks_of_labels_where_texts_are_written(diners: dict[str, Any]) -> None:
    for text in (on_a_terminal(diners), markdown.render(diners), visible(html.render(diners))):
        words = re.sub(r"aria-label(ledby)?|class=\"[^\"]*\"|</?label", "", text)
        assert not re.search(r"\blabel", words), re.findall(r".{30}\blabel.{30}", words)
        assert "answers" in text


def test_classes_confusions_and_calibration_are_no_sections_of_written_answers(diners: dict[str, Any]) -> None:
    page = html.render(diners)
    for section in ("confusions", "labels", "mistakes", "suspected", "calibration", "new-labels"):
        assert f'id="{section}"' not in page
        assert f'href="#{section}"' not in page


def test_labels_stay_labels_where_classes_are_answered(tickets: dict[str, Any]) -> None:
    record = read(tickets)
    assert wording.labels(record, 1) == "1 label"
    assert wording.labels(record, 1204) == "1,204 labels"
    assert wording.unit(record) == "texts"
    assert "answers" not in on_a_terminal(tickets)


def test_what_was_read_is_named_as_inputs_and_answers(diners: dict[str, Any]) -> None:
    record = read(diners)
    assert wording.data_facts(record) == '260 inputs ("mr"), answers in "ref"'
    assert wording.pick_cost(record) == "fits in 31 s, 0.1 s an input"
    assert wording.gain_sentence(record, record.verdict.more_labels[0]).startswith("Your next 500 answers are worth")


def test_the_untouched_model_is_named_as_such_on_every_page(diners: dict[str, Any]) -> None:
    assert "prompt (as it is)" in on_a_terminal(diners)
    assert "zero-shot: the model as it is" in markdown.render(diners)
    assert html.render(diners).count("the model as it is</span>") == 1
    renamed = "prompt(max_new_tokens=40,temperature=0.7):stories260K"
    diners["verdict"]["leaderboard"][2]["candidate"] = diners["details"]["curves"][2]["candidate"] = renamed
    assert "prompt(max_new_tokens=… (as it is)" in on_a_terminal(diners)


# Scores from 0 to 100


@pytest.mark.parametrize(("value", "words"), [(31.44, "31.4"), (0.82, "0.8"), (100.0, "100.0"), (0.0, "0.0")])
def test_a_score_of_a_hundred_has_one_decimal_whatever_its_size(value: float, words: str) -> None:
    assert wording.score(value, 1) == words
    assert wording.brief_score(value, 1) == words


def test_every_metric_is_shown_on_its_own_scale(diners: dict[str, Any]) -> None:
    record = read(diners)
    assert wording.decimals(record) == 1
    assert wording.decimals_of(record, "chrf") == 1
    assert wording.decimals_of(record, "stopped") == 3
    assert wording.decimals_of(record, "rougeL") == 2
    page = html.render(diners)
    own = diners["verdict"]["leaderboard"][0]["scores"]["chrf"]
    assert f"{own['score']:.1f}<small>[{own['interval'][0]:.1f}, {own['interval'][1]:.1f}]</small>" in page
    assert "less is better by perplexity" in page


def test_small_differences_get_a_second_decimal_and_large_ones_do_not(diners: dict[str, Any]) -> None:
    record = read(diners)
    assert wording.gain_sentence(record, record.verdict.more_labels[0]).endswith("worth +0.64 [-0.20, +1.90] BLEU.")
    assert wording.resolution(record) == "Differences below about 1.3 cannot be seen with these 4 test rows."


def test_a_point_decides_what_counts_as_measured_alike(diners: dict[str, Any]) -> None:
    entry = diners["verdict"]["leaderboard"][1]
    entry["distinguishable"] = False
    diners["details"]["curves"][1]["role"] = "same"
    for mean, words in ((-0.8, "same"), (-1.2, "unclear")):
        entry["versus_best"] = {"mean": mean, "interval": [-3.0, 1.0]}
        assert wording.stands(read(diners), SHOWN) == words


def test_the_axis_of_a_hundred_is_not_cut_at_one(diners: dict[str, Any]) -> None:
    drawn = charts.curves(read(diners), is_wide=True)
    assert drawn is not None
    ticks = re.findall(r'text-anchor="end">([\d.]+)</text>', str(drawn))
    assert ticks[0] == "0"
    assert float(ticks[-1]) > 20
    assert all(float(tick).is_integer() for tick in ticks)
    assert "examples with an answer (log scale)" in str(drawn)


def test_a_low_candidate_is_drawn_where_the_axis_has_room_for_it_anyway(
    diners: dict[str, Any], tickets: dict[str, Any]
) -> None:
    curve = next(curve for curve in diners["details"]["curves"] if curve["candidate"] == ASKED)
    curve["points"][0]["score"] = 6.0
    assert charts.below_axis(read(diners)) == []
    curve["points"][0]["score"] = 0.1
    assert charts.below_axis(read(diners)) == ["prompt (0.1)"]
    assert charts.below_axis(read(tickets)) == ["majority (0.02)"]


def test_the_pick_is_drawn_however_low_it_is(diners: dict[str, Any]) -> None:
    pick = diners["verdict"]["pick"]
    pick["candidate"], pick["method"], pick["score"] = ASKED, "prompt", 0.7
    for curve in diners["details"]["curves"]:
        curve["points"] = curve["points"][-1:]
    assert "prompt (" not in "".join(charts.below_axis(read(diners)))
    assert charts.forest_range(read(diners))[0] == 0


def test_signatures_stand_beside_the_metrics(diners: dict[str, Any]) -> None:
    bleu = diners["details"]["signatures"]["bleu"]
    assert bleu.startswith("nrefs:")
    assert bleu in html.render(diners)
    assert f"- BLEU: `{bleu}`" in markdown.render(diners)


# Texts beside references


def test_words_in_no_reference_are_marked_in_runs() -> None:
    shown = answered("Tom eats red apples, quickly", "Tom eats apples.", "Anna eats pears.")
    assert marked(shown) == ["red", "quickly"]
    assert "".join(piece.text for piece in shown.pieces) == "Tom eats red apples, quickly"
    assert marked(answered("A big, bad wolf came", "A wolf came")) == ["big, bad"]
    assert marked(answered("Hello", "HELLO")) == []


def test_nothing_is_marked_where_there_is_no_reference() -> None:
    assert marked(answered("anything at all")) == []


def test_missing_words_are_those_that_half_of_the_references_have() -> None:
    shown = answered("A pub.", "A cheap riverside pub", "A cheap pub", "A pub of 5 stars, cheap", "A pub for 5")
    assert shown.missing == ("cheap", "5")
    assert answered("", "A cheap pub").missing == ()


def test_words_of_languages_that_do_not_set_them_apart_are_compared_by_character() -> None:
    assert marked(answered("我喜欢红苹果", "我喜欢苹果")) == ["红"]


def test_the_page_shows_input_references_and_answers_and_can_switch_between_candidates(diners: dict[str, Any]) -> None:
    page = html.render(diners)
    assert "Blue Spice is a coffee shop in city centre." in page
    assert "customer rating of <mark>3</mark> out of 5" in page
    assert "cut at the longest length" in page
    assert "wrote nothing" in page
    for i, name in enumerate((SFT, SHOWN, ASKED)):
        is_chosen = name != SHOWN
        assert (f'id="show-{i}" checked' in page) == is_chosen
        assert f"#texts:not(:has(#show-{i}:checked)) .by-{i} " in page
    assert page.count("<script>") == 1


def test_rows_drawn_at_random_come_first_whatever_the_order_of_the_record(diners: dict[str, Any]) -> None:
    diners["details"]["texts"]["rows"].reverse()
    titles = [group.title for group in generated.groups(read(diners))]
    assert titles == ["At random", "The pick's worst", "The pick's best"]


def test_markdown_and_the_terminal_show_the_telling_rows_with_both_scores(diners: dict[str, Any]) -> None:
    text = markdown.render(diners)
    assert text.count("### ") == 3
    assert "| reference |  | A coffee shop in the city centre area called Blue Spice. (and 1 more) |" in text
    assert "*(cut at the longest length)*" in text
    told = on_a_terminal(diners)
    assert re.search(r"At random, row 0\n  input +name\[Blue Spice\]", told)
    assert re.search(r"  sft +Blue Spice is a coffee shop in the city centre\. \[chrF \d+\.\d\]", told)
    assert re.search(r"  prompt +Once upon a time", told)
    assert "The pick's worst, row 1" in told
    assert "  in_context  Blue Spice" not in told


def test_texts_are_left_out_on_request_and_scores_stay(diners: dict[str, Any]) -> None:
    page, text, told = html.render(diners, texts=False), markdown.render(diners, texts=False), ""
    told = on_a_terminal(diners, texts=False)
    for shown in (page, text, told):
        assert "Blue Spice" not in shown
        assert "Once upon a time" not in shown
    assert "The texts were left out on request." in page
    assert "The texts were left out on request." in text
    score = diners["details"]["texts"]["rows"][0]["answers"][SFT]["score"]
    assert f">{score:.1f}</td>" in page


def test_a_record_that_was_kept_without_texts_is_shown_without_them(diners: dict[str, Any]) -> None:
    for row in diners["details"]["texts"]["rows"]:
        del row["input"], row["references"]
        for answer in row["answers"].values():
            del answer["text"]
    assert "The texts were left out on request." in html.render(diners)
    assert "At random" not in on_a_terminal(diners)


def test_what_all_inputs_begin_with_is_shown_once() -> None:
    instruction = "You are a helpful assistant of a restaurant guide. Describe the place."
    record = one_row()
    row = record["details"]["texts"]["rows"][0]
    inputs = [f"{instruction}\n{what}" for what in ("Blue Spice", "Blue Moon", "Zizzi")]
    record["details"]["texts"]["rows"] = [{**row, "input": text} for text in inputs]
    assert generated.shared_beginning(read(record)) == instruction
    assert [row.input for row in generated.groups(read(record))[0].rows] == ["Blue Spice", "Blue Moon", "Zizzi"]
    assert html.render(record).count("You are a helpful") == 1
    record["details"]["texts"]["rows"].pop()
    assert generated.shared_beginning(read(record)) == ""


# Bad input

HOSTILE = (
    "</p></li><script>alert(1)</script><img src=x onerror=alert(2)> [b]`|*_ \x1b[31m\x1b]0;t\x07 {{ 7*7 }} \u202eabc"
)


def test_texts_never_become_markup_or_control_codes(diners: dict[str, Any]) -> None:
    for row in diners["details"]["texts"]["rows"]:
        row["input"] = row["why"] = HOSTILE
        row["references"] = [HOSTILE]
        row["answers"] = {name: {"text": HOSTILE, "score": 1.0, "stopped": False} for name in row["answers"]}
    diners["details"]["forgetting"][0]["text"] = diners["details"]["texts"]["metric"] = HOSTILE
    diners["details"]["remote"] = {HOSTILE: {"requests": 1}}
    diners["details"]["signatures"] = {HOSTILE: HOSTILE}
    page, text, told = html.render(diners), markdown.render(diners), on_a_terminal(diners)
    for shown in (page, text, told):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    outside_code = re.sub(r"(?<![\\`])(`+).*?\1(?!`)", "", text)
    assert "<script>alert" not in page + outside_code
    assert "<img" not in page + outside_code
    assert page.count("<script>") == 1
    assert "49" not in re.findall(r"\{\{ 7\*7 \}\}(.{0,2})", page)
    for line in text.splitlines():
        if line.startswith("| input"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 4


def test_answers_of_any_length_and_any_number_of_references_keep_the_page_small() -> None:
    record = one_row(
        input="begin " + "x" * 15_000 + " end",
        references=[f"reference number {i} {'y' * 2000}" for i in range(1000)],
        answers={f"c{i}": {"text": "word " * 20_000 + "x" * 100_000, "score": 1.0} for i in range(30)},
    )
    page = html.render(record)
    assert len(page) < 250_000
    assert "and 995 more" in page
    assert re.search(r"begin x+\n…\nx+ end<", page)
    assert len(markdown.render(record)) < 20_000
    assert max(map(len, on_a_terminal(record, 80).splitlines())) <= 80


def test_right_to_left_text_keeps_its_direction_to_itself() -> None:
    record = one_row(references=["שלום עולם"], answers={"a": {"text": "\u200fשלום לכולם", "score": 1.0}})
    page = html.render(record)
    assert '<p class="passage" dir="auto">שלום <mark>לכולם</mark></p>' in page
    assert "unicode-bidi: plaintext" in page


def test_lines_of_an_answer_are_kept_and_controls_are_not() -> None:
    assert passage("a\r\nb\n\n\n\n\tc  \x1b[1m\u2028d\x00") == "a\nb\n\n\tc  \ufffd[1m\nd\ufffd"
    assert len(passage("x" * 1_000_000)) == LONGEST_PASSAGE + 1
    assert passage("half \ud83d") == "half \ufffd"


@pytest.mark.parametrize(
    "changes",
    [
        {"answers": {}},
        {"references": []},
        {"references": None, "answers": None, "why": None, "row": None, "input": None},
        {"answers": {"a": {"text": "", "score": None, "stopped": None}}},
        {"answers": {"a": {"text": " \n "}}},
        {"answers": {"unknown": {"text": "said"}}},
    ],
)
def test_whatever_is_missing_of_a_row_the_rest_is_shown(changes: dict[str, Any]) -> None:
    record = one_row(**changes)
    for shown in (html.render(record), markdown.render(record), on_a_terminal(record)):
        assert "None" not in visible(shown)


def test_no_rows_no_section() -> None:
    record = {"verdict": {"task": "generate", "metric": "bleu"}, "details": {"texts": {}}}
    assert "What they wrote" not in html.render(record) + markdown.render(record)


def test_one_candidate_needs_no_choice() -> None:
    page = html.render(one_row())
    assert "<fieldset" not in page
    assert "Hello <mark>you</mark>." in page


# Forgetting and what was asked elsewhere


def test_forgetting_is_told_with_its_interval(diners: dict[str, Any]) -> None:
    said = generated.forgetting_sentence(read(diners))
    assert said == (
        "sft has become worse on 24 questions about the world with their answers: +0.58 [+0.51, +0.65] bits per byte "
        "against the model as it is."
    )
    for shown in (html.render(diners), markdown.render(diners)):
        assert "What training made them forget" in shown
        assert "1.82" in shown
    assert "has become worse on 24 questions" in " ".join(on_a_terminal(diners).split())


@pytest.mark.parametrize(
    ("change", "interval", "words"),
    [
        (0.02, [-0.05, 0.09], "is not shown to have forgotten anything on"),
        (-0.2, [-0.3, -0.1], "has not become worse, but better, on"),
        (0.3, None, "has become worse on"),
    ],
)
def test_forgetting_is_not_claimed_where_it_is_not_shown(
    diners: dict[str, Any], change: float, interval: Any, words: str
) -> None:
    diners["details"]["forgetting"][0].update(change=change, interval=interval)
    assert words in generated.forgetting_sentence(read(diners))


def test_what_was_asked_elsewhere_is_counted_and_priced(diners: dict[str, Any]) -> None:
    record = read(diners)
    assert costs.remote(record) == [("some-model", ["310", "55", "88,000", "9,100", "0.42"])]
    for shown in (html.render(diners), markdown.render(diners)):
        assert "some-model" in shown
        assert "88,000" in shown


# Published outputs on real data


def test_the_published_outputs_of_e2e_are_shown_with_their_scores(restaurants: dict[str, Any]) -> None:
    own = restaurants["verdict"]["leaderboard"][0]["score"]
    assert own > 30
    page, told = html.render(restaurants), on_a_terminal(restaurants)
    assert len(page) < 400_000
    assert f"{own:.1f}" in page
    assert f"{own:.1f}" in told
    assert generated.chosen(read(restaurants)) == (SFT, ASKED)
