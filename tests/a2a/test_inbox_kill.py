"""kill -9 of a lab whose agent has a line of messages and webhooks to be told: every message is worked on or told to
have failed, and every webhook hears every event, in order, whatever process tells it."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict

import httpx
import pytest

from bindings import user_message
from nbagora_lab.inspect.fold import LOG_EXTENSION
from webhook import webhook

pytestmark = pytest.mark.thorough

AGENT = """
import asyncio
from nbagora import agent

@agent(concurrency=2)
async def slow(message, task):
    yield task.status("at work")
    await asyncio.sleep(0.05)
    yield message.text
"""
MESSAGES, KILLS = 12, 1
HTTP = httpx.Client(verify=False, trust_env=False, timeout=60)


class Served:
    """A lab in a process of its own."""

    def __init__(self, folder):
        (folder / "slow.py").write_text(AGENT)
        command = [sys.executable, "-m", "nbagora.cli", "serve", str(folder / "slow.py"), "--json", "--store", "store"]
        env = os.environ | {"NBAGORA_PUSH_ALLOW": "127.0.0.1"}
        self.process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        told = json.loads(self.process.stdout.readline())
        self.url, self.token = told["url"], told["token"]

    def call(self, method, params):
        headers = {"Authorization": f"Bearer {self.token}", "A2A-Version": "1.0"}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = HTTP.post(f"{self.url}/agents/slow", json=body, headers=headers).json()
        return answer["result"]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def generation(told):
    [body] = told.json().values()
    return int(body["metadata"][LOG_EXTENSION]["generation"])


def task_of(told):
    [body] = told.json().values()
    return body.get("taskId") or body["id"]


def test_killed_with_a_line_of_messages(tmp_path):
    with webhook() as hook:
        served = Served(tmp_path)
        tasks = []
        for number in range(MESSAGES):
            configuration = {"returnImmediately": True, "taskPushNotificationConfig": {"url": hook.url}}
            sent = served.call("SendMessage", {"message": user_message(f"{number}"), "configuration": configuration})
            tasks.append(sent["task"]["id"])
        for kill in range(KILLS):
            hook.wait_for(len(hook.told) + 20, timeout=200)
            served.kill()
            served = Served(tmp_path)
            assert kill >= 0
        deadline = time.monotonic() + 250
        while True:
            ended = [served.call("GetTask", {"id": task}) for task in tasks]
            states = [task["status"]["state"] for task in ended]
            if not {"TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"} & set(states):
                break
            assert time.monotonic() < deadline, states
        last = {task["id"]: int(task["metadata"][LOG_EXTENSION]["generation"]) for task in ended}
        while {task_of(one): generation(one) for one in list(hook.told)} != last:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        served.stop()
    failed = [task for task in ended if task["status"]["state"] == "TASK_STATE_FAILED"]
    assert len(failed) <= 2 * KILLS
    for task in ended:
        if task not in failed:
            assert task["status"]["state"] == "TASK_STATE_COMPLETED"
            assert [one["parts"][0]["text"] for one in task["artifacts"]] == [task["history"][0]["parts"][0]["text"]]
    heard = defaultdict(list)
    for one in hook.told:
        heard[task_of(one)].append(generation(one))
    for task, generations in heard.items():
        first_heard = list(dict.fromkeys(generations))
        assert first_heard == list(range(1, last[task] + 1))
        assert all(b - a <= 1 for a, b in itertools.pairwise(generations))  # again, but never ahead
