from __future__ import annotations

import json
from typing import Any

import pytest

from nbagora.show import plain, short_id
from nbagora_lab.core.errors import (
    AgentNotFound,
    EndpointNotFound,
    NotFound,
    RemoteError,
    TaskFailed,
    TimedOut,
    Unauthorized,
    UsageError,
    VersionExists,
)

SLOW = """%%agent slow
import asyncio
go = asyncio.Event()
async def slow(message):
    await go.wait()
    return "done"
"""


def test_ls_lists_them_with_a_data_frame(lab: Any, run: Any) -> None:
    table = run("%agent ls")
    assert [agent.name for agent in table] == ["echo"]
    assert table.df["skills"].tolist() == [("again",)]
    assert "Says it again." in repr(table)
    run("%agent stop echo")
    assert repr(run("%agent ls")) == "no agents yet: %%agent NAME defines one from a cell"


def test_ask_returns_the_finished_task(lab: Any, run: Any) -> None:
    task = run("%agent ask echo 你好")
    assert (task.text, task.state, task.agent) == ("你好", "COMPLETED", "echo")
    assert task.events[-1].last
    assert plain(task) == f"你好\necho · COMPLETED · task {short_id(task.id)} · context {task.context_id}"


def test_ask_goes_on_in_a_context(lab: Any, run: Any) -> None:
    first = run("%agent ask echo one")
    assert run("%agent ask echo two --context last").context_id == first.context_id
    assert run(f"%agent ask --context {first.context_id} echo three").context_id == first.context_id
    assert run("%agent ask echo four").context_id != first.context_id
    assert run("%agent ask echo five --context mine").context_id == "mine"


def test_ask_raises_what_failed_unless_told_not_to(lab: Any, run: Any) -> None:
    run("%%agent bad\ndef bad(message):\n    raise ValueError('no luck')")
    with pytest.raises(TaskFailed) as caught:
        run("%agent ask bad hi")
    assert caught.value.task.state == "FAILED"
    task = run("%agent ask bad hi --no-raise")
    assert task.state == "FAILED"
    assert "no luck" in plain(task)


def test_ask_shows_the_line_that_answers(lab: Any, run: Any) -> None:
    run("%%agent asker\nasync def asker(message, task):\n    day = await task.ask('Which day?')\n    yield day.text")
    task = run("%agent ask asker hi")
    assert task.state == "INPUT_REQUIRED"
    assert "asks: Which day?" in plain(task)
    line = next(line for line in plain(task).splitlines() if line.startswith("answer with: "))
    done = run(line.removeprefix("answer with: ").replace("…", "Friday evening, isn't it?"))
    assert (done.text, done.id) == ("Friday evening, isn't it?", task.id)


def test_ask_gives_up_after_its_timeout_and_the_task_goes_on(lab: Any, run: Any, shell: Any) -> None:
    run(SLOW)
    with pytest.raises(TimedOut) as caught:
        run("%agent ask slow hi --timeout 0.05")
    [task] = run("%task ls --agent slow")
    assert caught.value.hint == f"the task goes on: %task watch {short_id(task.id)}"
    lab._runs.loop.call(shell.user_ns["go"].set)
    assert run("%task watch last --timeout 30").text == "done"


def test_a_plain_reply_is_shown_too(lab: Any, run: Any) -> None:
    run("%%agent plainly --reply message\nasync def plainly(message, task):\n    return task.message('just so')")
    task = run("%agent ask plainly hi")
    assert task.plain
    assert plain(task).startswith("just so\nplainly · COMPLETED")


def test_send_returns_at_once(lab: Any, run: Any) -> None:
    task = run("%agent send echo hi?")
    assert task.agent == "echo"
    assert run("%task wait last").text == "hi?"


def test_unknown_agents_are_named_with_what_was_meant(lab: Any, run: Any) -> None:
    for line in ("%agent ask ecco hi", "%agent send ecco hi", "%agent stop ecco", "%agent card ecco"):
        with pytest.raises(AgentNotFound) as caught:
            run(line)
        assert caught.value.hint == "did you mean 'echo'?"


def test_card_is_the_one_that_is_served(lab: Any, run: Any) -> None:
    card = run("%agent card echo")
    assert card["description"] == "Says it again."
    assert card["supportedInterfaces"][0]["url"] == f"{lab.url}/agents/echo"
    assert '"id": "again"' in repr(card)
    assert "&quot;id&quot;" in card._repr_html_()
    assert (card.problems, card.holds) == ((), True)
    assert "the signature holds" in repr(card)
    assert "fits the specification" in card._repr_html_()
    assert {"agent", "skill again", "signature"} <= set(card.df["name"])


def test_card_says_what_to_show(lab: Any, run: Any) -> None:
    lab.define("locked", lambda message: message.text, auth=["apikey query k", "oauth2 https://i.example read"])
    rows = run("%agent card locked").df
    assert rows[rows["name"] == "asks for"]["value"].tolist() == [
        "an API key in the query k ('apikey KEY')",
        "a token by OAuth 2 from https://i.example/token with read ('oauth2 CLIENT:SECRET')",
    ]


def test_card_tells_all_that_is_wrong_with_a_file(lab: Any, run: Any, tmp_path: Any) -> None:
    file = tmp_path / "card.json"
    file.write_text('{"name": "<b>x</b>", "kind": "agent", "skills": []}', encoding="utf-8")
    card = run(f"%agent card {file}")
    assert len(card.problems) > 3
    assert (card.holds, card.signature) == (None, "not signed")
    assert "<b>x</b>" not in card._repr_html_()


def test_card_sees_a_signature_that_does_not_hold(lab: Any, run: Any, tmp_path: Any) -> None:
    card = dict(run("%agent card echo"))
    file = tmp_path / "card.json"
    file.write_text(json.dumps(card | {"description": "Says something else."}), encoding="utf-8")
    assert run(f"%agent card {file}").holds is False


def test_login_keeps_what_an_agent_is_shown_and_credentials_are_for_one_call(
    lab: Any, run: Any, monkeypatch: Any
) -> None:
    key = lab.credentials.grant("bob", "apikey")
    lab.define("locked", lambda message: message.text, auth=["apikey header K"])
    assert run(f"%agent ask locked hi --credentials 'apikey {key}'").topic.startswith("sessions/bob")
    assert run("%agent ask locked hi").topic.startswith("sessions/ctx-")
    monkeypatch.setenv("NBAGORA_TEST_KEY", key)
    said = run("%agent login locked --credentials 'apikey env:NBAGORA_TEST_KEY'")
    assert repr(said) == "locked is shown apikey from now on"
    assert run("%agent send locked hi").topic.startswith("sessions/bob")
    assert repr(run("%agent logout locked")) == "locked is shown nothing any more"
    assert run("%agent ask locked hi").topic.startswith("sessions/ctx-")
    with pytest.raises(Unauthorized, match="API key in the header K"):
        run("%agent ask locked hi --credentials 'apikey wrong'")
    with pytest.raises(UsageError, match="no credentials"):
        run("%agent login locked --credentials secret")
    with pytest.raises(NotFound):
        run("%agent logout locked")


def test_find_searches_cards(lab: Any, run: Any) -> None:
    assert [one.agent.name for one in run("%agent find says again")] == ["echo"]
    assert [one.agent.name for one in run("%agent find --tag test")] == ["echo"]
    assert [one.agent.name for one in run("%agent find --skill again says")] == ["echo"]
    assert repr(run("%agent find --tag nothing")) == "no agent fits"
    assert len(run("%agent find what's this")) == 0


def test_stop_says_so(lab: Any, run: Any) -> None:
    assert repr(run("%agent stop echo")) == "agent echo stopped"
    with pytest.raises(EndpointNotFound):
        run("%agent ask echo hi")


def test_define_takes_every_option(lab: Any, run: Any) -> None:
    info = run(
        "%%agent full --skill 'a: first' --skill \"b: second\" --tag x --tag y --version 1.2.3 --reply either"
        " --description '说 it'\nasync def full(message): return 'x'"
    )
    assert (info.version, info.skills, info.reply, info.description) == ("1.2.3", ("a", "b"), "either", "说 it")
    assert plain(info) == f"agent full 1.2.3 (async function) at {info.url}"
    with pytest.raises(VersionExists):
        run("%%agent full --version 1.2.3\nasync def full(message): return 'x'")
    with pytest.raises(UsageError, match="--reply can't be 'loud'"):
        run("%%agent full --reply loud\nasync def full(message): return 'x'")


def test_cancelling_what_has_ended_is_an_error(lab: Any, run: Any) -> None:
    run("%agent ask echo hi")
    with pytest.raises(RemoteError):
        run("%task cancel last")
