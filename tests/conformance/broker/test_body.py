"""Large bodies: staged, referred to by a record, read in pieces; one that is not there is not found."""

from __future__ import annotations

import hashlib

import pytest

from nbagora_lab.broker.api import Log
from nbagora_lab.broker.blobs import CHUNK, BlobRef
from nbagora_lab.core.errors import BodyNotFound, NotFound
from nbagora_lab.core.events import Flags, encode

BODY = bytes(range(256)) * (CHUNK // 256) + "末尾".encode()


def test_a_body_that_a_record_refers_to_is_read_from_any_place(log: Log) -> None:
    ref = log.stage([BODY[:7], BODY[7:]])
    assert ref == (hashlib.sha256(BODY).hexdigest(), len(BODY))
    log.append([("chat/a", encode("note", ref.body(), flags=Flags.REFERENCE))])
    with log.open_body(ref) as reader:
        assert (reader.size, reader.readall()) == (len(BODY), BODY)
        reader.seek(CHUNK - 2)
        assert reader.read(CHUNK) == BODY[CHUNK - 2 : CHUNK]
        assert reader.read(CHUNK) == "末尾".encode()


def test_a_body_that_was_never_stored_is_not_found(log: Log) -> None:
    name = hashlib.sha256(b"never stored").hexdigest()
    with pytest.raises(BodyNotFound) as caught:
        log.open_body(BlobRef(name, 5))
    assert isinstance(caught.value, NotFound)
    first, second = caught.value._render_traceback_()
    assert name[:12] in first
    assert second.startswith("hint: ")
