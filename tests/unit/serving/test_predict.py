"""Predictions over HTTP: every kind of model answers as it does alone, and what is wrong is said in the right place."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
from PIL import Image

from endpoints import echo, serving
from nshot import api
from nshot.core import DataError, ExampleError, ModelError, Prediction
from nshot.serving.batching import Batcher
from nshot.serving.counters import Counters
from nshot.serving.limits import InputLimits
from nshot.serving.offers import Offer, OpenOffers
from nshot.serving.predicting import ServedPredictor, open_saved
from nshot.serving.queue import DeadlineError, FullError
from nshot.serving.sharing import SharedBackbones

TEXTS = [f"{word} number {i}" for i in range(12) for word in ("parcel", "refund")]
LABELS = [text.split()[0] for text in TEXTS]


def rows(n: int = 60) -> list[dict[str, Any]]:
    draws = np.random.default_rng(0)
    found = []
    for i in range(n):
        heat, site = round(float(draws.normal(60, 5)), 1), ("north", "south")[i % 2]
        is_odd = i % 10 == 9
        state = "anomaly" if is_odd else "normal"
        found.append({"heat": heat + 40 * is_odd, "site": site, "cost": 3 * heat, "state": state})
    return found


def pictures() -> list[bytes]:
    found = []
    for i in range(12):
        pixels = np.full((16, 16, 3), 40 + 150 * (i % 2) + i, dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        found.append(file.getvalue())
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with one saved model of each kind."""
    found = tmp_path_factory.mktemp("models")
    api.fit((TEXTS, LABELS), method="tfidf_linear").save(found / "tickets")
    wanted = {"columns": "heat,site"}
    api.fit(rows(), task="regress", label="cost", method="linear_probe", out=found / "prices", **wanted)
    api.fit(rows(), task="detect", label="state", method="nearest_distance", out=found / "odd", **wanted)
    api.fit(
        [{**row, "state": None} for row in rows()], task="cluster", method="k_means", out=found / "groups", **wanted
    )
    for i, picture in enumerate(pictures()):
        place = found / "pictures" / ("bright" if i % 2 else "dark")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.png").write_bytes(picture)
    api.fit(str(found / "pictures"), method="linear_probe").save(found / "shots")
    return found


def opened(folder, name: str) -> ServedPredictor:
    from nshot.backbones import open_backbone

    found = open_saved(name, folder / name, SharedBackbones(open_backbone))
    assert isinstance(found, ServedPredictor)
    return found


@pytest.fixture(scope="module")
def address(folder):
    names = ("tickets", "prices", "odd", "groups", "shots")
    with serving(*(opened(folder, name) for name in names), echo()) as found:
        yield found


def asked(address: str, body: Any = None, path: str = "/v1/predict", **headers: str) -> tuple[int, Any, dict[str, str]]:
    """Return status, body and headers of an answer."""
    connection = HTTPConnection(address.removeprefix("http://").removesuffix("/v1"), timeout=20)
    try:
        sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers} if body is not None else headers
        connection.request("GET" if body is None else "POST", path, sent, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        is_json = "json" in (answer.headers["content-type"] or "")
        return answer.status, json.loads(text) if is_json else text, dict(answer.headers.items())
    finally:
        connection.close()


def predictions(address: str, model: str, inputs: Any, **more: Any) -> list[dict[str, Any]]:
    status, found, _ = asked(address, {"model": model, "inputs": inputs, **more})
    assert status == 200, found
    assert found["model"] == model
    return found["predictions"]


def test_labels_and_probabilities_are_those_of_the_model_alone(address, folder):
    texts = ["where is my parcel", "I want a refund", ""]
    model = api.load(folder / "tickets")
    found = predictions(address, "tickets", texts, probabilities=True)
    assert [each["label"] for each in found] == model.predict(texts)
    told = [[each["probabilities"][label] for label in model.task.labels] for each in found]
    np.testing.assert_allclose(told, model.predict_proba(texts), atol=1e-6)
    assert predictions(address, "tickets", texts[0]) == [
        {"label": found[0]["label"], "probability": max(found[0]["probabilities"].values())}
    ]


def test_the_likeliest_labels_come_first_and_no_others(address):
    (found,) = predictions(address, "tickets", "parcel", top=1)
    assert found["probabilities"] == {"parcel": found["probability"]}


def test_rows_are_read_like_those_of_a_file_whatever_else_they_hold(address, folder):
    given = [
        {"heat": 61.5, "site": "north", "other": [1]},
        {"heat": None, "site": "nowhere"},
        {"heat": "58", "site": 3},
    ]
    plain = [{"heat": 61.5, "site": "north"}, {"heat": None, "site": "nowhere"}, {"heat": "58", "site": "3"}]
    model = api.load(folder / "prices")
    alone = [model.predict([row])[0] for row in plain]
    np.testing.assert_allclose([each["value"] for each in predictions(address, "prices", given)], alone, rtol=1e-5)
    np.testing.assert_allclose(predictions(address, "prices", given[0])[0]["value"], alone[0], rtol=1e-5)


def test_anomalies_have_a_score_and_groups_a_name(address, folder):
    given = [{"heat": 60, "site": "north"}, {"heat": 140, "site": "south"}]
    usual, odd = predictions(address, "odd", given)
    assert odd["score"] > usual["score"]
    assert [each["group"] for each in predictions(address, "groups", given)] == api.load(folder / "groups").predict(
        given
    )


def test_images_come_in_base64(address):
    dark, bright = pictures()[:2]
    sent = [base64.b64encode(dark).decode(), "data:image/png;base64," + base64.b64encode(bright).decode()]
    assert [each["label"] for each in predictions(address, "shots", sent)] == ["dark", "bright"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "The body is not JSON"),
        (b"[" * 100_000, 400, "The body is not JSON"),
        (b'{"inputs": "\\ud800"}', 400, "The body is not JSON"),
        ({"model": "tickets"}, 400, "inputs is missing."),
        ({"model": "tickets", "input": "a"}, 400, "Unknown parameter: input."),
        ({"model": "tickets", "inputs": []}, 400, "inputs is empty"),
        ({"model": "tickets", "inputs": ["a", 3]}, 400, "Input 2 is a number; the model reads a text"),
        ({"model": "tickets", "inputs": "a", "labels": 1}, 400, "Unknown parameter: labels"),
        ({"model": "tickets", "inputs": "a", "top": 0}, 400, "top"),
        ({"model": "other", "inputs": "a"}, 404, "There is no model 'other'"),
        ({"inputs": "a"}, 400, "Name a model"),
        ({"model": "echo", "inputs": "a"}, 400, "/v1/chat/completions"),
        ({"model": "prices", "inputs": "a"}, 400, "Input 1 is a text; the model reads an object"),
        ({"model": "prices", "inputs": {"heat": 3}}, 400, "Input 1 lacks 'site'"),
        ({"model": "prices", "inputs": {"heat": [], "site": "a"}}, 400, "a list or an object in 'heat'"),
        (b'{"model": "prices", "inputs": {"heat": 1e999, "site": "a"}}', 400, "too large"),
        ({"model": "prices", "inputs": {"heat": 10**400, "site": "a"}}, 400, "too large"),
        ({"model": "shots", "inputs": "not base64"}, 400, "is no base64"),
        ({"model": "shots", "inputs": "bm8gaW1hZ2U="}, 400, "image"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(address, body, status, words):
    found = asked(address, body)
    assert (found[0], words in found[1]["error"]["message"]) == (status, True), found


def test_a_model_that_predicts_is_not_chatted_with(address):
    turns = [{"role": "user", "content": "x"}]
    status, found, _ = asked(address, {"model": "tickets", "messages": turns}, "/v1/chat/completions")
    assert (status, "/v1/predict" in found["error"]["message"]) == (400, True)


def test_only_json_is_read_so_that_no_page_elsewhere_can_send_a_form(address):
    assert asked(address, b'{"inputs": "a"}', **{"Content-Type": "text/plain"})[0] == 415


def test_more_rows_and_longer_texts_than_allowed_are_refused(folder):
    with serving(opened(folder, "tickets"), inputs=InputLimits(2, 10)) as address:
        assert "2" in asked(address, {"inputs": ["a"] * 3})[1]["error"]["message"]
        assert "11 characters" in asked(address, {"inputs": "a" * 11})[1]["error"]["message"]
        assert asked(address, {"inputs": ["a" * 10] * 2})[0] == 200


def test_the_list_of_models_says_what_each_is(address):
    listed = {model["id"]: model for model in asked(address, path="/v1/models")[1]["data"]}
    assert listed["tickets"]["labels"] == ["parcel", "refund"]
    assert [column["name"] for column in listed["prices"]["columns"]] == ["heat", "site"]
    assert {name: model["task"] for name, model in listed.items()} == {
        "tickets": "classify", "prices": "regress", "odd": "detect", "groups": "cluster", "shots": "classify",
        "echo": "generate",
    }  # fmt: skip


def test_figures_are_in_the_format_of_prometheus_and_hold_no_text(folder):
    with serving(opened(folder, "tickets")) as address:
        asked(address, {"inputs": ["secret parcel", "parcel"]})
        asked(address, {"inputs": []})
        asked(address, path="/nowhere")
        text = asked(address, path="/metrics")[1]
    assert 'nshot_predictions_total{model="tickets",label="parcel"} 2' in text
    assert 'nshot_requests_total{path="/v1/predict",status="400"} 1' in text
    assert 'nshot_requests_total{path="other",status="404"} 1' in text
    assert 'nshot_batch_examples_bucket{model="tickets",le="2"} 1' in text
    assert 'nshot_request_seconds_count{model="tickets"} 1' in text
    assert "secret" not in text


def test_figures_tell_whether_answers_still_look_like_those_of_the_training(folder):
    from nshot.bundle.reference import Reference
    from nshot.serving.drift import Drift

    drift = Drift(Reference(measured_on="held-out rows", labels={"parcel": 50, "refund": 50}), ())
    model = replace(opened(folder, "tickets"), drift=drift)
    with serving(model) as address:
        predictions(address, "tickets", ["parcel"] * 40)
        end = time.monotonic() + 5
        while "nshot_label_shift{" not in (text := asked(address, path="/metrics")[1]):
            assert time.monotonic() < end
    assert 'nshot_watched_answers{model="tickets"} 40' in text


def test_a_label_with_quotes_and_line_breaks_stays_on_its_line():
    counters = Counters()
    counters.predictions["m", 'a"\n\\'] += 1
    assert 'label="a\\"\\n\\\\"} 1' in counters.text({}, {})


def test_the_page_loads_nothing_from_elsewhere_and_needs_no_token_but_figures_do(folder):
    with serving(opened(folder, "tickets"), token="secret") as address:
        for path in ("/", "/page.js", "/page.css"):
            status, text, headers = asked(address, path=path)
            assert (status, "http" in text.replace("http-equiv", "")) == (200, False)
            assert "default-src 'none'" in headers["content-security-policy"]
        assert "innerHTML" not in asked(address, path="/page.js")[1]
        assert asked(address, path="/ready")[0] == 200
        assert asked(address, path="/metrics")[0] == asked(address, path="/v1/models")[0] == 401
        assert asked(address, path="/openapi.json", Authorization="Bearer secret")[0] == 200


# ---------------------------------------------------------------------------------------------- what waits


class Counting:
    """Says how many letters a text has; takes its time, and refuses the text ``bad``."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[int] = []

    def predict(self, examples):
        self.batches.append(len(examples))
        time.sleep(self.seconds)
        if "bad" in examples:
            raise ExampleError(list(examples).index("bad"), " is bad.")
        return Prediction(values=np.array([float(len(text)) for text in examples]))

    def state(self):
        raise NotImplementedError


def counting(folder, seconds: float = 0.0, name: str = "tickets") -> tuple[ServedPredictor, Counting]:
    model = Counting(seconds)
    found = opened(folder, "tickets")
    return replace(found, name=name, opened=replace(found.opened, predictor=model)), model


def test_what_waits_is_computed_together_and_every_request_gets_its_own_answers(folder):
    served, model = counting(folder, 0.05)
    with serving(served) as address, ThreadPoolExecutor(12) as pool:
        texts = [["x" * i] * (1 + i % 3) for i in range(1, 13)]
        found = list(pool.map(lambda inputs: predictions(address, "tickets", inputs), texts))
    assert [[each["value"] for each in one] for one in found] == [[len(text) for text in one] for one in texts]
    assert len(model.batches) < 12
    assert max(model.batches) > 3


def test_nothing_is_waited_for_when_nothing_else_is_there(folder):
    served, model = counting(folder)
    with serving(served) as address:
        predictions(address, "tickets", "a")
        began = time.monotonic()
        predictions(address, "tickets", "a")
        assert time.monotonic() - began < 0.2
    assert model.batches == [1, 1]


def test_a_bad_example_is_the_error_of_its_own_request_only(folder):
    served, _ = counting(folder, 0.05)
    with serving(served) as address, ThreadPoolExecutor(6) as pool:
        bodies = [{"inputs": ["fine", "bad"] if i == 3 else ["fine"]} for i in range(6)]
        found = list(pool.map(lambda body: asked(address, body), bodies))
    assert [status for status, _, _ in found] == [200, 200, 200, 400, 200, 200]
    assert found[3][1]["error"]["message"] == "Example 2 is bad."


def test_a_full_queue_is_said_at_once_and_ready_says_so(folder):
    served, _ = counting(folder, 0.5)
    with serving(served, most_examples=4) as address, ThreadPoolExecutor(2) as pool:
        first = pool.submit(asked, address, {"inputs": ["a"] * 4})
        time.sleep(0.2)
        began = time.monotonic()
        status, found, headers = asked(address, {"inputs": "a"})
        assert time.monotonic() - began < 0.25
        assert (status, found["error"]["code"], int(headers["retry-after"]) >= 1) == (429, "queue_full", True)
        assert asked(address, path="/ready")[0] == 503
        assert first.result()[0] == 200
        assert asked(address, path="/ready")[0] == 200
        assert 'rejected_total{model="tickets",reason="full"} 1' in asked(address, path="/metrics")[1]


def test_a_late_answer_is_504_and_the_queue_is_free_again(folder):
    served, model = counting(folder, 0.4)
    with serving(served, deadline_seconds=0.15) as address:
        assert asked(address, {"inputs": "a"})[0] == 504
        time.sleep(0.5)
        model.seconds = 0.0
        assert asked(address, {"inputs": "a"})[0] == 200


def test_what_could_only_be_late_is_turned_away_at_once(folder):
    async def waits() -> None:
        served, _ = counting(folder, 0.3)
        batcher = Batcher(1000, Counters())
        await batcher.answer(served, ["a"], 5)
        slow = asyncio.create_task(batcher.answer(served, ["a"] * 2, 5))
        await asyncio.sleep(0.05)
        with pytest.raises(FullError):
            await batcher.answer(served, ["a"], 0.05)
        await slow
        await asyncio.to_thread(batcher.close)

    asyncio.run(waits())


def test_a_job_that_nobody_waits_for_is_not_computed(folder):
    async def waits() -> list[int]:
        served, model = counting(folder, 0.2)
        batcher = Batcher(1000, Counters())
        first = asyncio.create_task(batcher.answer(served, ["a"], 5))
        await asyncio.sleep(0.05)
        with pytest.raises(DeadlineError):
            await batcher.answer(served, ["b"] * 3, 0.05)
        await first
        await batcher.answer(served, ["c"], 5)
        assert batcher.waiting == 0
        await asyncio.to_thread(batcher.close)
        return model.batches

    assert asyncio.run(waits()) == [1, 1]


def test_what_is_being_computed_is_finished_when_the_server_stops(folder):
    served, _ = counting(folder, 0.3)
    with ThreadPoolExecutor(1) as pool:
        with serving(served) as address:
            waiting = pool.submit(predictions, address, "tickets", "abc")
            time.sleep(0.15)
        assert waiting.result() == [{"value": 3.0}]


# ---------------------------------------------------------------------------------------------- later versions


def test_a_later_version_takes_the_place_without_a_dropped_request(folder):
    old, _ = counting(folder, 0.02)
    new, _ = counting(folder)
    versions = iter([old, new])
    reloads: Counter[tuple[str, ...]] = Counter()
    offers = OpenOffers([Offer("tickets", lambda: next(versions))], reloads)
    assert offers.models == {"tickets": old}
    statuses: list[int] = []
    stop = threading.Event()

    def asks(address: str) -> None:
        while not stop.is_set():
            statuses.append(asked(address, {"inputs": "abc"})[0])

    with serving(offered=offers.models) as address, ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(asks, address) for _ in range(3)]
        time.sleep(0.2)
        offers.reload_beside().join()
        time.sleep(0.2)
        stop.set()
        assert all(each.result() is None for each in asking)
    assert set(statuses) == {200}
    assert offers.models == {"tickets": new}
    assert reloads == {("tickets", "done"): 1}


def test_a_model_without_a_later_version_is_not_said_to_have_one(caplog):
    model = echo()
    reloads: Counter[tuple[str, ...]] = Counter()
    OpenOffers([Offer("echo", lambda: model)], reloads).reload_beside().join()
    assert not reloads
    assert not caplog.text


def test_a_broken_version_is_refused_and_the_one_before_goes_on(folder, caplog):
    def opens():
        yield "the first"
        raise ModelError("tensors.safetensors is damaged.")

    versions = opens()
    reloads: Counter[tuple[str, ...]] = Counter()
    offers = OpenOffers([Offer("tickets", lambda: next(versions))], reloads)
    offers.reload_beside().join()
    assert offers.models == {"tickets": "the first"}
    assert reloads == {("tickets", "refused"): 1}
    assert "tensors.safetensors is damaged" in caplog.text


def test_models_of_one_base_share_it_in_memory_and_what_has_no_hash_is_opened_anew():
    from nshot.backbones.fake import FakeTextEncoder
    from nshot.core import BackboneRef

    opens: list[BackboneRef] = []

    def opening(ref):
        opens.append(ref)
        return FakeTextEncoder()

    shared = SharedBackbones(opening)
    ref = BackboneRef("base", sha256="a" * 64)
    one = shared.opened(ref)
    assert shared.opened(ref) is one
    assert shared.opened(BackboneRef("folder")) is not shared.opened(BackboneRef("folder"))
    del one
    shared.opened(ref)
    assert opens.count(ref) == 2


def test_weights_are_refused_when_a_model_is_opened_not_at_its_first_request(folder, monkeypatch):
    def refuses(self, examples):
        raise DataError("no")

    monkeypatch.setattr(type(api.load(folder / "tickets")._predictor), "predict", refuses)
    with pytest.raises(DataError, match="no"):
        opened(folder, "tickets")
