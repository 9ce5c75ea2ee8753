"""A lab with agents of every manner, one for each module; its store lies outside the tests' own folder, because the
store of a lab that goes on may open files in any test."""

import os
import tempfile
from urllib.parse import urlsplit

import pytest

from a2a_agents import define_agents
from nbagora_lab.lab import Lab


@pytest.fixture(scope="module")
def lab():
    with tempfile.TemporaryDirectory(prefix="nbagora-a2a-") as store, Lab(store=store) as lab:
        lab.gates = define_agents(lab)
        yield lab


@pytest.fixture(scope="module")
def port(lab):
    return urlsplit(lab.url).port


@pytest.fixture
def seed():
    """NBAGORA_TEST_SEED, or a new one; a failed test shows it."""
    value = int(os.environ.get("NBAGORA_TEST_SEED") or int.from_bytes(os.urandom(4)))
    print(f"NBAGORA_TEST_SEED={value}")
    return value
