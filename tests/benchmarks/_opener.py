"""Opens a store of sessions in a process of its own: says how long that took and what it costs, then does as told.

Arguments: the store's folder; then ``cold SESSIONS RECORDS`` to read every session once, or ``write SESSIONS RECORDS``
to append to that many more and wait to be killed.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from _sessions import Broker, records


def _cost() -> dict[str, int]:
    gc.collect()
    return {
        "rss": psutil.Process().memory_info().rss,
        "tracked": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
    }


def _say(**said: Any) -> None:
    print(json.dumps(said), flush=True)


def main(folder: Path, what: str, sessions: int, count: int) -> None:
    """See above."""
    began = time.perf_counter()
    broker = Broker(folder)
    seconds = time.perf_counter() - began
    if what == "write":
        for session in range(10**7, 10**7 + sessions):
            for number, record in enumerate(records(session, count)):
                broker.append(session, number, record)
        _say(written=sessions * count)
        sys.stdin.read()  # killed here
        return
    broker.log.scan("sessions/none")  # what the first read of any topic sets up
    _say(seconds=seconds, **_cost())
    sys.stdin.read()
    for session in range(sessions):
        assert len(broker.read(session)) == count
    _say(**_cost())
    broker.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
