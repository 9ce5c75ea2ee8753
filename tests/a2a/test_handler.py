"""The operations by both bindings: what they take, what they answer, what they refuse."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bindings import BINDINGS, Binding, user_message
from nbagora_lab.inspect.fold import LOG_EXTENSION
from told import check_order
from waiting import until

FINAL = {"COMPLETED", "FAILED", "CANCELED", "REJECTED"}


@pytest.fixture(scope="module")
def http(lab):
    with httpx.Client(headers={"Authorization": f"Bearer {lab.token}"}, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(params=BINDINGS)
def agent(request, lab, http):
    """``agent("echo")`` calls an agent by the binding that the test is run with."""
    return lambda name: Binding(http, f"{lab.url}/agents/{name}", request.param)


@pytest.fixture
def unique(request):
    """A text that no other test uses, for contexts, messages and gates."""
    return request.node.name.replace("[", "-").replace("]", "").replace("+", "")


def gate_text(unique):
    return f"gate {unique}"


# -- each operation ----------------------------------------------------------------------------------------------------


def test_sending_waits_for_the_end(agent, unique):
    answer = agent("echo")("SendMessage", {"message": user_message("hello", contextId=unique)})
    assert (answer.status, answer.state) == (200, "COMPLETED")
    assert answer.task["contextId"] == unique
    assert answer.task["artifacts"][0]["parts"] == [{"text": "hello"}]
    assert [one["messageId"] for one in answer.task["history"]] == ["m-hello"]
    assert answer.task["metadata"][LOG_EXTENSION]["topic"] == f"sessions/{unique}"


def test_streaming_gives_task_then_events_then_ends(agent):
    answer = agent("everything")("SendStreamingMessage", {"message": user_message("all")})
    check_order(answer.events)
    assert list(answer.ids) == [one["metadata"][LOG_EXTENSION]["offset"] for [one] in map(dict.values, answer.events)]
    kinds = [next(iter(event)) for event in answer.events]
    assert kinds[0] == "task"
    assert set(kinds[1:]) == {"statusUpdate", "artifactUpdate"}
    assert answer.events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


def test_get_folds_the_events_of_the_stream(agent):
    call = agent("everything")
    streamed = call("SendStreamingMessage", {"message": user_message("all")})
    task = call("GetTask", {"id": streamed.events[0]["task"]["id"]}).task
    updates = [event["artifactUpdate"] for event in streamed.events if "artifactUpdate" in event]
    whole = {}
    for update in updates:
        parts = whole.setdefault(update["artifact"]["artifactId"], [])
        parts += update["artifact"]["parts"]
    assert [one["parts"] for one in task["artifacts"]] == list(whole.values())
    assert task["status"] == streamed.events[-1]["statusUpdate"]["status"]
    assert task["metadata"]["stage"] == "one"


def test_get_of_no_task(agent):
    assert agent("echo")("GetTask", {"id": "ctx.none"}).reason == "TASK_NOT_FOUND"
    assert agent("echo")("GetTask", {"id": "no-dot"}).reason == "TASK_NOT_FOUND"


def test_another_agents_task_is_unknown(agent, unique):
    task = agent("echo")("SendMessage", {"message": user_message("x", contextId=unique)}).task
    for method in ("GetTask", "CancelTask", "SubscribeToTask"):
        assert agent("asker")(method, {"id": task["id"]}).reason == "TASK_NOT_FOUND"


def test_cancel(agent, lab, unique):
    call, gate = agent("gated"), gate_text(unique)
    task = call("SendMessage", {"message": user_message(gate), "configuration": {"returnImmediately": True}}).task
    lab.gates.wait_for(gate)
    canceled = call("CancelTask", {"id": task["id"]})
    assert canceled.state == "CANCELED"
    assert call("GetTask", {"id": task["id"]}).state == "CANCELED"
    assert call("CancelTask", {"id": task["id"]}).reason == "TASK_NOT_CANCELABLE"


def test_cancel_of_no_task(agent):
    assert agent("echo")("CancelTask", {"id": "ctx.none"}).reason == "TASK_NOT_FOUND"


def readers(lab, task):
    """How many wait for what comes on a task's session."""
    return len(lab.broker.log._watches._wakes.get(task["metadata"][LOG_EXTENSION]["topic"], ()))


def test_subscribe_gives_a_snapshot_and_what_follows(agent, lab, unique):
    call, gate = agent("gated"), gate_text(unique)
    task = call("SendMessage", {"message": user_message(gate), "configuration": {"returnImmediately": True}}).task
    lab.gates.wait_for(gate)
    answers = []
    reader = threading.Thread(target=lambda: answers.append(call("SubscribeToTask", {"id": task["id"]})))
    reader.start()
    until(lambda: readers(lab, task))
    lab.gates.open(gate)
    reader.join(20)
    first, *rest = answers[0].events
    assert first["task"]["status"]["state"] == "TASK_STATE_WORKING"
    assert first["task"]["status"]["message"]["parts"] == [{"text": "at the gate"}]
    assert [next(iter(event)) for event in rest] == ["artifactUpdate", "artifactUpdate", "statusUpdate"]
    offsets = [int(one) for one in answers[0].ids]
    assert offsets == sorted(set(offsets))


def test_subscribe_to_an_ended_task(agent):
    call = agent("echo")
    task = call("SendMessage", {"message": user_message("x")}).task
    assert call("SubscribeToTask", {"id": task["id"]}).reason == "UNSUPPORTED_OPERATION"
    assert call("SubscribeToTask", {"id": "ctx.none"}).reason == "TASK_NOT_FOUND"


def test_subscribe_after_an_offset_of_an_ended_task(agent):
    call = agent("echo")
    streamed = call("SendStreamingMessage", {"message": user_message("x")})
    task_id = streamed.events[0]["task"]["id"]
    for at, cursor in enumerate(streamed.ids):
        resumed = call("SubscribeToTask", {"id": task_id}, Last_Event_ID=cursor)
        assert resumed.events == streamed.events[at + 1 :]
        assert resumed.ids == streamed.ids[at + 1 :]
    assert resumed.status == (200 if call.kind == "JSONRPC" else 204)


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1e3", "٣", "0", "999999", "9" * 40])
def test_a_cursor_that_is_none_of_the_tasks_counts_as_none(agent, cursor):
    call = agent("echo")
    task = call("SendMessage", {"message": user_message("x")}).task
    header = {"Last_Event_ID": cursor} if cursor.isascii() else {}
    assert call("SubscribeToTask", {"id": task["id"]}, **header).reason == "UNSUPPORTED_OPERATION"


@pytest.mark.parametrize("method", ["Create", "Get", "List", "Delete"])
def test_a_task_that_is_not_there_has_no_webhooks(agent, method):
    asked = {"taskId": "t.1"}
    if method != "List":
        asked |= {"id": "c"}
    if method == "Create":
        asked |= {"url": "http://127.0.0.1:1/"}
    name = f"{method}TaskPushNotificationConfig" + "s" * (method == "List")
    assert agent("echo")(name, asked).reason == "TASK_NOT_FOUND"


def test_there_is_no_extended_card(agent):
    assert agent("echo")("GetExtendedAgentCard").reason == "UNSUPPORTED_OPERATION"


# -- what a message may ask for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 2, 10])
def test_history_length(agent, unique, length):
    call = agent("asker")
    opened = call("SendMessage", {"message": user_message("a b", contextId=unique + str(length))}).task
    for text in ("first", "second"):
        reply = user_message(text, contextId=opened["contextId"], taskId=opened["id"])
        answer = call("SendMessage", {"message": reply, "configuration": {"historyLength": length}})
    whole = call("GetTask", {"id": opened["id"]}).task["history"]
    said = [one["parts"][0]["text"] for one in whole]
    assert said == ["a b", "a?", "first", "b?", "second"]
    wanted = whole[-length:] if length else []
    assert answer.task.get("history", []) == wanted
    assert call("GetTask", {"id": opened["id"], "historyLength": length}).task.get("history", []) == wanted
    listed = call("ListTasks", {"contextId": opened["contextId"], "historyLength": length}).result["tasks"]
    assert [one["messageId"] for one in listed[0].get("history", [])] == [one["messageId"] for one in wanted]


@pytest.mark.parametrize("length", [0, 1])
def test_history_length_of_a_streams_first_task_and_of_an_immediate_answer(agent, unique, length):
    call = agent("echo")
    configuration = {"historyLength": length}
    streamed = call("SendStreamingMessage", {"message": user_message("x"), "configuration": configuration})
    assert len(streamed.task.get("history", [])) == length
    configuration["returnImmediately"] = True
    answer = call("SendMessage", {"message": user_message("y"), "configuration": configuration})
    assert len(answer.task.get("history", [])) == length


def test_a_negative_history_length_is_refused(agent):
    params = {"message": user_message("x"), "configuration": {"historyLength": -1}}
    assert agent("echo")("SendMessage", params).reason == "INVALID_PARAMS"
    assert agent("echo")("SendStreamingMessage", params).reason == "INVALID_PARAMS"
    assert agent("echo")("GetTask", {"id": "a.b", "historyLength": -1}).reason == "INVALID_PARAMS"


def test_returning_immediately_tells_where_to_go_on(agent, lab, unique):
    call, gate = agent("gated"), gate_text(unique)
    answer = call("SendMessage", {"message": user_message(gate), "configuration": {"returnImmediately": True}})
    assert answer.state == "SUBMITTED"
    place = answer.task["metadata"][LOG_EXTENSION]
    assert place["generation"] == "1"
    lab.gates.open(gate)
    resumed = call("SubscribeToTask", {"id": answer.task["id"]}, Last_Event_ID=place["offset"])
    assert [one["metadata"][LOG_EXTENSION]["generation"] for [one] in map(dict.values, resumed.events)] == [
        str(number) for number in range(2, len(resumed.events) + 2)
    ]


def test_media_types_that_nobody_offers(agent):
    params = {"message": user_message("x"), "configuration": {"acceptedOutputModes": ["video/mp4"]}}
    assert agent("echo")("SendMessage", params).reason == "CONTENT_TYPE_NOT_SUPPORTED"
    params["configuration"]["acceptedOutputModes"].append("text/plain")
    assert agent("echo")("SendMessage", params).state == "COMPLETED"
    film = {"raw": "AAAA", "mediaType": "video/mp4"}
    message = user_message("x") | {"parts": [film]}
    assert agent("echo")("SendMessage", {"message": message}).reason == "CONTENT_TYPE_NOT_SUPPORTED"


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"messageId": "m", "role": "ROLE_USER", "parts": []},
        {"messageId": "", "role": "ROLE_USER", "parts": [{"text": "x"}]},
        {"messageId": "m", "parts": [{"text": "x"}]},
        {"messageId": "m", "role": "ROLE_USER", "parts": [{}]},
        {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}], "contextId": "a/b"},
        {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}], "contextId": "a\x00b"},
        {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}], "contextId": "北" * 200},
        {"messageId": "m", "role": "ROLE_USER", "parts": [{"data": {"number": 1e999}}]},
        {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}], "metadata": {"number": -1e999}},
        {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "\ud800"}]},
        {"messageId": "m", "role": "ROLE_USER", "parts": [{"data": {"\udfff": 1}}]},
        {"messageId": "m\ud83d", "role": "ROLE_USER", "parts": [{"text": "x"}]},
    ],
)
def test_a_message_that_does_not_fit_is_refused_and_opens_nothing(agent, lab, http, message):
    before = len(lab.tasks(limit=1000))
    call = agent("echo")
    for method in ("SendMessage", "SendStreamingMessage"):
        answer = call(method, {"message": message})
        assert answer.reason in {"INVALID_PARAMS", "INVALID_REQUEST"}, answer
        assert answer.code in {-32602, 0}
        assert answer.status == (200 if call.kind == "JSONRPC" else 400)
    assert len(lab.tasks(limit=1000)) == before


# -- conversations -----------------------------------------------------------------------------------------------------


def test_a_question_and_its_answer(agent, unique):
    call = agent("asker")
    asked = call("SendMessage", {"message": user_message("day", contextId=unique)})
    assert (asked.state, asked.task["status"]["message"]["parts"]) == ("INPUT_REQUIRED", [{"text": "day?"}])
    reply = user_message("friday", contextId=unique, taskId=asked.task["id"])
    answered = call("SendMessage", {"message": reply})
    assert answered.task["id"] == asked.task["id"]
    assert answered.state == "COMPLETED"
    assert answered.task["artifacts"][0]["parts"][0] == {"text": "friday"}


def test_a_follow_up_by_the_tasks_id_alone(agent, unique):
    call = agent("asker")
    asked = call("SendMessage", {"message": user_message("a b", contextId=unique)}).task
    for text, state in (("x", "INPUT_REQUIRED"), ("y", "COMPLETED")):
        answer = call("SendMessage", {"message": user_message(text, taskId=asked["id"])})
        assert (answer.task["id"], answer.task["contextId"], answer.state) == (asked["id"], unique, state)
    assert [one["contextId"] for one in answer.task["history"]] == [unique] * 5


def test_a_follow_ups_stream_opens_with_the_task(agent, unique):
    call = agent("asker")
    asked = call("SendMessage", {"message": user_message("a", contextId=unique)}).task
    streamed = call("SendStreamingMessage", {"message": user_message("x", taskId=asked["id"])})
    first, *rest = streamed.events
    assert first["task"]["status"]["state"] == "TASK_STATE_SUBMITTED"
    assert [one["parts"][0]["text"] for one in first["task"]["history"]] == ["a", "a?", "x"]
    states = [one["statusUpdate"]["status"]["state"] for one in rest if "statusUpdate" in one]
    assert states == ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]


def test_a_follow_up_that_names_another_context(agent, unique):
    call = agent("asker")
    asked = call("SendMessage", {"message": user_message("a", contextId=unique)}).task
    wrong = user_message("x", taskId=asked["id"], contextId=f"{unique}-other")
    assert call("SendMessage", {"message": wrong}).reason == "INVALID_PARAMS"
    assert call("GetTask", {"id": asked["id"]}).state == "INPUT_REQUIRED"


def test_a_follow_up_to_a_task_at_work_or_ended_or_unknown(agent, lab, unique):
    call, gate = agent("gated"), gate_text(unique)
    task = call("SendMessage", {"message": user_message(gate), "configuration": {"returnImmediately": True}}).task
    lab.gates.wait_for(gate)
    early = call("SendMessage", {"message": user_message("early", taskId=task["id"])})
    lab.gates.open(gate)
    lab.wait(task["id"])
    late = call("SendMessage", {"message": user_message("late", taskId=task["id"])})
    assert (early.reason, late.reason) == ("UNSUPPORTED_OPERATION", "UNSUPPORTED_OPERATION")
    said = [one["parts"][0]["text"] for one in call("GetTask", {"id": task["id"]}).task["history"]]
    assert said == [gate, "at the gate"]
    unknown = call("SendMessage", {"message": user_message("x", taskId="ctx.none")})
    assert unknown.reason == "TASK_NOT_FOUND"


# -- plain messages ----------------------------------------------------------------------------------------------------


def test_a_plain_message_is_no_task(agent, unique):
    call = agent("plain")
    answer = call("SendMessage", {"message": user_message("x", contextId=unique)})
    assert answer.result.keys() == {"message"}
    said = answer.result["message"]
    assert (said["role"], said["contextId"], said["parts"]) == ("ROLE_AGENT", unique, [{"text": "plain x"}])
    assert "taskId" not in said
    assert call("ListTasks", {"contextId": unique}).result["tasks"] == []


def test_a_plain_message_is_the_only_event_of_its_stream(agent):
    streamed = agent("plain")("SendStreamingMessage", {"message": user_message("x")})
    assert [next(iter(event)) for event in streamed.events] == ["message"]
    assert streamed.events[0]["message"]["metadata"][LOG_EXTENSION]["generation"] == "2"


@pytest.mark.parametrize("name", ["plain", "either"])
def test_a_plain_message_to_who_does_not_want_to_wait(agent, name):
    params = {"message": user_message("x"), "configuration": {"returnImmediately": True}}
    answer = agent(name)("SendMessage", params)
    assert answer.result["message"]["parts"] == [{"text": "plain x"}]


def test_an_agent_that_answers_either_way_holds_the_task_back_until_its_first_word(agent, lab, unique):
    call, gate = agent("either"), f"gate task {unique}"
    answers = []
    sender = threading.Thread(
        target=lambda: answers.append(call("SendStreamingMessage", {"message": user_message(gate)}))
    )
    sender.start()
    lab.gates.wait_for(gate)
    lab.gates.open(gate)
    sender.join(20)
    check_order(answers[0].events)
    plain = call("SendStreamingMessage", {"message": user_message("x")})
    assert [next(iter(event)) for event in plain.events] == ["message"]


def test_a_list_takes_every_filter(agent, unique):
    call = agent("echo")
    made = [call("SendMessage", {"message": user_message(text, contextId=unique)}).task for text in ("a", "b", "c")]
    agent("asker")("SendMessage", {"message": user_message("a", contextId=unique)})
    wanted = {
        "contextId": unique,
        "status": "TASK_STATE_COMPLETED",
        "statusTimestampAfter": made[1]["status"]["timestamp"],
        "pageSize": 1,
    }
    first = call("ListTasks", wanted | {"historyLength": 0, "includeArtifacts": True}).result
    assert (first["totalSize"], first["pageSize"]) == (2, 1)
    assert [(one["id"], len(one["artifacts"]), one["history"]) for one in first["tasks"]] == [(made[2]["id"], 1, [])]
    second = call("ListTasks", wanted | {"pageToken": first["nextPageToken"]}).result
    assert [(one["id"], one.get("artifacts", []), len(one["history"])) for one in second["tasks"]] == [
        (made[1]["id"], [], 1)
    ]
    assert second["nextPageToken"] == ""
    for other in ({"status": "TASK_STATE_WORKING"}, {"statusTimestampAfter": "2999-01-01T00:00:00Z"}):
        assert call("ListTasks", wanted | other).result["tasks"] == []


# -- the same message again --------------------------------------------------------------------------------------------


def test_the_same_message_in_a_context_finds_the_task_that_it_opened(agent, unique):
    call = agent("everything")
    params = {"message": user_message("x", contextId=unique)}
    first = call("SendStreamingMessage", params)
    again = call("SendStreamingMessage", params)
    assert (again.events, again.ids) == (first.events, first.ids)
    assert call("SendMessage", params).task == call("GetTask", {"id": first.task["id"]}).task
    assert len(call("ListTasks", {"contextId": unique}).result["tasks"]) == 1


@pytest.mark.parametrize("log", ["here", "elsewhere"])
def test_the_same_message_sent_many_times_at_once_opens_one_task(agent, unique, lab, monkeypatch, log):
    """As callers do whose answer takes too long; a log elsewhere is asked on threads of their own."""
    if log == "elsewhere":
        log = lab._tasks._tasklog.log
        monkeypatch.setattr(log, "capabilities", log.capabilities | {"remote"})
    call, params = agent("echo"), {"message": user_message("x", contextId=unique)}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: call("SendMessage", params), range(8)))
    assert len({answer.task["id"] for answer in answers}) == 1
    assert len(call("ListTasks", {"contextId": unique}).result["tasks"]) == 1


def test_the_same_message_without_a_context_is_a_new_task_each_time(agent):
    call = agent("echo")
    ids = {call("SendMessage", {"message": user_message("x")}).task["id"] for _ in range(3)}
    assert len(ids) == 3


def test_the_same_id_with_other_content_is_another_message(agent, unique):
    call = agent("echo")
    one = call("SendMessage", {"message": user_message("one", messageId="m", contextId=unique)}).task
    two = call("SendMessage", {"message": user_message("two", messageId="m", contextId=unique)}).task
    assert one["id"] != two["id"]


def test_the_same_message_to_two_agents_of_a_context_is_a_task_of_each(agent, unique):
    params = {"message": user_message("x", contextId=unique)}
    echo, everything = agent("echo"), agent("everything")
    first, second = echo("SendMessage", params).task["id"], everything("SendMessage", params).task["id"]
    assert first != second
    assert (echo("SendMessage", params).task["id"], everything("SendMessage", params).task["id"]) == (first, second)


def test_the_same_answer_again_is_taken_once(agent, unique):
    call = agent("asker")
    asked = call("SendMessage", {"message": user_message("a b", contextId=unique)}).task
    reply = {"message": user_message("yes", contextId=unique, taskId=asked["id"])}
    first, again = call("SendMessage", reply), call("SendMessage", reply)
    assert first.task == again.task
    assert [one["parts"][0]["text"] for one in again.task["history"]] == ["a b", "a?", "yes"]


def test_the_same_words_to_another_task_of_the_context_are_for_that_task(agent, unique):
    call = agent("asker")
    asked = [call("SendMessage", {"message": user_message(text, contextId=unique)}).task["id"] for text in ("a", "b")]
    replies = [
        call("SendMessage", {"message": user_message("yes", contextId=unique, taskId=task)}).task for task in asked
    ]
    assert [one["id"] for one in replies] == asked
    assert {one["status"]["state"] for one in replies} == {"TASK_STATE_COMPLETED"}


@pytest.mark.parametrize("name", ["plain", "either"])
def test_the_same_message_finds_the_plain_answer_again(agent, unique, name):
    call = agent(name)
    params = {"message": user_message("x", contextId=unique)}
    first = call("SendStreamingMessage", params)
    again = call("SendStreamingMessage", params)
    assert again.events == first.events
    assert [next(iter(event)) for event in again.events] == ["message"]


# -- how tasks end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "state"), [("reject", "REJECTED"), ("fail", "FAILED"), ("boom", "FAILED")])
def test_ends_that_are_no_success_are_no_errors_of_the_call(agent, text, state):
    answer = agent("failing")("SendMessage", {"message": user_message(text)})
    assert (answer.status, answer.state) == (200, state)
    assert answer.task["artifacts"][0]["parts"][0] == {"text": "before"}
    assert answer.task["status"]["message"]["parts"][0]["text"] in {"not this", "can't", "ValueError: boom"}


@pytest.mark.parametrize("traceparent", ["0" * 300, "zz", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", ""])
def test_a_trace_context_that_is_none_starts_a_new_one(agent, lab, traceparent):
    call = agent("echo")
    task = call("SendMessage", {"message": user_message("x")}, traceparent=traceparent).task
    entry = lab._tasks._tasklog.directory()[task["id"]]
    version, trace, span, flags = entry.traceparent.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert set(trace) != {"0"}


def test_a_trace_context_is_kept(agent, lab):
    given = f"00-{'ab' * 16}-{'cd' * 8}-01"
    task = agent("echo")("SendMessage", {"message": user_message("x")}, traceparent=given).task
    assert lab._tasks._tasklog.directory()[task["id"]].traceparent == given


def test_get_waits_for_a_newer_generation(agent, lab, unique):
    """As the 1.1 draft has it: a caller that names the generation that it knows hears of the next one."""
    call, gate = agent("gated"), gate_text(unique)
    task = call("SendMessage", {"message": user_message(gate), "configuration": {"returnImmediately": True}}).task
    lab.gates.wait_for(gate)
    known = int(call("GetTask", {"id": task["id"]}).task["metadata"][LOG_EXTENSION]["generation"])
    assert call("GetTask", {"id": task["id"], "currentGeneration": known - 1}).state == "WORKING"
    answers = []
    params = {"id": task["id"], "currentGeneration": known}
    waiting = threading.Thread(target=lambda: answers.append(call("GetTask", params)))
    waiting.start()
    until(lambda: readers(lab, task))
    assert answers == []
    lab.gates.open(gate)
    waiting.join(20)
    assert int(answers[0].task["metadata"][LOG_EXTENSION]["generation"]) > known
    while (ended := call("GetTask", {"id": task["id"]})).state != "COMPLETED":
        continue
    last = ended.task["metadata"][LOG_EXTENSION]["generation"]
    assert call("GetTask", {"id": task["id"], "currentGeneration": last}).state == "COMPLETED"  # at once: it has ended


def test_a_message_is_taken_at_the_generation_that_it_names_alone(agent):
    """As the 1.1 draft has it: who answers a question that is another by now is told so, and nothing is taken in."""
    call = agent("asker")
    task = call("SendMessage", {"message": user_message("x")}).task
    at = int(call("GetTask", {"id": task["id"]}).task["metadata"][LOG_EXTENSION]["generation"])
    answer = {"message": user_message("Friday", taskId=task["id"])}
    refused = call("SendMessage", answer | {"configuration": {"ifGenerationMatch": at - 1}})
    assert refused.reason == "TASK_GENERATION_MISMATCH"
    assert (refused.status, refused.code) == ((200, -32010) if call.kind == "JSONRPC" else (409, 0))
    unnamed = call("SendMessage", {"message": user_message("x"), "configuration": {"ifGenerationMatch": 1}})
    assert unnamed.reason == "INVALID_PARAMS" or unnamed.code == -32602
    assert call("GetTask", {"id": task["id"]}).state == "INPUT_REQUIRED"
    assert call("SendMessage", answer | {"configuration": {"ifGenerationMatch": at}}).state == "COMPLETED"
