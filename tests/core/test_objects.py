"""JSON objects in files that people write."""

import json

import pytest

from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.objects import read_object


def test_an_object_in_a_file(tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"name": "天气"}), encoding="utf-8")
    assert read_object(path, "card") == {"name": "天气"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'"x"', None])
def test_a_file_that_holds_none(tmp_path, content):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_object(path, "card")
    assert str(path) in caught.value.what
    assert "holds no card" in caught.value.what
    assert caught.value.hint
