"""A `TaskSource` without a lab: tasks that a test changes, and a service thread of its own.

Tests import it, and notebooks of the browser tests have it as a cell.
"""

import asyncio
import contextlib
import itertools
import threading
from concurrent.futures import Future

from nbagora_lab.core.errors import NotStarted, TaskNotFound
from nbagora_lab.inspect.model import EventRow, TaskDetail, TaskRow, TasksSnapshot
from nbagora_lab.inspect.topicview import Payload

T0 = 1_790_000_000.0


class FakeTasks:
    """The tasks, and what the view asks of them."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rows = {}
        self.events = {}
        self.changes = 0
        self.asked = []  # what the view asked for, in order

    def add(self, task, agent="weather", state="WORKING", text="", question="", choices=()):
        with self.lock:
            created = T0 + len(self.rows)
            self.rows[task] = TaskRow(
                id=task,
                context_id=f"c-{task}",
                agent=agent,
                state=state,
                text=text,
                question=question,
                choices=choices,
                created=created,
                updated=created,
            )
            self.events[task] = []
            self._event(task, "task", state, "")

    def change(self, task, kind="status", event_state="", event_text="", **fields):
        with self.lock:
            self.rows[task] = self.rows[task].model_copy(update=fields)
            self._event(task, kind, event_state or fields.get("state", ""), event_text or fields.get("text", ""))

    def _event(self, task, kind, state, text):
        events = self.events[task]
        number = len(events) + 1
        events.append(EventRow(offset=number, generation=number, kind=kind, state=state, text=text, time=T0 + number))
        self.rows[task] = self.rows[task].model_copy(update={"events": number, "updated": T0 + number})
        self.changes += 1

    # The TaskSource's part.

    def version(self):
        return self.changes

    def tasks(self, *, selected, agent, state, limit):
        with self.lock:
            found = [row for row in self.rows.values() if agent in {None, row.agent} and state in {None, row.state}]
            found.sort(key=lambda row: row.created, reverse=True)
            detail = None
            if selected in self.rows:
                events = self.events[selected]
                detail = TaskDetail(
                    row=self.rows[selected], events=tuple(events[-200:]), skipped=max(0, len(events) - 200)
                )
            return TasksSnapshot(
                seq=self.changes, lab="http://127.0.0.1:1", total=len(found), rows=tuple(found[:limit]), selected=detail
            )

    def cancel(self, task_id):
        self.asked.append(("cancel", task_id))
        if task_id not in self.rows:
            raise TaskNotFound(f"no task '{task_id}'", "see %task ls")
        self.change(task_id, state="CANCELED")

    def say(self, agent, text, context_id):
        self.asked.append(("say", agent, text, context_id))
        future = Future()
        future.set_result(None)
        return future

    def lanes(self, task_id, selected):
        raise TaskNotFound(f"no task '{task_id}'", "see %task ls")  # it has no steps

    def rerun(self, step, output):
        self.asked.append(("rerun", step, output))
        future = Future()
        future.set_result(None)
        return future

    def message(self, task_id, offset):
        self.asked.append(("message", task_id, offset))
        return Payload(topic="sessions/c", created=T0, offset=offset, kind="json", text='{\n  "task": {}\n}', size=11)

    def answer(self, task_id, text):
        self.asked.append(("answer", task_id, text))
        self.change(task_id, state="WORKING", question="", event_text=text)


class FakeLab(FakeTasks):
    """With a service thread."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="fake service", daemon=True)
        self.thread.start()

    def soon(self, function):
        if not self.thread.is_alive():
            raise NotStarted("the fake lab is not running", "start it")
        self.loop.call_soon_threadsafe(function)

    def every(self, seconds, function):
        stopped = threading.Event()

        def again():
            if not stopped.is_set():
                function()
                self.loop.call_later(seconds, again)

        self.soon(again)
        return stopped.set

    def work(self, task, words="Sunny in 北京 "):
        """Lets a task say one more word, twenty times a second, for as long as it works."""
        numbers = itertools.count(1)

        def more():
            if self.rows[task].state == "WORKING":
                number = next(numbers)
                self.change(task, "artifact", text=f"{words}{number}", event_text=f"{words}{number} ")

        return self.every(0.05, more)

    def stop(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            with contextlib.suppress(RuntimeError):
                self.loop.close()
