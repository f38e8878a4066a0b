from __future__ import annotations

import csv

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from nshot.explore.groups import find_groups
from unit.training.clustering.blobs import blobs, without_groups


def test_every_row_is_put_into_a_group_with_how_surely():
    rows, truth = blobs(3)
    groups = find_groups(rows, most=5)
    assert groups.n_groups == 3
    assert adjusted_rand_score(truth, groups.labels) > 0.95
    assert list(np.bincount(groups.labels)) == sorted(np.bincount(groups.labels), reverse=True)
    assert groups.labels.dtype == np.int64
    for group in range(3):
        assert groups.centres[group] == pytest.approx(rows[groups.labels == group].mean(axis=0), abs=1e-5)
    assert ((groups.confidence >= 0) & (groups.confidence <= 1)).all()
    low, high = groups.interval
    assert low <= groups.agreement <= high


def test_a_row_between_two_groups_is_in_doubt():
    rows, _ = blobs(2)
    groups = find_groups(rows, most=3)
    between = find_groups(np.concatenate([rows, groups.centres.mean(axis=0, keepdims=True)]), most=3)
    assert np.mean(between.confidence <= between.confidence[-1]) < 0.02


def test_no_groups_leave_every_row_in_none():
    groups = find_groups(without_groups("normal"), most=4)
    assert groups.n_groups == 0
    assert (groups.labels == -1).all()
    assert groups.centres.shape == (0, 3)
    assert not groups.confidence.any()
    assert groups.reason.startswith("There are no groups")


def test_a_number_that_is_asked_for_is_given():
    groups = find_groups(without_groups("normal"), n_groups=4)
    assert sorted(set(groups.labels.tolist())) == [0, 1, 2, 3]
    assert "hdbscan" not in {candidate.algorithm for candidate in groups.considered}


def test_many_rows_are_searched_in_a_sample_and_all_are_put_into_groups():
    rows, truth = blobs(2, n=60_000)
    groups = find_groups(rows.astype(np.float32), n_groups=2)
    assert groups.sampled == 4_000
    assert len(groups.labels) == 60_000
    assert adjusted_rand_score(truth, groups.labels) > 0.95


def test_72_rows_of_7129_genes_are_not_cut_into_groups_that_do_not_repeat(shared_data):
    with np.load(shared_data / "tabular" / "gene_expression" / "golub.npz") as file:
        values = file["X"]
    groups = find_groups(values, most=4)
    assert groups.n_groups == 0
    assert len(groups.labels) == 72


def test_customers_are_few_groups_or_none_and_the_reason_is_said(shared_data):
    path = shared_data / "tabular" / "customers" / "Mall_Customers.csv"
    with path.open(newline="") as file:
        table = [[float(cell) for cell in row[2:]] for row in list(csv.reader(file))[1:]]
    values = np.array(table)
    groups = find_groups((values - values.mean(axis=0)) / values.std(axis=0), most=8)
    assert 0 <= groups.n_groups <= 8
    assert len(groups.reason) > 40
