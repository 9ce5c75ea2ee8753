"""A caller that is waited for, and one that hangs up: at any moment the call ends, and nothing else."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import Response

from nbagora_lab.a2a.doorway import while_connected


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("nbagora_lab.a2a.doorway._PATIENCE", 0.0)


class Caller:
    """Who sent an empty body and hangs up when told to."""

    def __init__(self):
        self.leaves = asyncio.get_running_loop().create_future()
        self.listened = asyncio.Event()
        self._told = False

    async def __call__(self):
        if not self._told:
            self._told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        self.listened.set()
        return await self.leaves

    def leave(self):
        self.leaves.set_result({"type": "http.disconnect"})


class Call:
    """A call that is answered when told to."""

    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()
        self.cancelled = False

    async def __call__(self):
        try:
            return Response(await self.answer)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def connected(caller, call):
    """What a door does, and some steps of the same task after it."""
    response = await while_connected(Request({"type": "http", "headers": []}, caller), call())
    for _ in range(5):
        await asyncio.sleep(0)
    return response


async def begun():
    caller, call = Caller(), Call()
    task = asyncio.ensure_future(connected(caller, call))
    await caller.listened.wait()
    return caller, call, task


async def ended(steps):
    caller, call, task = await begun()
    for step in steps:
        step(caller, call)
    return await task, call.cancelled


def leaves(caller, _call):
    caller.leave()


def answered(_caller, call):
    call.answer.set_result(b"x")


@pytest.mark.parametrize("steps", [[answered], [answered, leaves]])
def test_an_answer_goes_out_though_the_caller_leaves_in_the_same_moment(steps):
    response, cancelled = asyncio.run(ended(steps))
    assert (response.body, cancelled) == (b"x", False)


@pytest.mark.parametrize("steps", [[leaves], [leaves, answered]])
def test_a_caller_that_left_ends_its_call_and_no_more(steps):
    response, _ = asyncio.run(ended(steps))
    assert response.status_code in {200, 204}


def test_the_call_of_one_who_left_is_cancelled():
    response, cancelled = asyncio.run(ended([leaves]))
    assert (response.status_code, response.body, cancelled) == (204, b"", True)


def test_a_door_that_closes_cancels_its_calls():
    async def closed():
        caller, call, task = await begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return call.cancelled, caller.leaves.cancelled()

    assert asyncio.run(closed()) == (True, True)
