import gc
import weakref

import psutil
import pytest
import torch
from torch import nn

from nshot.core import OutOfMemoryError
from nshot.training import memory
from nshot.training.batching import Batch, micro_batches


class Reader(nn.Module):
    """Word vectors, perhaps attention, one number per text."""

    def __init__(self, attends=False) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 32)
        self.dense = nn.Linear(32, 32)
        self.attends = attends

    def forward(self, input_ids):
        vectors = torch.tanh(self.dense(self.words(input_ids)))
        if self.attends:
            vectors = (vectors @ vectors.transpose(1, 2)).softmax(-1) @ vectors
        return vectors.sum(dim=(1, 2))


@pytest.fixture(autouse=True)
def no_scratch(monkeypatch):
    monkeypatch.setattr(memory, "_SCRATCH_BYTES", 0)


def limit(network, length, memory_bytes, copies=3, neighbours=1):
    def batch(positions):
        return Batch({"input_ids": torch.ones(len(positions), length, dtype=torch.int64)}, None, len(positions))

    return memory.most_entries(
        network,
        lambda each: network(**each.inputs).sum(),
        batch,
        0,
        trained=list(network.parameters()),
        weights=list(network.state_dict().values()),
        copies=copies,
        device="cpu",
        neighbours=neighbours,
        memory_bytes=memory_bytes,
    )


def test_what_a_graphics_card_has_left_is_what_is_free_and_what_was_reserved_for_it(monkeypatch) -> None:
    for name, found in {"mem_get_info": (700, 1000), "memory_reserved": 200, "memory_allocated": 150}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, found=found: found)

    assert memory.free_bytes("cuda:1") == 750


def test_what_is_kept_for_the_backward_pass_is_counted_to_the_byte() -> None:
    dense = nn.Linear(8, 4)
    x = torch.ones(5, 8)

    # The matrix product keeps its input (5 x 8) for the weight's gradient, tanh keeps its output (5 x 4).
    assert memory.kept_for_backward(lambda: torch.tanh(dense(x)).sum()) == 4 * (5 * 8 + 5 * 4)
    with torch.no_grad():
        assert memory.kept_for_backward(lambda: torch.tanh(dense(x)).sum()) == 0


def test_a_network_that_was_counted_is_given_back():
    def counted():
        dense = nn.Linear(8, 4)
        memory.kept_for_backward(lambda: torch.tanh(dense(torch.ones(5, 8)).to(torch.bfloat16)).sum())
        return weakref.ref(dense.weight)

    weight = counted()
    gc.collect()
    assert weight() is None


def test_a_token_is_charged_what_it_keeps_and_weights_their_copies() -> None:
    network = Reader()
    weights = sum(parameter.nbytes for parameter in network.parameters())
    # A token keeps its id, its vector and its answer.
    token = 8 + 2 * 32 * 4

    assert limit(network, 10, 4 * weights + 1.5 * 1024 * token + 100) == 1024
    assert limit(network, 10, 4 * weights + 1.5 * 1023 * token) == 512
    assert limit(network, 10, 5 * weights + 1.5 * 1024 * token + 100, copies=4) == 1024


def test_long_texts_make_micro_batches_smaller_where_attention_grows_with_them() -> None:
    limits = [limit(Reader(attends=True), length, 20_000_000) for length in (10, 100, 1000)]

    assert limits[0] > limits[1] > limits[2]
    assert limit(Reader(), 10, 20_000_000) == limit(Reader(), 1000, 20_000_000)


def test_what_is_free_is_shared_with_the_processes_beside_this_one(monkeypatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**8)

    assert limit(Reader(), 10, None) == 2 * limit(Reader(), 10, None, neighbours=2)


def test_one_example_too_large_is_an_error() -> None:
    with pytest.raises(OutOfMemoryError, match=r"about 0\.01 GB besides .* there are 0\.00 GB.*lora"):
        limit(Reader(attends=True), 1000, 1_000_000)


def test_a_loss_that_keeps_nothing_sets_no_limit() -> None:
    network = Reader()
    with torch.no_grad():
        assert limit(network, 10, None) is None


def test_the_longest_example_of_a_plan_is_found() -> None:
    lengths = [3, 9, 4, 50, 7, 8]
    plan = [micro_batches([0, 1, 2], lengths, 20), micro_batches([3, 4, 5], lengths, 20)]

    def batch(positions):
        return Batch({"input_ids": torch.zeros(len(positions), max(lengths[at] for at in positions))}, None, 1)

    assert memory.longest_example(plan, batch) == 3


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Return a function that puts this process into control groups with these files."""

    def put(membership, **files):
        (tmp_path / "cgroup").write_text(membership)
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(memory, "_GROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(memory, "_MOUNT", tmp_path / "mount")

    return put


def test_without_limits_the_free_memory_is_that_of_the_machine(groups) -> None:
    groups("0::/\n")

    assert memory.free_bytes() == pytest.approx(psutil.virtual_memory().available, rel=0.1)


def test_the_limit_of_a_control_group_counts_where_it_is_less(groups) -> None:
    groups(
        "0::/a/b\n",
        mount__a__memory_DOT_max="5000000",
        mount__a__memory_DOT_current="3000000",
        mount__a__memory_DOT_stat="anon 2000000\ninactive_file 400000\n",
        mount__a__b__memory_DOT_max="max",
        mount__a__b__memory_DOT_current="1000000",
        mount__a__b__memory_DOT_stat="inactive_file 0\n",
    )

    assert memory.free_bytes() == 2_400_000


def test_the_older_kind_of_control_group_counts_too(groups) -> None:
    groups(
        "5:cpu:/x\n4:memory:/x\n0::/\n",
        mount__memory__x__memory_DOT_limit_in_bytes="900000",
        mount__memory__x__memory_DOT_usage_in_bytes="950000",
        mount__memory__x__memory_DOT_stat="cache 5\n",
    )

    assert memory.free_bytes() == 0
