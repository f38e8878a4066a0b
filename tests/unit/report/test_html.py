"""The report as one HTML file."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest

from nshot.report import html

VOID = {"meta", "link", "br", "wbr", "input"}


class Page(HTMLParser):
    """Checks nesting, and gathers what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open[-1] == tag, (self.open[-4:], tag)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.words.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(params=["tickets", "banking", "binary", "diners"])
def record(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.getfixturevalue(request.param)
    return found


def test_the_page_is_well_formed_with_headings_in_order(record: dict[str, Any]) -> None:
    page = Page(html.render(record))
    assert page.open == []
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_nothing_is_loaded_from_anywhere(record: dict[str, Any]) -> None:
    text = html.render(record)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.replace("// The page", ""))
    page = Page(text)
    targets = [attributes.get(key) or "" for _, attributes in page.tags for key in ("src", "href") if key in attributes]
    assert all(target.startswith("#") or target == "data:," for target in targets)
    anchors = {attributes.get("id") for _, attributes in page.tags}
    assert all(target[1:] in anchors for target in targets if target.startswith("#"))


def test_the_content_policy_admits_the_page_own_script_alone(record: dict[str, Any]) -> None:
    text = html.render(record)
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = next(a["content"] for a in Page(text).all("meta") if a.get("http-equiv"))
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_charts_and_tables_can_be_read_without_seeing_them(record: dict[str, Any]) -> None:
    page = Page(html.render(record))
    drawn = page.all("svg")
    assert len(drawn) > 8
    assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in drawn)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"
    assert {"header", "main", "nav", "footer"} <= {name for name, _ in page.tags}


def test_everything_that_the_record_holds_is_in_the_page(tickets: dict[str, Any]) -> None:
    text = html.render(tickets)
    for words in (
        'Pick <span class="name">primed_probe</span>',
        "[0.83, 0.89]",
        "takes 140 times as long to fit",
        "is expected to overtake",
        "your 843 labels",
        "full_finetune overtakes",
        "Below the axis: majority (0.02)",
        "Explain the thirty pounds please.",
        "N104 9 texts carry two labels",
        "from_scratch at 16, 64, 256 and 843 labels",
        "nshot compare tickets.csv --seed 0",
        "5f1c0a6f2d0b9e77aa31c4e0d9f8b612",
        "one repeat: the interval covers test rows only",
    ):
        assert words in text, words


HOSTILE = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}]]>"


def _with_hostile_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            (HOSTILE if key in ("nshot", "system") else key): _with_hostile_words(part) for key, part in value.items()
        }
    if isinstance(value, list):
        return [_with_hostile_words(part) for part in value]
    if value in ("complete", "pick", "same", "behind", "stopped", "note", "issue", "macro_f1"):
        return value
    return f"{value}{HOSTILE}" if isinstance(value, str) else value


def test_no_word_of_the_record_becomes_part_of_the_page(tickets: dict[str, Any]) -> None:
    text = html.render(_with_hostile_words(tickets))
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "49" not in re.findall(r"x onerror=alert\(1\)&gt;(.{0,9})", text)
    page = Page(text)
    assert page.open == []
    assert len(page.all("script")) == 1
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    clean = Page(html.render(tickets))
    shape = [name for name, _ in page.tags if name != "sup"]
    assert shape.count("section") == [name for name, _ in clean.tags].count("section")


def test_a_text_of_megabytes_is_cut_and_odd_characters_can_be_written(tickets: dict[str, Any]) -> None:
    tickets["details"]["mistakes"][0]["text"] = "word " * 1_000_000
    tickets["details"]["mistakes"][1]["text"] = "half a character \ud83d, a bell \x07, a null \x00"
    tickets["verdict"]["pick"]["candidate"] = tickets["verdict"]["leaderboard"][0]["candidate"] = "n" * 100_000
    text = html.render(tickets)
    assert len(text.encode("utf-8")) < 200_000
    assert "\x00" not in text


def test_many_labels_keep_the_page_small_and_readable(banking: dict[str, Any]) -> None:
    for n in (150, 1000):
        labels = [f"label_{i}" for i in range(n)]
        matrix = [
            [30 if i == j else (i * j) % 2 if n < 200 else int((i + 1) % n == j) for j in range(n)] for i in range(n)
        ]
        banking["details"]["confusion"] = {"labels": labels, "matrix": matrix}
        banking["details"]["per_class"] = [
            {"label": label, "f1": 0.5, "precision": 0.5, "recall": 0.5, "support": 9} for label in labels
        ]
        banking["details"]["data"]["labels"] = [{"label": label, "count": 9} for label in labels]
        text = html.render(banking)
        assert len(text) < 1_500_000
        assert 'class="matrix"' not in text
        assert ("chart square heat" in text) == (n == 150)


def test_a_small_matrix_is_a_table_and_every_count_is_in_it(tickets: dict[str, Any]) -> None:
    page = Page(html.render(tickets))
    hits = [a for a in page.all("td") if "hit" in (a.get("class") or "")]
    assert len(hits) == 12


def test_texts_are_left_out_on_request(tickets: dict[str, Any]) -> None:
    text = html.render(tickets, texts=False)
    assert "Explain the thirty pounds" not in text
    assert "The texts were left out on request." in text


def test_a_sparse_record_is_a_page(sparse: dict[str, Any]) -> None:
    text = html.render(sparse)
    page = Page(text)
    assert page.open == []
    assert "None" not in re.sub(r"<style>.*?</style>|<script>.*?</script>", "", text, flags=re.DOTALL)


def test_error_metrics_and_odd_families_are_drawn(tickets: dict[str, Any]) -> None:
    tickets["verdict"]["metric"] = "rmse"
    for curve, entry in zip(tickets["details"]["curves"], tickets["verdict"]["leaderboard"], strict=True):
        curve["family"] = entry["family"] = "something new"
        curve["band"] = []
        for point in curve["points"]:
            point["score"] = 1400 - 1000 * point["score"]
            point["interval"] = [point["score"] - 30, point["score"] + 30]
        entry["score"] = curve["points"][-1]["score"]
        entry["interval"] = curve["points"][-1]["interval"]
    text = html.render(tickets)
    assert "f-other" in text
    assert '<td class="n" data-value="540.0">540<small>[510, 570]</small></td>' in text


def test_the_same_record_gives_the_same_page(record: dict[str, Any]) -> None:
    assert html.render(record) == html.render(record)


def test_importing_the_report_loads_neither_template_engine_nor_chart_library() -> None:
    code = "import sys, nshot.report.html; print([m for m in ('jinja2', 'altair', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_of_text_have_contrast_aa_on_light_and_dark() -> None:
    style = re.search(r"<style>(.*?)</style>", html.render({}), flags=re.DOTALL)
    assert style is not None
    themes = re.findall(r":root \{(.*?)\}", style[1], flags=re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", theme))
        grounds = {
            "page": [
                "ink",
                "soft",
                "faint",
                "link",
                "zero-shot",
                "few-shot",
                "fine-tuning",
                "baseline",
                "unsupervised",
                "from-scratch",
            ]
        }
        grounds |= {
            "pick-back": ["ink", "soft"],
            "note-back": ["ink", "soft"],
            "issue-back": ["ink", "soft", "issue"],
            "error-back": ["ink", "error"],
        }
        for ground, texts in grounds.items():
            for name in texts:
                light, dark = sorted((_luminance(colors[ground]), _luminance(colors[name])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)
