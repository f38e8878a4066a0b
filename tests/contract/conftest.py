"""The example methods are installed while the contract is tested, and only then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.cases import with_example_methods


@pytest.fixture(scope="module", autouse=True)
def example_methods() -> Iterator[None]:
    """Install the example methods for one file of tests."""
    with with_example_methods():
        yield
