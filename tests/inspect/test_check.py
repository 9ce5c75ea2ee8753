"""What is wrong with a message of the protocol."""

import pytest

from nbagora_lab.inspect.check import message_problems

MESSAGE = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "晴"}]}
STATUS = {"state": "TASK_STATE_WORKING", "timestamp": "2026-11-28T04:00:00Z", "message": MESSAGE}
IDS = {"taskId": "t", "contextId": "c"}
FITS = [
    {"message": MESSAGE},
    {"task": {"id": "t", "contextId": "c", "status": STATUS, "history": [MESSAGE]}},
    {"statusUpdate": {**IDS, "status": STATUS, "metadata": {"urn:x": {"offset": "3"}}}},
    {"artifactUpdate": {**IDS, "artifact": {"artifactId": "a", "parts": [{"data": [1]}]}, "append": True}},
    {"artifactUpdate": {**IDS, "artifact": {"artifactId": "a", "parts": [{"url": "https://x.example/f"}]}}},
]


@pytest.mark.parametrize("body", FITS, ids=lambda body: next(iter(body)))
def test_what_fits(body):
    assert message_problems(body) == ()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "none of task"),
        ([], "none of task"),
        ({"message": MESSAGE, "task": {}}, "none of task"),
        ({"message": {**MESSAGE, "kind": "message"}}, "kind"),
        ({"message": {**MESSAGE, "role": "agent"}}, "role"),
        ({"message": {"role": "ROLE_AGENT", "parts": [{"text": "x"}]}}, "messageId"),
        ({"message": {**MESSAGE, "parts": []}}, "parts"),
        ({"message": {**MESSAGE, "parts": [{"filename": "f"}]}}, "one of text, raw, url and data"),
        ({"statusUpdate": {**IDS, "status": {**STATUS, "state": "working"}}}, "working"),
        ({"statusUpdate": {**IDS, "status": {**STATUS, "state": "TASK_STATE_UNSPECIFIED"}}}, "state"),
        ({"statusUpdate": {**IDS, "status": {**STATUS, "timestamp": "now"}}}, "timestamp"),
        ({"statusUpdate": {"taskId": "t", "status": STATUS}}, "contextId"),
        ({"artifactUpdate": {**IDS, "artifact": {"artifactId": "", "parts": [{"text": "x"}]}}}, "artifactId"),
    ],
)
def test_what_does_not_fit_is_named(body, problem):
    found = message_problems(body)
    assert found
    assert any(problem in one for one in found), found
