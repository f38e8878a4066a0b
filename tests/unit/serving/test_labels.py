"""A served model learns labels: saved first, answered from then on, none lost, and only where it was allowed."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest

from endpoints import echo, serving
from nshot import api, bundle
from nshot.api.serving import _offers
from nshot.backbones import open_backbone
from nshot.core import OptionError, OutputError
from nshot.serving import growing as serving_growing
from nshot.serving.counters import Counters
from nshot.serving.limits import InputLimits
from nshot.serving.offers import Offer, OpenOffers
from nshot.serving.predicting import open_saved
from nshot.serving.sharing import SharedBackbones


def places(middle: float, n: int = 10) -> list[dict[str, float]]:
    draws = np.random.default_rng(int(abs(middle)))
    return [{"x": float(x), "y": float(y)} for x, y in draws.normal((middle, -middle), 0.1, (n, 2))]


NEW = places(0.3)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Return a folder with a model that can learn labels, and one that cannot."""
    found = tmp_path_factory.mktemp("models")
    rows = [{**row, "side": side} for side, middle in (("left", -2.0), ("right", 2.0)) for row in places(middle, 20)]
    for method in ("prototypes", "linear_probe"):
        api.fit(rows, label="side", columns="x,y", method=method, out=found / method)
    return found


@contextmanager
def growing(fitted, kept, *others, method: str = "prototypes", **more: Any):
    """Serve a model that may learn; yield the address and what is offered."""
    (offer,) = _offers([f"sides={fitted / method}"], api.ServeOptions(grow=kept))
    offers = OpenOffers([offer, *others], Counters().reloads)
    with serving(offered=offers.models, grow=offers.grow, **more) as address:
        yield address, offers


def asked(address: str, body: Any = None, path: str = "/v1/labels", **headers: str) -> tuple[int, Any]:
    connection = HTTPConnection(address.removeprefix("http://").removesuffix("/v1"), timeout=20)
    try:
        sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers} if body is not None else headers
        connection.request("GET" if body is None else "POST", path, sent, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if "json" in (answer.headers["content-type"] or "") else text
    finally:
        connection.close()


def test_a_label_is_answered_listed_and_saved_as_soon_as_it_is_learnt(fitted, tmp_path):
    with growing(fitted, tmp_path) as (address, _):
        status, found = asked(address, {"label": "middle", "examples": NEW})
        now = ["left", "middle", "right"]
        learnt = {"model": "sides", "label": "middle", "is_new": True, "n_examples": 10, "labels": now}
        assert (status, found) == (200, learnt)
        answered = asked(address, {"inputs": NEW}, "/v1/predict")[1]["predictions"]
        assert [each["label"] for each in answered] == ["middle"] * 10
        (listed,) = asked(address, path="/v1/models")[1]["data"]
        assert (listed["labels"], listed["score"], listed["n_labels"]) == (["left", "middle", "right"], None, 50)
        figures = asked(address, path="/metrics")[1]
        assert 'nshot_growths_total{model="sides",result="done"} 1' in figures
        assert 'nshot_requests_total{path="/v1/labels",status="200"} 1' in figures
    saved = api.load(tmp_path / "sides")
    assert saved.predict(NEW[:2]) == ["middle"] * 2
    assert [(growth.label, growth.n_examples) for growth in saved.about.grown] == [("middle", 10)]
    assert saved.about.grown[0].grown_from == bundle.manifest_sha256(fitted / "prototypes")
    assert "middle" not in api.load(fitted / "prototypes").task.labels


def test_what_was_learnt_is_there_after_a_restart_and_a_reload_until_a_new_version_comes(fitted, tmp_path, caplog):
    source = tmp_path / "source"
    api.load(fitted / "prototypes").save(source / "prototypes")
    with growing(source, tmp_path / "kept") as (address, offers):
        assert asked(address, {"label": "middle", "examples": NEW})[0] == 200
        offers.reload_beside().join()
        assert "middle" in offers.models["sides"].task.labels
        assert asked(address, {"label": "far", "examples": places(9.0)})[0] == 200
    with growing(source, tmp_path / "kept") as (_, offers):
        assert {"middle", "far"} <= set(offers.models["sides"].task.labels)
        api.load(fitted / "prototypes").grow("newer", None, places(5.0)).save(source / "prototypes")
        offers.reload_beside().join()
        assert set(offers.models["sides"].task.labels) == {"left", "right", "newer"}
    assert "is left aside" in caplog.text


def test_a_model_that_is_served_from_where_it_grows_goes_on_there(fitted, tmp_path, caplog):
    api.load(fitted / "prototypes").save(tmp_path / "sides")
    for label, middle in (("middle", 0.3), ("far", 9.0)):
        (offer,) = _offers([f"sides={tmp_path / 'sides'}"], api.ServeOptions(grow=tmp_path))
        offers = OpenOffers([offer], Counters().reloads)
        offers.grow(
            "sides", bundle.LabelGiven(label, None, offers.models["sides"].examples(places(middle), InputLimits()))
        )
    assert api.load(tmp_path / "sides").task.labels == ("far", "left", "middle", "right")
    assert not caplog.text


def test_two_labels_at_once_are_both_learnt_and_no_request_is_dropped(fitted, tmp_path):
    statuses: list[int] = []
    stop = threading.Event()

    def asks(address: str) -> None:
        while not stop.is_set():
            statuses.append(asked(address, {"inputs": NEW[0]}, "/v1/predict")[0])

    with growing(fitted, tmp_path) as (address, offers), ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(asks, address) for _ in range(2)]
        bodies = [{"label": f"at {10 * i}", "examples": places(10.0 * i)} for i in range(1, 7)]
        found = list(pool.map(lambda body: asked(address, body)[0], bodies))
        stop.set()
        assert all(each.result() is None for each in asking)
    assert found == [200] * 6
    assert set(statuses) == {200}
    expected = {"left", "right", *(body["label"] for body in bodies)}
    assert set(offers.models["sides"].task.labels) == set(api.load(tmp_path / "sides").task.labels) == expected


def test_a_slow_growth_blocks_nothing_and_too_many_are_turned_away(fitted, tmp_path):
    (offer,) = _offers([f"sides={fitted / 'prototypes'}"], api.ServeOptions(grow=tmp_path))
    offers, learns = OpenOffers([offer], Counters().reloads), threading.Event()

    def slow(name: str, given: bundle.LabelGiven):
        learns.wait(10)
        return offers.grow(name, given)

    with serving(offered=offers.models, grow=slow) as address, ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(asked, address, {"label": f"l{i}", "examples": NEW}) for i in range(8)]
        time.sleep(0.3)
        began = time.monotonic()
        assert asked(address, path="/health")[0] == 200
        assert asked(address, {"inputs": NEW[0]}, "/v1/predict")[0] == 200
        status, found = asked(address, {"label": "one more", "examples": NEW})
        assert (status, found["error"]["code"]) == (429, "queue_full")
        assert time.monotonic() - began < 2
        learns.set()
        assert [each.result()[0] for each in waiting] == [200] * 8


def test_without_being_allowed_no_request_changes_a_model(fitted):
    served = open_saved("sides", fitted / "prototypes", SharedBackbones(open_backbone))
    with serving(served) as address:
        status, found = asked(address, {"label": "middle", "examples": NEW})
        assert (status, found["error"]["code"], "--grow DIR" in found["error"]["message"]) == (
            403,
            "growing_is_off",
            True,
        )
        assert "/v1/labels" in asked(address, path="/openapi.json")[1]["paths"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_page_of_another_site_can_teach_nothing(fitted, tmp_path, kind):
    body = json.dumps({"label": "middle", "examples": NEW}).encode()
    with growing(fitted, tmp_path) as (address, offers):
        assert asked(address, body, **{"Content-Type": kind})[0] == 415
        assert asked(address, body, Host="evil.example")[0] == 403
        assert "middle" not in offers.models["sides"].task.labels


def test_the_token_is_needed_wherever_one_is_set(fitted, tmp_path):
    with growing(fitted, tmp_path, token="a" * 32) as (address, _):
        assert asked(address, {"label": "middle", "examples": NEW})[0] == 401
        assert asked(address, {"label": "middle", "examples": NEW}, Authorization="Bearer " + "a" * 32)[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "The body is not JSON"),
        ({"examples": NEW}, 400, "label is missing."),
        ({"label": 3, "examples": NEW}, 400, "label: "),
        ({"label": "  ", "examples": NEW}, 400, "A label is empty"),
        ({"label": "x" * 201, "examples": NEW}, 400, "201 letters"),
        ({"label": "middle"}, 400, "needs at least one example"),
        ({"label": "middle", "examples": []}, 400, "needs at least one example"),
        ({"label": "middle", "examples": NEW, "description": "in between"}, 400, "reads no description"),
        ({"label": "middle", "examples": {"x": 1, "y": 2}}, 400, "examples: "),
        ({"label": "middle", "examples": ["text"]}, 400, "Input 1 is a text; the model reads an object"),
        ({"label": "middle", "examples": [{"x": 1}]}, 400, "Input 1 lacks 'y'"),
        ({"label": "middle", "examples": NEW * 2}, 400, "one request may have 12"),
        ({"label": "middle", "examples": NEW, "path": "/tmp"}, 400, "Unknown parameter: path"),
        ({"label": "middle", "examples": NEW, "model": "../sides"}, 404, "There is no model"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(fitted, tmp_path, body, status, words):
    with growing(fitted, tmp_path, inputs=InputLimits(12)) as (address, offers):
        found = asked(address, body)
        assert (found[0], words in found[1]["error"]["message"]) == (status, True), found
        assert offers.models["sides"].task.labels == ("left", "right")
    assert not (tmp_path / "sides").exists()


def test_models_that_cannot_learn_a_label_say_what_to_do_instead(fitted, tmp_path):
    with growing(fitted, tmp_path, Offer("echo", echo), method="linear_probe") as (address, _):
        for name, words in (("sides", "nshot fit DATA --method linear_probe"), ("echo", "writes its answers")):
            status, found = asked(address, {"model": name, "label": "middle", "examples": NEW})
            assert (status, found["error"]["code"], words in found["error"]["message"]) == (409, "not_growable", True)
        assert asked(address, {"label": "middle", "examples": NEW})[0] == 400


def test_a_model_with_very_many_labels_learns_more_examples_but_no_further_label(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(serving_growing, "_MOST_LABELS", 2)
    with growing(fitted, tmp_path) as (address, _):
        known = asked(address, {"label": "left", "examples": NEW})
        status, found = asked(address, {"label": "middle", "examples": NEW})

    assert known[0] == 200
    assert (status, found["error"]["code"]) == (409, "not_growable")
    assert "has 2 labels" in found["error"]["message"]


def test_a_disk_that_refuses_leaves_the_model_as_it_was_and_tells_no_path(fitted, tmp_path, monkeypatch, caplog):
    with growing(fitted, tmp_path / "kept") as (address, offers):

        def refuses(*_: Any, **__: Any) -> None:
            raise OutputError(f"The model cannot be written to {tmp_path}: No space left on device.")

        monkeypatch.setattr(bundle, "save", refuses)
        status, found = asked(address, {"label": "middle", "examples": NEW})
        assert (status, str(tmp_path) in found["error"]["message"]) == (503, False)
        assert offers.models["sides"].task.labels == ("left", "right")
    assert "No space left" in caplog.text


def test_labels_of_the_training_are_no_longer_expected_but_its_inputs_are(fitted, tmp_path):
    with growing(fitted, tmp_path) as (address, offers):
        before = offers.models["sides"].manifest.reference
        asked(address, {"label": "middle", "examples": NEW})
        after = offers.models["sides"].manifest.reference
        asked(address, {"inputs": NEW}, "/v1/predict")
    assert (set(before.labels), after.labels, after.numbers) == ({"left", "right"}, {}, None)
    assert after.features == before.features


def test_growths_that_wait_are_finished_when_the_server_stops(fitted, tmp_path):
    with ThreadPoolExecutor(3) as pool, growing(fitted, tmp_path) as (address, _):
        waiting = [pool.submit(asked, address, {"label": f"l{i}", "examples": NEW}) for i in range(3)]
        time.sleep(0.2)
    assert [each.result()[0] for each in waiting] == [200] * 3
    assert {"l0", "l1", "l2"} <= set(api.load(tmp_path / "sides").task.labels)


def test_a_name_that_is_no_folders_name_is_refused_before_anything_is_served(fitted, tmp_path):
    with pytest.raises(OptionError, match="no name of a folder"):
        _offers([f"../sides={fitted / 'prototypes'}"], api.ServeOptions(grow=tmp_path))
