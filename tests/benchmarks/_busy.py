"""Keeps a number of streams busy until its input ends; says how many events it got. One process, so that it takes
nothing from whoever measures beside it but its share of the processor."""

from __future__ import annotations

import json
import selectors
import socket
import sys
import threading
import time

from _sse import Stream


def main(url: str, token: str, streams: int, chunks: int) -> None:
    """Begins `streams` streams of `chunks` chunks, and each anew when it has ended."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    events, began = 0, time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for _ in range(streams):
            stream = Stream(url, token, str(chunks))
            selector.register(stream.begin(), selectors.EVENT_READ, stream)
        told = False
        while not ended.is_set():
            for key, _ in selector.select(timeout=0.1):
                assert isinstance(key.fileobj, socket.socket)
                piece = key.fileobj.recv(1 << 18)
                events += piece.count(b"artifactUpdate")
                if not piece or key.data.take(piece):
                    assert key.data.ended, "the stream ended before the task did"
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    stream = Stream(url, token, str(chunks))
                    selector.register(stream.begin(), selectors.EVENT_READ, stream)
            if not told and events:
                told, events, began = True, 0, time.perf_counter()
                print(json.dumps({"busy": streams}), flush=True)
        print(json.dumps({"events": events, "seconds": time.perf_counter() - began}), flush=True)
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
