"""Rows as a backbone: what becomes of a column, and that it is restored to the last bit."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nshot import bundle, methods
from nshot.backbones import fake, open_backbone
from nshot.backbones.table import TableRows
from nshot.core import (
    TABLE,
    Ability,
    BackboneRef,
    ColumnKind,
    DataError,
    Dataset,
    Embeds,
    ExampleError,
    FitContext,
    Learns,
    ModelError,
    NamesFeatures,
    Predictor,
    Selection,
    Starts,
    Task,
    TaskKind,
    Trains,
    UnsupportedError,
)
from nshot.data.options import ReadOptions
from nshot.data.reading import read
from nshot.data.rows import ArrowRows

NUMBER, CATEGORY, DATE, TEXT = ColumnKind.NUMBER, ColumnKind.CATEGORY, ColumnKind.DATE, ColumnKind.TEXT


def learnt(rows: Any) -> TableRows:
    return open_backbone(TABLE).learnt_from(rows)


def with_fake_texts(rows: Any) -> TableRows:
    opened = TableRows(BackboneRef(TABLE), text_encoder=BackboneRef("fake/text-encoder"), open_encoder=fake.open)
    return opened.learnt_from(rows)


def reopened(backbone: TableRows) -> TableRows:
    return open_backbone(BackboneRef.from_json(json.loads(json.dumps(backbone.ref.as_json()))))


def feature(backbone: TableRows, name: str, rows: Any) -> np.ndarray:
    return backbone.embed(rows)[:, backbone.feature_names.index(name)]


def people(n: int = 60) -> list[dict[str, Any]]:
    return [
        {
            "age": 20 + i * 7 % 41,
            "city": ("Oslo", "Rome", "Bern")[i * 5 % 3],
            "since": f"20{10 + i % 9}-{1 + i % 12:02}-{1 + i % 28:02}T{i % 24:02}:15:00",
            "income": None if i % 10 == 0 else 1000.0 + i * i,
        }
        for i in range(n)
    ]


# ------------------------------------------------------------------------------------------------------ as a backbone


def test_what_it_can_do_is_known_before_it_learnt_and_fine_tuning_is_not_among_it() -> None:
    table = open_backbone(TABLE)

    assert isinstance(table, Learns)
    assert isinstance(table, Embeds)
    assert isinstance(table, Starts)
    assert isinstance(table, NamesFeatures)
    assert not isinstance(table, Trains)
    assert table.abilities == learnt(people()).abilities == {Ability.EMBEDS, Ability.STARTS}
    assert table.modalities == {"row"}
    assert table.ref == BackboneRef(TABLE)
    assert (table.width, table.feature_names) == (0, ())


def test_embedding_before_it_learnt_says_what_to_do() -> None:
    with pytest.raises(UnsupportedError, match=r"seen no rows yet.*learnt_from\(rows\) first"):
        open_backbone(TABLE).embed(people())


def test_learning_leaves_the_one_that_learns_as_it_was() -> None:
    table = open_backbone(TABLE)
    first, second = table.learnt_from(people()), table.learnt_from([{"x": i} for i in range(5)])

    assert table.ref.learnt is None
    assert second.feature_names == ("x",)
    assert first.learnt_from([{"x": i} for i in range(5)]).ref == second.ref != first.ref


def test_a_reference_restores_it_to_the_last_bit() -> None:
    backbone = learnt(people())
    again = reopened(backbone)

    assert again.ref == backbone.ref
    assert again.feature_names == backbone.feature_names
    assert again.embed(people(9)).tobytes() == backbone.embed(people(9)).tobytes()


def test_a_row_is_the_same_alone_in_a_batch_in_any_order_and_out_of_a_table() -> None:
    rows = people()
    backbone = learnt(rows)
    together = backbone.embed(rows)
    columns = pa.Table.from_pylist(rows).set_column(0, "age", pa.array([float(row["age"]) for row in rows]))
    table = ArrowRows(columns, {"age": NUMBER, "city": CATEGORY, "since": DATE, "income": NUMBER})

    assert np.array_equal(np.concatenate([backbone.embed([row]) for row in rows]), together)
    assert np.array_equal(backbone.embed(rows[::-1]), together[::-1])
    assert np.array_equal(backbone.embed(table), together)
    assert np.array_equal(backbone.embed(Selection(table, [7, 3, 7])), together[[7, 3, 7]])
    assert np.array_equal(backbone.embed(table[10:13]), together[10:13])
    assert learnt(table).ref == backbone.ref
    assert backbone.embed([]).shape == (0, backbone.width)


def test_a_large_table_is_the_same_as_its_rows() -> None:
    values = np.random.default_rng(0).normal(size=150_000)
    table = ArrowRows(pa.table({"x": values}), {"x": NUMBER})
    backbone = learnt(table)

    features = backbone.embed(table)

    assert backbone.ref.learnt["rows"] == 150_000
    assert np.array_equal(backbone.embed([table[140_000]])[0], features[140_000])
    assert abs(features.std() - 1) < 0.02


def test_opening_and_planning_load_neither_torch_nor_pyarrow() -> None:
    code = (
        "import sys; from nshot.backbones import open_backbone; open_backbone('table').abilities; "
        "print([name for name in ('torch', 'pyarrow', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------ what a column becomes


def test_every_column_weighs_as_much_as_a_standardised_number() -> None:
    backbone = learnt(people(2000))
    variances = dict(zip(backbone.feature_names, backbone.embed(people(2000)).var(axis=0), strict=True))

    def of(column: str) -> float:
        return sum(value for name, value in variances.items() if name.startswith(column) and "missing" not in name)

    assert of("age") == pytest.approx(1, abs=0.01)
    assert of("city") == pytest.approx(1, abs=0.01)
    assert of("since") == pytest.approx(1, abs=0.05)
    assert of("income") == pytest.approx(1, abs=0.15)


def test_features_are_named_in_words() -> None:
    assert learnt(people()).feature_names == (
        "age",
        "income",
        "income is missing",
        "city = Bern",
        "city = Oslo",
        "city = Rome",
        "since",
        "since: sine of the month",
        "since: cosine of the month",
        "since: sine of the weekday",
        "since: cosine of the weekday",
        "since: sine of the hour",
        "since: cosine of the hour",
    )


def test_a_missing_number_counts_as_the_median_and_is_marked() -> None:
    rows = [{"x": None if i == 0 else float(i)} for i in range(8)]
    backbone = learnt(rows)

    assert feature(backbone, "x", [{}, {"x": 4.0}, {"x": math.nan}]).tolist() == [0.0] * 3
    assert feature(backbone, "x is missing", [{}, {"x": 4.0}, {"x": math.inf}]).tolist() == [1, 0, 1]


def test_one_wrong_cell_does_not_flatten_its_column_and_stays_the_strangest() -> None:
    values = [*np.random.default_rng(0).normal(50, 10, size=999), 999_999_999.0]
    backbone = learnt([{"x": value} for value in values])
    found = backbone.embed([{"x": value} for value in values])[:, 0]

    assert 0.7 < found[:-1].std() < 1.1
    assert 30 < found[-1] < 60
    assert found.argmax() == len(values) - 1


@pytest.mark.parametrize("offset", [0.0, 1.7e9, -1e15])
def test_numbers_far_from_zero_keep_their_differences(offset: float) -> None:
    rows = [{"x": offset + i} for i in range(100)]
    found = learnt(rows).embed(rows)[:, 0]

    assert np.allclose(np.diff(found), 1 / np.arange(100).std(), rtol=1e-4)


@pytest.mark.parametrize("value", [1e308, -1e308, 10**400, 5e-324, math.inf, math.nan, True, "7.5", "no number", ""])
def test_any_number_becomes_a_finite_feature(value: object) -> None:
    backbone = learnt([*({"x": float(i)} for i in range(50)), {"x": value}])

    assert np.isfinite(backbone.embed([{"x": value}])).all()


def test_a_number_may_come_as_a_text_and_a_category_as_a_number() -> None:
    backbone = learnt([{"size": float(i), "zip": ("10115", "A1", "2.5")[i % 3]} for i in range(30)])

    asked = backbone.embed(
        [{"size": "3", "zip": 10115}, {"size": " 3.0 ", "zip": 10115.0}, {"size": 3, "zip": "10115"}]
    )

    assert (asked == asked[0]).all()
    assert feature(backbone, "zip = 2.5", [{"size": 1, "zip": 2.5}])[0] > 0


def test_rare_values_share_a_feature_and_unknown_ones_have_none_where_there_were_no_rare_ones() -> None:
    common = [{"colour": ("red", "blue")[i % 2]} for i in range(40)]
    without, with_rare = learnt(common), learnt([*common, {"colour": "mauve"}, {"colour": "teal"}])

    assert without.feature_names == ("colour = blue", "colour = red")
    assert without.embed([{"colour": "green"}]).tolist() == [[0.0, 0.0]]
    assert with_rare.feature_names == ("colour = blue", "colour = red", "colour is a rare value")
    assert (with_rare.embed([{"colour": "mauve"}, {"colour": "green"}])[:, 2] > 0).all()


def test_a_column_with_very_many_values_keeps_the_fifty_most_frequent() -> None:
    rows = [{"shop": f"shop {number}"} for number in range(200) for _ in range(3 + (number < 10))]
    backbone = learnt(rows)

    assert backbone.width == 51
    assert backbone.feature_names[0] == "shop = shop 0"
    assert feature(backbone, "shop is a rare value", [{"shop": "shop 199"}])[0] > 0


def test_a_column_that_is_always_the_same_where_it_is_there_says_only_that() -> None:
    rows = [{"x": float(i), "paid": 1.0 if i % 2 else None, "version": 3} for i in range(20)]

    assert learnt(rows).feature_names == ("x", "paid = 1", "paid is missing")


def test_dates_next_to_each_other_in_the_year_are_near() -> None:
    rows = [{"day": f"{year}-{month:02}-15"} for year in (2020, 2021, 2022) for month in range(1, 13)]
    backbone = learnt(rows)
    december, january, june = backbone.embed([{"day": f"2021-{month}-15"} for month in ("12", "01", "06")])
    waves = [i for i, name in enumerate(backbone.feature_names) if "month" in name]

    assert np.linalg.norm(december[waves] - january[waves]) < 0.3 * np.linalg.norm(december[waves] - june[waves])
    assert not any("hour" in name for name in backbone.feature_names)


def test_a_date_that_cannot_be_read_is_missing() -> None:
    rows = [{"day": f"2021-01-{i:02}"} for i in range(1, 29)]
    backbone = learnt([*rows, {"day": None}])

    for cell in ("2021-02-31", "soon", "", None, "2021"):
        assert feature(backbone, "day is missing", [{"day": cell}])[0] == 1
    assert feature(backbone, "day is missing", rows).sum() == 0


def test_columns_of_texts_are_embedded_by_a_text_encoder() -> None:
    words = [
        "my card was stolen today",
        "the exchange rate is bad",
        "please block my lost card",
        "which rate do you use",
    ]
    rows = [{"note": f"{words[i % 4]} number {i}" if i else None, "x": i % 3} for i in range(40)]
    backbone = with_fake_texts(rows)
    again = TableRows(backbone.ref, text_encoder=BackboneRef("no such model"), open_encoder=fake.open)

    features = backbone.embed(rows)
    assert backbone.width == 1 + 64 + 1
    assert backbone.feature_names[1] == "note: meaning 1 of 64"
    assert features[:, 1:65].var(axis=0).sum() == pytest.approx(1, abs=0.05)
    assert not features[0, 1:65].any()
    assert features[:2, 65].tolist() == [1, 0]
    assert np.array_equal(again.embed(rows), features)


def test_the_default_text_encoder_is_only_opened_for_columns_of_texts() -> None:
    asked: list[BackboneRef] = []

    def opened(ref: BackboneRef) -> Any:
        asked.append(ref)
        return fake.open(BackboneRef("fake/text-encoder"))

    table = TableRows(BackboneRef(TABLE), text_encoder=BackboneRef("an encoder"), open_encoder=opened)
    table.learnt_from(people()).embed(people())
    assert asked == []
    table.learnt_from([{"note": f"these are words {i}"} for i in range(9)])
    assert [ref.id for ref in asked] == ["an encoder"]


def test_the_encoder_can_be_named_and_has_to_take_texts() -> None:
    rows = [{"note": f"these are words {i}"} for i in range(9)]

    assert open_backbone("table:org/some-model").ref.name == "table:some-model"
    with pytest.raises(ModelError, match=r"'openai:gpt' does not embed texts.*Name a text encoder"):
        open_backbone("table:openai:gpt").learnt_from(rows)
    with pytest.raises(ModelError, match="'table' does not embed texts"):
        open_backbone("table:table").learnt_from(rows)


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([{"a": 1.0, "b": "x"}], "2 columns, and one row only"),
        ([{"a": 1.0, "b": "x"}] * 2, "2 columns, and all 2 rows say"),
        ([{"a": None}] * 3, "0 columns"),
        ([], "0 columns"),
        ([{}], "0 columns"),
    ],
)
def test_rows_that_do_not_differ_are_refused_in_words(rows: list[dict[str, Any]], found: str) -> None:
    with pytest.raises(DataError, match=rf"learnt from rows that differ\. Found: {found}"):
        learnt(rows)


def test_an_example_that_is_no_row_is_named() -> None:
    with pytest.raises(ExampleError, match=r"Example 2 is no row of a table but str\. Hand over a mapping"):
        learnt(people()).embed([people()[0], "a text"])


def test_rows_of_numbers_have_numbered_columns() -> None:
    backbone = learnt([(float(i), 5.0, float(-i)) for i in range(9)])

    assert backbone.feature_names == ("x1", "x3")
    assert np.array_equal(backbone.embed([np.array([3.0, 5.0, -3.0])]), backbone.embed([{"x1": 3, "x3": -3, "new": 1}]))


def test_mixed_types_in_one_column_are_a_category_unless_nearly_all_are_numbers() -> None:
    mixed = learnt([{"x": i if i % 2 else ("low", "high")[i % 4 // 2]} for i in range(60)])
    nearly = learnt([{"x": i if i else "n/a"} for i in range(60)])

    assert "x = low" in mixed.feature_names
    assert nearly.feature_names == ("x", "x is missing")


def test_ten_thousand_columns_are_no_harm() -> None:
    values = np.random.default_rng(0).lognormal(size=(30, 10_000))
    names = [f"x{i}" for i in range(10_000)]
    table = ArrowRows(pa.table(dict(zip(names, values.T, strict=True))), dict.fromkeys(names, NUMBER))
    backbone = learnt(table)

    assert backbone.embed(table).shape == (30, 10_000)
    assert len(json.dumps(backbone.ref.as_json())) < 1_000_000
    assert np.array_equal(reopened(backbone).embed(table), backbone.embed(table))


def mangled(change: Any) -> BackboneRef:
    ref = learnt(people()).ref
    record = json.loads(json.dumps(ref.learnt))
    change(record)
    return BackboneRef(TABLE, learnt=record)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(version=2),
        lambda record: record.update(numbers=None),
        lambda record: record.update(rows="many"),
        lambda record: record.update(extra=1),
        lambda record: record["numbers"]["means"].append(1.0),
        lambda record: record["numbers"]["means"].__setitem__(0, math.nan),
        lambda record: record["numbers"]["deviations"].__setitem__(0, 0.0),
        lambda record: record["numbers"].update(missing=[10**9]),
        lambda record: record["categories"][0].update(values=10**9),
        lambda record: record["categories"][0].update(scale=math.inf),
        lambda record: record["dates"][0].update(cycles=["century"]),
        lambda record: record.update(encoder={"id": "/etc/passwd"}),
        lambda record: record.update(texts=[{"name": "n", "width": 3, "scale": 1.0, "missing": False}]),
        lambda record: record.update(
            texts=[{"name": "n", "width": 10**12, "scale": 1.0, "missing": False}], encoder={"id": "e"}
        ),
    ],
)
def test_a_damaged_record_is_refused_in_words(change: Any) -> None:
    with pytest.raises(
        ModelError, match=r"What this model learnt of the columns of its table is damaged: .*fit it anew"
    ):
        open_backbone(mangled(change))


def test_a_record_of_another_hash_or_without_its_content_is_refused() -> None:
    ref = learnt(people()).ref
    other = learnt(people(30)).ref

    with pytest.raises(ModelError, match="not what was recorded"):
        open_backbone(replace(other, sha256=ref.sha256))
    with pytest.raises(ModelError, match="that is missing"):
        open_backbone(replace(ref, learnt=None))


def test_texts_learnt_with_another_encoder_are_refused() -> None:
    record = {
        "rows": 3,
        "numbers": {},
        "texts": [{"name": "note", "width": 384, "scale": 1.0, "missing": False}],
        "encoder": {"id": "fake/text-encoder"},
    }
    table = TableRows(
        BackboneRef(TABLE, learnt=record), text_encoder=BackboneRef("fake/text-encoder"), open_encoder=fake.open
    )
    with pytest.raises(ModelError, match="vectors of 384 numbers, and fake/text-encoder makes 64"):
        table.embed([{"note": "some words"}])


# -------------------------------------------------------------------------------------------------- network and bundle


def test_a_trained_network_embeds_each_row_by_itself() -> None:
    rows = people()
    backbone = learnt(rows)
    network = backbone.random_module(seed=3)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    trained = backbone.adapted(weights)

    together = trained.embed(rows)
    assert together.shape == (60, backbone.network_width)
    assert trained.ref == backbone.ref
    assert np.allclose(network(**backbone.collate(backbone.tokenize(rows))).detach().numpy(), together, atol=1e-5)
    assert np.array_equal(np.concatenate([trained.embed([row]) for row in rows]), together)
    assert {len(item) for item in backbone.tokenize(rows)} == {1}


def test_random_weights_follow_the_seed_only() -> None:
    import torch

    backbone = learnt(people())
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = (backbone.random_module(seed).state_dict()["first.weight"] for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_weights_of_another_network_are_refused() -> None:
    backbone = learnt(people())
    weights = {name: value.numpy() for name, value in backbone.random_module(0).state_dict().items()}

    with pytest.raises(ModelError, match=r"'first\.bias' of a network on rows is missing"):
        backbone.adapted({name: value for name, value in weights.items() if name != "first.bias"})
    with pytest.raises(ModelError, match=r"'first\.weight' has shape \(256, 3\)"):
        backbone.adapted({**weights, "first.weight": np.zeros((256, 3), np.float32)})


def saved_probe(folder: Path, backbone: TableRows, rows: list[dict[str, Any]]) -> Predictor:
    method = methods.build("linear_probe", {"strength": 1.0})
    targets = ["old" if row["age"] > 40 else "young" for row in rows]
    task = Task(TaskKind.CLASSIFY, ("old", "young"))
    train = Dataset(rows, "row", targets=targets)
    context = FitContext(lambda targets, prediction: 0.0)
    predictor = method.fit(task, train, train.without_targets(), backbone, context)
    about = bundle.BundleInfo(model_n_labels=len(rows), modality="row", data_name="people.csv")
    bundle.save(folder, method=method, task=task, predictor=predictor, about=about)
    return predictor


def test_a_model_on_rows_is_saved_with_what_was_learnt_and_loads_without_anything_else(tmp_path: Path) -> None:
    rows = people()
    predictor = saved_probe(tmp_path / "model", learnt(rows), rows)

    loaded = bundle.load(tmp_path / "model", open_backbone)

    assert np.array_equal(loaded.predictor.predict(rows).probabilities, predictor.predict(rows).probabilities)
    assert [record.id for record in loaded.manifest.backbones] == [TABLE]
    assert "learnt" not in (tmp_path / "model/manifest.json").read_text(encoding="utf-8")
    assert "Pre-trained model: none" in (tmp_path / "model/README.md").read_text(encoding="utf-8")


def test_a_saved_model_lists_the_encoder_of_its_texts(tmp_path: Path) -> None:
    rows = [{**row, "note": f"a note on {row['city']} and {row['age']}"} for row in people()]
    saved_probe(tmp_path / "model", with_fake_texts(rows), rows)

    listed = bundle.read_manifest(tmp_path / "model").backbones

    assert sorted(record.id for record in listed) == ["fake/text-encoder", TABLE]


@pytest.mark.parametrize("mangled", [[1, 2], "x", {"version": 1}, {"numbers": {"names": ["a"] * 3}}, 7, None])
def test_a_saved_model_whose_record_was_mangled_is_refused(tmp_path: Path, mangled: Any) -> None:
    rows = people()
    predictor = saved_probe(tmp_path / "model", learnt(rows), rows)
    state = predictor.state()
    settings = {**state.settings, "backbone": {**state.settings["backbone"], "learnt": mangled}}

    method, task = methods.build("linear_probe", {}), Task(TaskKind.CLASSIFY, ("old", "young"))
    with pytest.raises(ModelError):
        method.restore(task, replace(state, settings=settings), open_backbone)


# ----------------------------------------------------------------------------------------------------------- real data


def features_of(path: Path, **options: Any) -> tuple[TableRows, np.ndarray, np.ndarray]:
    source = read(path, ReadOptions(**options))
    rows = source.dataset if len(source.dataset) else source.unlabelled
    backbone = learnt(rows.examples)
    return backbone, backbone.embed(rows.examples), np.array(rows.targets or ())


@pytest.mark.parametrize("name", ["marketing_campaign.csv", "Mall_Customers.csv"])
def test_customers_become_finite_features_of_even_weight(shared_data: Path, name: str) -> None:
    backbone, features, _ = features_of(shared_data / "tabular/customers" / name, task="cluster")
    learnt_columns = {feature.split(" = ")[0].split(" is ")[0].split(":")[0] for feature in backbone.feature_names}

    assert np.isfinite(features).all()
    assert features.var(axis=0).sum() == pytest.approx(len(learnt_columns), rel=0.05)


@pytest.mark.parametrize("name", ["khan", "golub"])
def test_thousands_of_genes_are_standardised(shared_data: Path, name: str) -> None:
    _, features, _ = features_of(shared_data / f"tabular/gene_expression/{name}.npz")

    assert features.shape[1] > 2000
    assert np.isfinite(features).all()
    assert np.allclose(features.std(axis=0), 1, atol=0.3)


def test_it_serves_a_classifier_like_the_usual_preparation_of_columns(shared_data: Path) -> None:
    """Beside scikit-learn's StandardScaler and OneHotEncoder: NSL-KDD's official test, logistic regression."""
    from pyarrow import csv
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    symbolic = ["f1", "f2", "f3"]

    def rows(name: str) -> tuple[ArrowRows, np.ndarray]:
        table = csv.read_csv(
            shared_data / "tabular/nsl_kdd" / name, csv.ReadOptions(column_names=[f"f{i}" for i in range(43)])
        )
        kept = [f"f{i}" for i in range(41)]
        columns = {name: table[name] if name in symbolic else table[name].cast(pa.float64()) for name in kept}
        kinds = {name: CATEGORY if name in symbolic else NUMBER for name in kept}
        return ArrowRows(pa.table(columns), kinds), np.array(table["f41"].to_pylist()) == "normal"

    (train, is_normal), (test, test_is_normal) = rows("KDDTrain+_20Percent.txt"), rows("KDDTest+.txt")
    some = np.arange(0, len(train), 5)
    backbone = learnt(Selection(train, some.tolist()))
    usual = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), symbolic), remainder=StandardScaler(), sparse_threshold=0
    )
    frame, test_frame = train.arrow.take(pa.array(some)).to_pandas(), test.arrow.to_pandas()

    def accuracy(features: np.ndarray, test_features: np.ndarray) -> float:
        model = LogisticRegression(C=0.1, max_iter=1000, tol=1e-3).fit(features, is_normal[some])
        return float((model.predict(test_features) == test_is_normal).mean())

    ours = accuracy(backbone.embed(Selection(train, some.tolist())), backbone.embed(test))
    theirs = accuracy(usual.fit_transform(frame), usual.transform(test_frame))

    assert ours > theirs - 0.02
    assert ours > 0.7
