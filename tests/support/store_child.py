"""Another process that uses a store: to be killed, to hold the lock, or to lack rights.

`Process` starts this file once; it imports what is needed and forks for each job, so that a job begins in milliseconds.
A job is a JSON line on standard input; it answers in lines on standard output, the first with its process id, and when
it has ended the last says how.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle  # noqa: F401 -- rocksdict wants it when a store is opened, and who has no rights can't read it then
import random  # noqa: TID251 -- seeded by the job
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import LabError, LeaseLost
from nbagora_lab.core.events import encode

__all__ = ["Process"]

NOBODY = 65534


class Process:
    """The parent's end: one job at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = 0

    def start(self, do: str, **options: Any) -> None:
        """Begins a job; returns once its process runs."""
        self.tell(json.dumps({"do": do, **options}))
        self.pid = int(self.line())

    def tell(self, line: str = "") -> None:
        """Writes a line to whoever listens: the file itself, or the job."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def line(self) -> str:
        """The job's next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def lines(self) -> Iterator[str]:
        """The job's lines until it has ended."""
        while not (line := self.line()).startswith("ended"):
            assert line, "the process is gone"
            yield line

    def run(self, do: str, **options: Any) -> list[str]:
        """All lines of a job."""
        self.start(do, **options)
        return list(self.lines())

    def kill(self) -> list[str]:
        """Kills the job and gives the lines that it still wrote."""
        os.kill(self.pid, signal.SIGKILL)
        return list(self.lines())

    def close(self) -> None:
        """Ends the process."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(20)


def say(*words: object) -> None:
    write([" ".join(map(str, words))])


def write(lines: Iterable[str]) -> None:
    """Writes lines at once: a kill leaves all of them or none, which a pipe promises of so few bytes."""
    told = "".join(f"{line}\n" for line in lines).encode()
    assert len(told) <= select.PIPE_BUF, "a kill could cut it"
    os.write(1, told)


def opened(job: dict[str, Any]) -> EmbeddedLog:
    return EmbeddedLog(Path(job["store"]), clock=SystemClock(), durability=job.get("durability", "os"))


def append(job: dict[str, Any]) -> None:
    """Appends from several threads for ever: a record each to two topics at once, and a batch to one that all share.

    Says ``topic offset body`` for each record once it is acknowledged.
    """
    log = opened(job)
    log.create_topic("chat", TopicSpec())

    def work(number: int) -> None:
        count = 0
        while True:
            body = f"{log.epoch}.{number}.{count}"
            topics = [f"chat/left-{number}", f"chat/right-{number}", *["chat/shared"] * (count % 3)]
            if count % 10 == 0:
                topics.append(f"chat/only-{body}")
            stored = encode("test", body.encode() + b" " * job["size"])
            placed = zip(topics, log.append([(topic, stored) for topic in topics]), strict=True)
            write(f"{topic} {offset} {body}" for topic, offset in placed)
            count += 1

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(job["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def consume(job: dict[str, Any]) -> None:
    """Publishes to a few topics and reads them in a group, from two threads each, for ever.

    Says ``sent topic offset body`` once a record is acknowledged; ``got topic offset attempt`` before it acks, and
    ``acked topic offset`` once it has; ``failed topic offset`` before it gives one back.
    """
    log = opened(job)
    groups = EmbeddedGroups(log)
    log.create_topic("chat", TopicSpec(type=job["type"]))
    groups.create_group("workers", GroupSpec(topic="chat", max_attempts=10**6, backoff=(0,), lease=0.05))
    chance = random.Random(job["seed"])

    def publish(number: int) -> None:
        for count in itertools.count():
            body = f"{log.epoch}.{number}.{count}"
            topics = [f"chat/{number}-{lite}" for lite in chance.sample(range(job["topics"]), 2)]
            offsets = log.append([(topic, encode("test", body.encode())) for topic in topics])
            write(f"sent {topic} {at} {body}" for topic, at in zip(topics, offsets, strict=True))
            if count % 50 == 49:
                time.sleep(0.002)

    def read(client: str) -> None:
        groups.subscribe("workers", client, "*", durable=True)
        while True:
            batch = groups.receive("workers", client, limit=chance.choice([1, 3, 20]))
            write(f"got {one.topic} {one.offset} {one.attempt}" for one in batch)
            some = [one for one in batch if chance.random() < 0.9]
            rest = [one for one in batch if one not in some]
            try:
                if chance.random() < 0.5:
                    groups.ack("workers", [one.handle for one in some])
                    write(f"acked {one.topic} {one.offset}" for one in some)
                else:
                    for one in some:
                        groups.ack("workers", [one.handle])
                        say("acked", one.topic, one.offset)
                if rest and chance.random() < 0.7:
                    groups.fail("workers", [one.handle for one in rest])
            except LeaseLost as lost:
                for handle in lost.handles:
                    say("lost", handle.topic, handle.offset)

    threads = [threading.Thread(target=publish, args=(number,), daemon=True) for number in range(2)]
    threads += [threading.Thread(target=read, args=(f"reader-{number}",), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fork(job: dict[str, Any]) -> None:
    """Forks a topic of many records again and again; says ``name at`` before and ``forked`` after each."""
    log = opened(job)
    log.create_topic("chat", TopicSpec())
    log.append([("chat/source", encode("test", str(n).encode())) for n in range(job["records"])])
    following = log.info("chat/source").next
    for number in range(10**6):
        at = following - 1 - number % 7
        say(f"chat/{log.epoch}-{number}", at)
        log.fork("chat/source", f"chat/{log.epoch}-{number}", at=at)
        say("forked")


def hold(job: dict[str, Any]) -> None:
    """Holds the store until it is told a line."""
    log = opened(job)
    say("held")
    sys.stdin.readline()
    log.close()


def look(job: dict[str, Any]) -> None:
    """Opens the store, as somebody without rights if so wanted, and says how that went."""
    if job.get("nobody"):
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        log = opened(job)
    except LabError as error:
        say(type(error).__name__)
        say(*error._render_traceback_()[0].splitlines())
        say(*error._render_traceback_()[1].splitlines())
        return
    say("opened")
    log.close()


def main() -> None:
    while line := sys.stdin.readline():
        job = json.loads(line)
        if (pid := os.fork()) == 0:
            say(os.getpid())
            try:
                globals()[job["do"]](job)
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        say("ended", status)


if __name__ == "__main__":
    main()
