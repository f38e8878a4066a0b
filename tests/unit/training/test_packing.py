import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from nshot.training import packing

TEXTS = st.lists(st.integers(1, 30), min_size=1, max_size=20).map(
    lambda sizes: [np.arange(size) + 100 * number for number, size in enumerate(sizes)]
)


def read(rows: packing.Rows, number: int, size: int) -> np.ndarray:
    flat = rows.input_ids.flatten().numpy()
    return flat[rows.starts[number] : rows.starts[number] + size]


@given(TEXTS)
def test_every_text_stands_whole_where_it_is_said_to_begin(texts) -> None:
    for lay_out in (packing.padded, packing.packed):
        rows = lay_out(texts)
        for number, text in enumerate(texts):
            assert read(rows, number, len(text)).tolist() == text.tolist()
            assert rows.starts[number] % rows.input_ids.shape[1] + len(text) <= rows.input_ids.shape[1]


@given(TEXTS)
def test_positions_begin_again_with_every_text_and_nowhere_else(texts) -> None:
    rows = packing.packed(texts)
    if rows.position_ids is None:
        assert len(rows.input_ids) == len(texts)
        return
    flat = rows.position_ids.flatten()
    assert sorted(torch.flatten((flat == 0).nonzero()).tolist()) == sorted(rows.starts)
    for number, text in enumerate(texts):
        first = rows.starts[number]
        assert flat[first : first + len(text)].tolist() == list(range(len(text)))


@given(TEXTS)
def test_packing_never_takes_more_room_than_padding(texts) -> None:
    assert packing.packed(texts).input_ids.numel() <= packing.padded(texts).input_ids.numel()


def test_short_texts_share_the_row_that_they_fill_best() -> None:
    rows = packing.packed([np.arange(size) for size in (10, 4, 6, 3, 7)])

    assert rows.input_ids.shape == (3, 10)
