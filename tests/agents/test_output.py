"""What an agent yields and returns, as its caller and the log see it."""

import pytest
from pydantic import BaseModel

from nbagora_lab.core.errors import TaskFailed


class Weather(BaseModel):
    city: str
    degrees: int


def artifacts(task):
    return task.raw.get("artifacts", [])


def test_chunks_are_one_artifact_whose_end_is_flagged(lab):
    @lab.agent(name="chunks")
    async def chunks(message, task):
        for word in ("Sunny", "", " in ", message.text):
            yield word

    task = lab.ask("chunks", "北京")

    assert task.text == "Sunny in 北京"
    updates = [event.raw["artifactUpdate"] for event in task.events if event.kind == "artifact"]
    assert len({update["artifact"]["artifactId"] for update in updates}) == 1
    assert [update.get("append", False) for update in updates] == [False, True, True, True]
    assert [update.get("lastChunk", False) for update in updates] == [False, False, False, True]


def test_a_returned_text_is_one_chunk_flagged_as_the_last(lab):
    @lab.agent(name="returned")
    async def returned(message, task):
        return "all of it"

    [update] = [event.raw["artifactUpdate"] for event in lab.ask("returned", "x").events if event.kind == "artifact"]

    assert update["lastChunk"]
    assert "append" not in update


def test_another_part_ends_a_run_of_chunks(lab):
    @lab.agent(name="mixed")
    async def mixed(message, task):
        yield "before"
        yield {"a": 1}
        yield "after"

    task = lab.ask("mixed", "x")

    assert [[part.get("text", part.get("data")) for part in one["parts"]] for one in artifacts(task)] == [
        ["before", ""],
        [{"a": 1}],
        ["after", ""],
    ]
    assert task.text == "beforeafter"
    assert task.data == [{"a": 1}]


def test_data_and_files(lab, tmp_path):
    (tmp_path / "报告.txt").write_text("你好", encoding="utf-8")

    @lab.agent(name="files")
    async def files(message, task):
        yield Weather(city="北京", degrees=21)
        yield b"\x00\xff"
        yield tmp_path / "报告.txt"
        yield task.file(url="https://example.org/a.pdf", name="a.pdf", media_type="application/pdf")

    task = lab.ask("files", "x")

    assert task.data == [{"city": "北京", "degrees": 21}]
    raw, text, link = task.files
    assert raw["content"] == b"\x00\xff"
    assert (text["name"], text["content"].decode(), text["media_type"]) == ("报告.txt", "你好", "text/plain")
    assert (link["url"], link["name"]) == ("https://example.org/a.pdf", "a.pdf")


def test_named_artifacts_grow(lab):
    @lab.agent(name="named")
    async def named(message, task):
        yield task.artifact("plan", "one", last=False)
        await task.artifact("plan", " two", append=True)
        yield task.artifact("other", {"n": 1})

    plan, other = artifacts(lab.ask("named", "x"))

    assert (plan["name"], [part["text"] for part in plan["parts"]]) == ("plan", ["one", " two"])
    assert other["name"] == "other"


def test_appending_to_an_artifact_that_is_not_there_fails_the_task(lab):
    @lab.agent(name="unnamed")
    async def unnamed(message, task):
        yield task.artifact("plan", "x", append=True)

    with pytest.raises(TaskFailed, match="no artifact 'plan' to append to"):
        lab.ask("unnamed", "x")


def test_a_status_says_working_and_its_text(lab):
    @lab.agent(name="status")
    async def status(message, task):
        yield task.status("looking at the sky", step=1)
        yield "done"

    events = lab.ask("status", "x").events

    assert [(event.state, event.text) for event in events if event.kind == "status"] == [
        ("WORKING", ""),
        ("WORKING", "looking at the sky"),
        ("COMPLETED", ""),
    ]
    assert [event.generation for event in events] == list(range(1, len(events) + 1))


def test_complete_ends_with_a_message(lab):
    @lab.agent(name="complete")
    async def complete(message, task):
        yield "a"
        yield task.complete("and that was it")

    task = lab.ask("complete", "x")

    assert (task.state, task.status_text, task.text) == ("COMPLETED", "and that was it", "aand that was it")


@pytest.mark.parametrize("value", [3.5, object(), {1, 2}, {"nan": float("nan")}, {"bytes": b"x"}])
def test_a_value_without_a_meaning_fails_the_task_and_names_it(lab, value):
    @lab.agent(name="wrong")
    async def wrong(message, task):
        yield value

    with pytest.raises(TaskFailed) as failure:
        lab.ask("wrong", "x")

    assert any(word in str(failure.value) for word in (type(value).__name__, "JSON can't hold"))


def test_rejecting_and_failing(lab):
    @lab.agent(name="refuses")
    async def refuses(message, task):
        raise task.reject("not today") if message.text == "reject" else task.fail("no sky")

    with pytest.raises(TaskFailed, match="REJECTED: not today"):
        lab.ask("refuses", "reject")
    task = lab.ask("refuses", "fail", check=False)
    assert (task.state, task.error) == ("FAILED", "no sky")


def test_an_agent_that_raises_fails_its_task_and_logs_the_users_own_lines(lab):
    @lab.agent(name="raises")
    async def raises(message, task):
        yield "half"
        return_nothing = {}
        return_nothing["city"]

    task = lab.ask("raises", "x", check=False)

    assert (task.state, task.error, task.text) == ("FAILED", "KeyError: 'city'", "half")
    [log] = [record for record in lab.broker.read(task.topic) if record.type == "task.log"]
    said = log.body.decode()
    assert 'return_nothing[\\"city\\"]' in said
    assert "nbagora_lab" not in said


def test_sync_functions_and_generators(lab):
    @lab.agent(name="sync-return")
    def sync_return(message):
        return message.text.upper()

    @lab.agent(name="sync-yield")
    def sync_yield(message, task):
        task.status("at once")
        yield "a"
        yield "b"
        return {"n": 2}

    assert lab.ask("sync-return", "abc").text == "ABC"
    task = lab.ask("sync-yield", "x")
    assert (task.text, task.data) == ("ab", [{"n": 2}])


def test_a_dropped_output_warns(lab):
    @lab.agent(name="drops")
    async def drops(message, task):
        task.status("never said")
        return "x"

    with pytest.warns(RuntimeWarning, match="neither yielded nor awaited"):
        lab.ask("drops", "x")


def test_line_separators_and_lone_surrogates_reach_the_caller_whole(lab):
    @lab.agent(name="odd")
    async def odd(message, task):
        yield "a\u2028b\u0085c\x00d\n\r\ud800e"

    assert lab.ask("odd", "x").text == "a\u2028b\u0085c\x00d\n\r?e"


def test_plain_messages_need_a_declared_reply_mode(lab):
    @lab.agent(name="plain", reply="message")
    async def plain(message, task):
        return "just words"

    @lab.agent(name="either", reply="either")
    async def either(message, task):
        if message.text == "task":
            yield "a task"
            return
        yield ""
        raise task.fail("unused") if message.text == "never" else task.reject("no")

    @lab.agent(name="either-message", reply="either")
    async def either_message(message, task):
        return task.message("hello ", {"n": 1})

    @lab.agent(name="undeclared")
    async def undeclared(message, task):
        return task.message("hello")

    answer = lab.ask("plain", "x")
    assert (answer.plain, answer.text, [event.kind for event in answer.events]) == (True, "just words", ["message"])
    assert lab.ask("either", "task").text == "a task"
    said = lab.ask("either-message", "x")
    assert (said.plain, said.text, said.data) == (True, "hello ", [{"n": 1}])
    with pytest.raises(TaskFailed, match="reply either"):
        lab.ask("undeclared", "x")
