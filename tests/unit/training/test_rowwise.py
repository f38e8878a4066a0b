import numpy as np
import pytest

from nshot.training.rowwise import normalised, products, softmax


@pytest.mark.parametrize("width", [3, 32, 384])
def test_a_row_alone_gives_the_same_bits_as_in_a_batch(width):
    rng = np.random.default_rng(width)
    rows = rng.normal(size=(257, width)).astype(np.float32)
    columns, offsets = rng.normal(size=(77, width)), rng.normal(size=77)
    together = products(rows, columns, offsets)
    alone = np.concatenate([products(rows[i : i + 1], columns, offsets) for i in range(len(rows))])
    assert together.tobytes() == alone.tobytes()
    assert softmax(together).astype(np.float32).tobytes() == softmax(alone).astype(np.float32).tobytes()


def test_products_of_sparse_rows_equal_those_of_dense_ones():
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 9)).astype(np.float32) * (rng.random((20, 9)) < 0.3)
    columns = rng.normal(size=(4, 9))
    np.testing.assert_allclose(products(csr_matrix(rows), columns), products(rows, columns), atol=1e-6)


def test_softmax_of_huge_and_of_no_scores():
    assert softmax(np.array([[1e6, 0.0], [-np.inf, 3.0]])).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert softmax(np.zeros((0, 3))).shape == (0, 3)


def test_a_vector_of_zeros_stays_zero():
    assert normalised(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0.0, 0.0], [0.6, 0.8]]
