"""A lab that calls another's agents, each of which asks for something else of its callers: what is shown is what the
card asks for, it is shown to nobody else, and it stands in no record."""

import asyncio
from contextlib import contextmanager

import pytest

from nbagora_lab.a2a.cardauth import CardAuth, in_words, wanted
from nbagora_lab.a2a.issuer import LocalIssuer
from nbagora_lab.a2a.keyring import parse_credentials
from nbagora_lab.async_lab import AsyncLab
from nbagora_lab.core.errors import LabError, Unauthorized, UsageError
from nbagora_lab.lab import Lab
from stock_agent import StockAgent

SECRET = "geheim-geheim"


class Counted(LocalIssuer):
    """Counts what it is asked for."""

    def __init__(self, *args):
        super().__init__(*args)
        self.asked = []

    def post(self, path, form, authorization):
        self.asked.append(form)
        return super().post(path, form, authorization)


@pytest.fixture(scope="module")
def issuer():
    issuer = Counted({"bob": f"{SECRET}%+ü", "eve": SECRET}, {"bob": ["read", "write"], "eve": ["read"]})
    with issuer.serve():
        yield issuer


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, issuer):
    """The lab whose agents are called."""
    with Lab(store=tmp_path_factory.mktemp("theirs")) as lab:

        def echo(message):
            return message.text

        async def asks(message, task):
            return (await task.ask("?")).text

        async def waits(message, task):
            yield task.status("waiting")
            await asyncio.Event().wait()

        for name, auth in {
            "bearer": ["bearer"],
            "basic": ["basic"],
            "header": ["apikey header X-API-Key"],
            "query": ["apikey query key"],
            "cookie": ["apikey cookie sid"],
            "oauth2": [f"oauth2 {issuer.url} read"],
            "oidc": [f"oidc {issuer.url} read"],
            "either": ["basic", "apikey header X-API-Key"],
        }.items():
            lab.define(name, echo, auth=auth)
        lab.define("asks", asks, auth=["apikey query key"])
        lab.define("waits", waits, auth=["apikey header X-API-Key"])
        lab.define("open", echo)
        lab.define(
            "skilled",
            echo,
            auth=[f"oauth2 {issuer.url} read"],
            skills=["look: looks", "change: changes"],
            scopes=["change: write"],
        )
        yield lab


@pytest.fixture(scope="module")
def given(theirs):
    """Credentials by kind; all have the same letters in them, by which they can be looked for."""
    vault = theirs.credentials._vault
    found = {"basic": f"basic bob:{theirs.credentials.grant('bob', 'basic', password=SECRET)}"}
    for kind in ("bearer", "apikey"):
        secret = theirs.credentials.grant("bob", kind)
        found[kind] = f"{kind} {secret}"
    assert vault is not None
    return found | {"oauth2": f"oauth2 bob:{SECRET}%+ü"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The lab that calls."""
    with Lab(store=tmp_path_factory.mktemp("ours")) as lab:
        yield lab


def at(theirs, agent):
    return f"{theirs.url}/agents/{agent}"


WANT = {
    "bearer": "bearer",
    "basic": "basic",
    "header": "apikey",
    "query": "apikey",
    "cookie": "apikey",
    "oauth2": "oauth2",
    "oidc": "oauth2",
    "either": "apikey",
}


@pytest.mark.parametrize("agent", WANT)
def test_what_the_card_asks_for_is_shown(lab, theirs, given, agent):
    task = lab.ask(at(theirs, agent), "你好", credentials=given[WANT[agent]])
    assert task.text == "你好"
    owner = theirs.tasks(agent=agent)[0].topic.removeprefix("sessions/")
    assert owner.startswith("bob"), owner


def test_of_several_the_card_chooses(lab, theirs, given):
    for agent in WANT:
        assert lab.ask(at(theirs, agent), "x", credentials=list(given.values())).text == "x"


@pytest.mark.parametrize(
    ("agent", "credentials", "named"),
    [
        ("header", "bearer {x}", "an API key in the header X-API-Key ('apikey KEY'); given is 'bearer'"),
        ("cookie", "basic a:{x}", "an API key in the cookie sid ('apikey KEY'); given is 'basic'"),
        ("basic", "apikey {x}", "HTTP basic ('basic USER:PASSWORD'); given is 'apikey'"),
        ("bearer", "basic a:{x}", "HTTP bearer ('bearer TOKEN'); given is 'basic'"),
        ("oauth2", "apikey {x}", "/token with read ('oauth2 CLIENT:SECRET'); given is 'apikey'"),
        ("oidc", "basic a:{x}", "a token by OpenID Connect from "),
        ("either", "bearer {x}", "HTTP basic ('basic USER:PASSWORD'), or an API key in the header X-API-Key"),
        ("either", "", "HTTP basic ('basic USER:PASSWORD'), or an API key in the header X-API-Key"),
        (
            "header",
            "apikey {x}",
            "refused what was shown: an API key in the header X-API-Key ('apikey KEY') (HTTP 401)",
        ),
        ("query", "apikey {x}", "refused what was shown: an API key in the query key ('apikey KEY') (HTTP 401)"),
        ("query", "", "an API key in the query key"),
        ("oauth2", "oauth2 bob:{x}", "/token gives 'bob' no token for "),
        ("oidc", "oauth2 eve:{x} http://127.0.0.1:1", "it was given for http://127.0.0.1:1 alone"),
        ("header", "apikey env:NBAGORA_NOT_SET", "no secret in the environment variable NBAGORA_NOT_SET"),
        ("header", "apikey {x}é", "letters that no header can carry"),
    ],
)
@pytest.mark.parametrize("how", ["ask", "stream", "send"])
def test_what_does_not_fit_is_told_in_two_lines_that_name_the_scheme(lab, theirs, how, agent, credentials, named):
    text = credentials.format(x="wrong-geheim")
    call = {"ask": lab.ask, "send": lab.send, "stream": lambda *args, **options: list(lab.stream(*args, **options))}[
        how
    ]
    with pytest.raises(LabError) as caught:
        call(at(theirs, agent), "x", credentials=text or None)
    assert isinstance(caught.value, Unauthorized | UsageError)
    assert named in str(caught.value)
    assert caught.value.hint
    assert len(caught.value._render_traceback_()) == 2
    assert "geheim" not in str(caught.value)


def test_what_a_call_was_given_goes_for_all_that_its_task_needs(lab, theirs, given):
    asked = lab.ask(at(theirs, "asks"), "x", credentials=given["apikey"])
    assert asked.state == "INPUT_REQUIRED"
    assert lab.answer(asked, "Friday").text == "Friday"
    waiting = lab.send(at(theirs, "waits"), "x", credentials=given["apikey"])
    assert lab.cancel(waiting).state == "CANCELED"
    with pytest.raises(Unauthorized):
        lab.ask(at(theirs, "asks"), "x")  # another call was given nothing


def test_what_is_kept_goes_for_every_call_of_the_lab_also_when_it_starts_again(tmp_path, theirs, given):
    with Lab(store=tmp_path) as lab:
        lab.keyring.keep(at(theirs, "oauth2"), given["oauth2"])
        lab.keyring.keep(theirs.url, given["apikey"])

        @lab.agent
        async def go_between(message, task):
            return (await task.call(at(theirs, "header"), message)).text

        assert lab.ask("go-between", "x").text == "x"
        assert lab.ask(at(theirs, "oauth2"), "x").text == "x"
    with Lab(store=tmp_path) as lab:
        assert lab.ask(at(theirs, "query"), "y").text == "y"
        assert lab.ask(at(theirs, "oauth2"), "y").text == "y"
        lab.keyring.forget(at(theirs, "oauth2"))
        with pytest.raises(Unauthorized, match="OAuth 2"):
            lab.ask(at(theirs, "oauth2"), "y")


def test_the_labs_own_agents_can_be_called_as_somebody_else(theirs):
    key = theirs.credentials.grant("mary", "apikey")
    task = theirs.ask("asks", "x", credentials=f"apikey {key}")
    assert task.topic.startswith("sessions/mary")
    assert theirs.answer(task, "noon").text == "noon"
    assert theirs.ask("asks", "x").topic.startswith("sessions/ctx-")


def test_async_and_sync_do_the_same(tmp_path, theirs, given):
    async def use():
        async with AsyncLab(store=tmp_path) as lab:
            task = await lab.ask(at(theirs, "cookie"), "x", credentials=given["apikey"])
            streamed = [one.text async for one in lab.stream(at(theirs, "oidc"), "y", credentials=given["oauth2"])]
            with pytest.raises(Unauthorized):
                await lab.ask(at(theirs, "cookie"), "x", credentials="bearer x")
            return task.text, streamed

    text, streamed = asyncio.run(use())
    assert (text, "y" in streamed) == ("x", True)


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_no_secret_stands_in_a_record_or_a_log(tmp_path, theirs, given):
    secrets = {text.split(" ", 1)[1].partition(":")[2] or text.split(" ", 1)[1] for text in given.values()}
    with Lab(store=tmp_path / "own") as lab:

        @lab.agent
        async def caller(message, task):
            return (await task.call(at(theirs, "query"), message)).text

        for agent, kind in WANT.items():
            lab.ask(at(theirs, agent), "x", credentials=given[kind])
            with pytest.raises(LabError):
                lab.ask(at(theirs, agent), "x", credentials=["apikey wrong-geheim", "oauth2 bob:wrong-geheim"])
        lab.keyring.keep(theirs.url, list(given.values()))
        lab.ask("caller", "x")
        log = lab.broker.log
        topics = [f"{parent}/{lite}" for parent in log.parents() for lite in log.lites(parent, limit=1000)]
        records = b"".join(stored for topic in topics for _, stored in log.scan(topic))
        told = "".join(line.message for line in lab.log()).encode()
    assert b"caller" in records
    for secret in [*secrets, "geheim"]:
        assert secret.encode() not in records + told
    for path in (tmp_path / "own").rglob("*"):
        if path.is_file() and path.name != "keys.json":
            content = path.read_bytes()
            assert not [secret for secret in [*secrets, "geheim"] if secret.encode() in content], path


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_a_token_is_fetched_once_for_whom_it_is_meant_and_anew_when_it_is_refused(lab, theirs, issuer, given):
    url = at(theirs, "oauth2")
    lab.service.call(lab._calls.forget, url)
    del issuer.asked[:]
    for _ in range(3):
        lab.ask(url, "x", credentials=given["oauth2"])
    assert [(one["resource"], one["scope"]) for one in issuer.asked] == [(url, "read")]
    auth = next(one for (place, shown), one in lab._calls._clients.items() if place == url and shown)._auth
    auth._token = "ey.is.old"
    assert lab.ask(url, "x", credentials=given["oauth2"]).text == "x"
    assert len(issuer.asked) == 2
    auth._until = 0.0  # it is old by the clock
    assert lab.ask(url, "x", credentials=given["oauth2"]).text == "x"
    assert len(issuer.asked) == 3


def test_scopes_are_those_of_the_card_and_its_skills_as_far_as_the_client_may(lab, theirs, issuer, given):
    url = at(theirs, "skilled")
    del issuer.asked[:]
    assert lab.ask(url, "x", credentials=given["oauth2"]).text == "x"
    assert [one["scope"] for one in issuer.asked] == ["read write"]
    with pytest.raises(LabError):  # a message that names no skill needs the scopes of all
        lab.ask(url, "x", credentials=f"oauth2 eve:{SECRET}")
    assert [one["scope"] for one in issuer.asked] == ["read write", "read write", "read"]


def settled(card, *texts):
    CardAuth("x", "https://x.example", parse_credentials(texts)).settle(card)


SCHEMES = {
    "key": {"apiKeySecurityScheme": {"location": "header", "name": "K"}},
    "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}},
    "oauth": {"oauth2SecurityScheme": {"flows": {"clientCredentials": {"tokenUrl": "http://evil.example/token"}}}},
    "device": {"oauth2SecurityScheme": {"flows": {"deviceCode": {}}}},
    "mtls": {"mtlsSecurityScheme": {}},
}


def card(*alternatives):
    """A card that wants one of these, each the names of schemes that it wants together."""
    required = [{"schemes": {name: {} for name in names.split()}} for names in alternatives]
    return {"securitySchemes": SCHEMES, "securityRequirements": required}


@pytest.mark.parametrize(
    ("card", "texts", "fits"),
    [
        ({}, ["bearer x"], True),
        (card(), [], True),  # declared, not required
        (card("key"), ["bearer x"], False),
        (card("key"), ["bearer x", "apikey k"], True),
        (card("no-such-scheme"), ["apikey x"], False),
        (card("mtls"), ["bearer x"], False),
        (card("mtls", "key"), ["apikey x"], True),
        (card("key bearer"), ["apikey x"], False),
        (card("key bearer"), ["apikey x", "bearer y"], True),
        (card("device"), ["oauth2 a:b"], False),
        (card("device"), ["bearer token"], True),
    ],
)
def test_which_alternatives_are_met(card, texts, fits):
    if fits:
        settled(card, *texts)
        return
    with pytest.raises(Unauthorized) as caught:
        settled(card, *texts)
    assert in_words(wanted(card)) in caught.value.what


def test_a_clients_secret_goes_nowhere_in_clear_and_to_no_other_issuer():
    async def fetch(text):
        auth = CardAuth("x", "https://x.example", parse_credentials(text))
        auth.settle(card("oauth"))
        await auth._fetch(*auth._shown[0])

    with pytest.raises(Unauthorized, match="not https"):
        asyncio.run(fetch("oauth2 bob:s"))
    with pytest.raises(Unauthorized, match=r"given for https://good\.example alone"):
        asyncio.run(fetch("oauth2 bob:s https://good.example"))


def test_an_agent_that_asks_for_nothing_is_shown_nothing(lab):
    with StockAgent() as peer, seen_by(lab) as requests:
        assert lab.ask(peer.url, "plain", credentials=["bearer abc", "apikey def", "basic a:b"]).text == "hello"
    assert len(requests) >= 2
    assert not [one for one in requests if one.headers.get("authorization") or one.headers.get("cookie")]


@contextmanager
def seen_by(lab):
    """The requests that the lab makes."""
    seen = []
    lab.service.call(lambda: wrap(lab._calls, seen))
    yield seen


async def wrap(calls, seen):
    calls.http()
    inner = calls._transport.handle_async_request

    async def heard(request):
        seen.append(request)
        return await inner(request)

    calls._transport.handle_async_request = heard


def test_a_card_that_wants_to_know_who_asks_is_shown_it(lab, theirs):
    """A lab's own token opens the card of an agent that declares nothing of its own."""
    url = at(theirs, "open")
    with pytest.raises(Unauthorized):
        lab.ask(url, "x")
    assert lab.ask(url, "x", credentials=f"bearer {theirs.token}").text == "x"
    with pytest.raises(Unauthorized):
        lab.ask(url, "x", credentials="bearer wrong")
