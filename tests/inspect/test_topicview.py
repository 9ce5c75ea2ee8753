"""What a topic view may ask for is strict, and what a snapshot says is short."""

import pytest
from pydantic import TypeAdapter, ValidationError

from nbagora_lab.inspect.topicview import Pick, RecordRow, TopicCommand

COMMAND = TypeAdapter(TopicCommand)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"do": "rm", "request": 1, "topic": "chat/a"},
        {"do": "browse", "request": 1},
        {"do": "look", "request": 1, "offset": -1},
        {"do": "look", "request": 1, "time": float("nan")},
        {"do": "look", "request": 1, "offset": "first"},
        {"do": "pick", "request": 1, "topic": "chat/a"},
        {"do": "fork", "request": 1, "topic": "chat/a", "at": -1, "to": "chat/b"},
        {"do": "send", "request": 1, "topic": "chat/a", "body": "x", "media": "text/html"},
        {"do": "send", "request": 1, "topic": "chat/a", "body": "x", "more": 1},
    ],
)
def test_what_is_no_command_is_refused(content):
    with pytest.raises(ValidationError):
        COMMAND.validate_python(content)


def test_a_record_that_is_put_away_is_a_command():
    assert COMMAND.validate_python({"do": "pick", "request": 1, "topic": "chat/a", "offset": None}) == Pick(
        request=1, topic="chat/a", offset=None
    )


def test_a_row_is_one_short_line():
    row = RecordRow(offset=0, time=0, type="message", subject="s" * 9000, size=1, text="a\n b\t" + "c" * 9000)
    assert row.text.startswith("a b cc")
    assert len(row.text) == len(row.subject) == 160
