"""One lab for the tests of this folder; each test defines agents under names of its own."""

import pytest

from nbagora_lab.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(store=tmp_path_factory.mktemp("store"), cancel_grace=0.5) as lab:
        yield lab
