"""What the doors let in: hosts, pages, tokens, types, sizes and depths, on the wire and as pure functions."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from nbagora_lab.a2a.security import Guard, json_depth_exceeds
from nbagora_lab.core.errors import TooLarge
from nbagora_lab.lab import Lab
from raw_http import RawExchange, get, post

CARD = "/agents/echo/.well-known/agent-card.json"
LIST = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}


@pytest.fixture
def ask(port):
    """``ask(request)`` is the whole exchange."""

    def ask(request):
        with RawExchange(port, request) as exchange:
            return exchange.read()

    return ask


# -- who calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:80", "[::1]", "[::1]:8080"])
def test_loopback_by_any_name_is_answered(ask, lab, host):
    assert ask(get(CARD, lab.token, Host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0", "[::1",
     "[", "]", "127.0.0.1:x", "evil.example@", "[::2]", "128.0.0.1", "\xe9", "a b"],
)  # fmt: skip
def test_a_foreign_host_is_refused(ask, lab, host):
    answer = ask(get(CARD, lab.token, Host=host))
    assert answer.status in {403, 400}
    assert b"echo" not in answer.body


def test_a_second_host_header_does_not_help(ask, lab):
    twice = get(CARD, lab.token, Host="evil.example").replace(b"A2A-Version", b"Host: 127.0.0.1\r\nA2A-Version")
    assert ask(twice).status in {403, 400}


@pytest.mark.parametrize(
    "origin",
    ["null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1", "http://localhost", "file://", "", "x",
     "http://127.0.0.1.evil.example"],
)  # fmt: skip
def test_a_page_of_another_origin_is_refused(ask, lab, port, origin):
    for request in (
        get(CARD, lab.token, Host=f"127.0.0.1:{port}", Origin=origin),
        post("/agents/echo", LIST, lab.token, Host=f"127.0.0.1:{port}", Origin=origin),
    ):
        answer = ask(request)
        assert (answer.status, answer.json()["title"]) == (403, "Origin not allowed")


def test_a_page_of_its_own_origin_is_answered(ask, lab, port):
    own = {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}", "Sec_Fetch_Site": "same-origin"}
    assert ask(get(CARD, lab.token, **own)).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "other"])
def test_what_a_browser_loads_for_another_site_is_refused(ask, lab, site):
    """A script element, an image or a link of a foreign page has no Origin, but tells where it comes from."""
    assert ask(get(CARD, lab.token, Sec_Fetch_Site=site)).status == 403
    assert ask(get(CARD, lab.token, Sec_Fetch_Site="none")).status == 200


def test_a_preflight_is_refused(ask, lab):
    request = get(CARD, "", Origin="http://evil.example", Access_Control_Request_Method="POST")
    answer = ask(request.replace(b"GET", b"OPTIONS", 1))
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


def test_a_browser_lets_pages_of_allowed_origins_call_and_read(tmp_path):
    page = "https://page.example"
    with Lab(store=tmp_path, allowed_origins=page) as lab:
        port = int(lab.url.rpartition(":")[2])

        def answer(method, origin, token="", **headers):
            request = get("/nothing", token, Origin=origin, **headers).replace(b"GET", method, 1)
            with RawExchange(port, request) as exchange:
                return exchange.read()

        asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "a2a-version,authorization"}
        told = answer(b"OPTIONS", page, **asks)
        assert (told.status, told.headers["access-control-allow-origin"], told.headers["vary"]) == (204, page, "Origin")
        assert told.headers["access-control-allow-headers"] == "a2a-version,authorization"
        assert "POST" in told.headers["access-control-allow-methods"]
        assert "access-control-allow-private-network" not in told.headers
        told = answer(b"OPTIONS", page, **asks, Access_Control_Request_Private_Network="true")
        assert told.headers["access-control-allow-private-network"] == "true"
        for status, token in ((404, lab.token), (401, "")):  # it may read why it is refused, too
            told = answer(b"GET", page, token)
            assert (told.status, told.headers["access-control-allow-origin"]) == (status, page)
            assert "access-control-allow-credentials" not in told.headers
        assert answer(b"OPTIONS", page).status == 401  # which asks for nothing
        for origin, status in (("https://other.example", 403), (f"http://127.0.0.1:{port}", 401)):
            told = answer(b"OPTIONS", origin, Host=f"127.0.0.1:{port}", **asks)
            assert told.status == status
            assert "access-control-allow-origin" not in told.headers


def test_allowed_hosts_and_origins_are_answered(tmp_path):
    with Lab(store=tmp_path, allowed_hosts="lab.example", allowed_origins="https://page.example") as lab:
        port = int(lab.url.rpartition(":")[2])
        for headers, status in (
            ({"Host": "lab.example:99"}, 404),
            ({"Host": "other.example"}, 403),
            ({"Origin": "https://page.example", "Sec_Fetch_Site": "cross-site"}, 404),
            ({"Origin": "https://page.example.evil"}, 403),
        ):
            with RawExchange(port, get("/nothing", lab.token, **headers)) as exchange:
                assert exchange.read().status == status


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic TOKEN", "TOKEN", "Bearer TOKENx", "Bearer xTOKEN",
     "Bearer TOKEN TOKEN", "Bearer \xff\xfe"],
)  # fmt: skip
def test_a_wrong_or_missing_token_opens_nothing(ask, lab, authorization):
    given = None if authorization is None else authorization.replace("TOKEN", lab.token)
    for request in (
        get(CARD, Authorization=given),
        get("/nothing", Authorization=given),
        post("/agents/echo", LIST, Authorization=given),
    ):
        answer = ask(request)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="nbagora"')
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_schemes_name_may_be_written_as_one_likes(ask, lab):
    assert ask(get(CARD, Authorization=f"bEARER  {lab.token} ")).status == 200


def test_health_needs_no_token(ask):
    assert ask(get("/healthz")).json() == {"status": "ok"}


# -- what they send ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"]
)
def test_a_body_that_is_not_called_json_is_refused(ask, lab, kind):
    rpc = ask(post("/agents/echo", LIST, lab.token, Content_Type=kind))
    assert (rpc.status, rpc.json()["error"]["code"]) == (200, -32005)
    rest = ask(post("/agents/echo/message:send", {}, lab.token, Content_Type=kind))
    assert (rest.status, rest.json()["status"]) == (415, 415)


@pytest.mark.parametrize("kind", ["application/json", "application/JSON; charset=utf-8", "application/a2a+json"])
def test_a_body_that_is_called_json_is_read(ask, lab, kind):
    assert "result" in ask(post("/agents/echo", LIST, lab.token, Content_Type=kind)).json()


BODIES = [
    b"", b"{", b"nothing", b"\xff\xfe",
    b'{"a": "\xe9"}', b"\x00", b'{"jsonrpc": "2.0"\x00}', b"'", b"]", b"}{", b'{"a":}',
    json.dumps(LIST).encode("utf-16"), json.dumps(LIST).encode("utf-16-le"), json.dumps(LIST).encode("utf-32-be"),
    b"9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_that_is_not_json(ask, lab, body):
    rpc = ask(post("/agents/echo", body, lab.token))
    assert (rpc.status, rpc.json()["error"]["code"]) == (200, -32700)
    rest = ask(post("/agents/echo/message:send", body, lab.token))
    assert (rest.status, rest.headers["content-type"].endswith("json")) == (400, True)


DEEP = 100_000
TOO_DEEP = [
    b"[" * DEEP,
    b"[" * DEEP + b"]" * DEEP,
    b'{"a":' * DEEP,
    b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    b'[{"a":' * DEEP,
    b'{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":' + b"[" * DEEP + b"]" * DEEP + b"}",
    b'["\\"", ' + b"[" * DEEP,
]


@pytest.mark.parametrize("body", TOO_DEEP, ids=range(len(TOO_DEEP)))
def test_a_body_nested_too_deep(ask, lab, body):
    rpc = ask(post("/agents/echo", body, lab.token))
    assert (rpc.status, rpc.json()["error"]["code"]) == (200, -32700)
    assert ask(post("/agents/echo/message:send", body, lab.token)).status == 400
    assert ask(post("/agents/echo", LIST, lab.token)).status == 200


def test_depth_hidden_behind_another_encoding(ask, lab):
    """In UTF-16 the letter ∀ has the byte of a quotation mark, behind which brackets would look like text."""
    body = ('["∀",' + "[" * DEEP + ',"∀"').encode("utf-16-le")
    assert ask(post("/agents/echo", body, lab.token)).json()["error"]["code"] == -32700


def test_brackets_in_strings_are_no_depth(ask, lab):
    text = '[{"' * DEEP + '\\"'
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]}
    answer = ask(post("/agents/echo/message:send", {"message": message}, lab.token))
    assert answer.json()["task"]["artifacts"][0]["parts"][0]["text"] == text


@pytest.mark.parametrize("path", ["/agents/echo", "/agents/echo/message:send"])
def test_a_body_too_large(tmp_path, path):
    with Lab(store=tmp_path, body_limit=4096) as lab:
        lab.define("echo", lambda message: message.text)
        port = int(lab.url.rpartition(":")[2])
        chunk = b"%x\r\n" % 1000 + b" " * 1000 + b"\r\n"
        for request in (
            post(path, b" " * 4097, lab.token),
            post(path, b"", lab.token, Content_Length="99999999999"),
            post(path, chunk * 5 + b"0\r\n\r\n", lab.token, Transfer_Encoding="chunked"),
            post(path, chunk * 5, lab.token, Transfer_Encoding="chunked"),
        ):
            with RawExchange(port, request) as exchange:
                assert exchange.read().status == 413, exchange.raw
        for request in (
            post(path, b" " * 4096, lab.token),
            post(path, chunk * 4 + b"0\r\n\r\n", lab.token, Transfer_Encoding="chunked"),
        ):
            with RawExchange(port, request) as exchange:
                assert exchange.read().status in {200, 400}


@pytest.mark.parametrize(
    "request_line", [b"OPTIONS * HTTP/1.1", b"GET * HTTP/1.1", b"GET // HTTP/1.1", b"GET /%00 HTTP/1.1",
                     b"GET /agents HTTP/1.1", b"GET /agents/ HTTP/1.1", b"GET /agents/%2e%2e/ HTTP/1.1",
                     b"GET /agents/%ff%fe HTTP/1.1", b"GET http://127.0.0.1/agents/echo/x HTTP/1.1",
                     b"BREW /agents/echo HTTP/1.1"]
)  # fmt: skip
def test_odd_targets_are_not_found(ask, lab, request_line):
    request = get("/x", lab.token).replace(b"GET /x HTTP/1.1", request_line)
    assert ask(request).status in {400, 404, 405}


# -- the guard by itself -----------------------------------------------------------------------------------------------


class Guarded:
    """A guard, and behind it a door that notes the bodies that get there."""

    def __init__(self, **options):
        self.came = []
        self.guard = Guard(self._door, **({"token": "t", "body_limit": 1000, "depth_limit": 8} | options))

    async def _door(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.came.append(body)
        await PlainTextResponse("in")(scope, receive, send)

    def __call__(self, *chunks, path="/agents/echo", method="POST", cut=False, **headers):
        """The status, and the JSON of a refusal, for a body that comes in chunks, and is cut after them."""
        given = {"host": "127.0.0.1", "authorization": "Bearer t", "content-type": "application/json"}
        given |= {"content-length": str(sum(map(len, chunks)))} if chunks and "transfer_encoding" not in headers else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in given.items() if value is not None],
        }  # fmt: skip
        whole = len(chunks) - 1 + cut
        coming = [
            {"type": "http.request", "body": one, "more_body": n < whole} for n, one in enumerate(chunks or [b""])
        ]
        told = []

        async def receive():
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def send(message):
            told.append(message)

        asyncio.run(self.guard(scope, receive, send))
        body = b"".join(message.get("body", b"") for message in told[1:])
        return told[0]["status"], json.loads(body) if body.startswith(b"{") else {}


def test_a_body_that_is_cut_is_never_taken_for_whole():
    door = Guarded()
    assert door(b'{"jsonrpc"', b": 1}", cut=True)[0] == 400
    assert door.came == []
    assert door(b'{"jsonrpc"', b": 1}") == (200, {})
    assert door.came == [b'{"jsonrpc": 1}']


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_every_method_that_has_a_body_has_it_looked_at(method):
    door = Guarded()
    assert door(b"{}", method=method, path="/broker/groups/g", content_type="text/plain")[0] == 415
    assert door(b"[" * 9, method=method, path="/broker/groups/g")[0] == 400
    assert door.came == []


def test_depth_and_size_are_allowed_up_to_their_limits():
    door = Guarded()
    for body in (b"[" * 8 + b"]" * 8, b" " * 998 + b"{}"):
        assert door(body)[0] == 200
    assert door(b"[" * 9 + b"]" * 9)[1]["error"]["code"] == -32700
    assert door(b" " * 999, b"{}")[0] == 413


def test_a_body_that_announces_its_size_is_refused_unread():
    door = Guarded()
    assert door(cut=True, content_length="1001")[0] == 413
    assert door.came == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/", 200, -32005),
        ("/agents/echo", 200, -32005),
        ("/agents/echo/message:send", 415, None),
        ("/broker/topics", 415, None),
        ("/tickets", 415, None),
    ],
)
def test_a_refusal_is_in_the_words_of_the_door(path, status, code):
    answered, told = Guarded()(b"{}", path=path, content_type="text/plain")
    assert (answered, told.get("error", {}).get("code")) == (status, code)
    assert answered == 200 or told["title"] == "Content type not supported"


def test_no_body_needs_no_type_but_at_a_door_for_json_rpc():
    """A cancellation has none; what is announced as chunks is a body, however few come."""
    door = Guarded()
    bare = {"path": "/agents/echo/tasks/1:cancel", "content_type": None}
    assert door(**bare) == (200, {})
    assert door(content_length="0", **bare) == (200, {})
    assert door(b"{}", transfer_encoding="chunked", **bare)[0] == 415
    assert door(content_type=None)[1]["error"]["code"] == -32005


def test_a_body_that_is_stored_is_counted_on_its_way():
    door = Guarded()
    door.guard.takes = lambda path: 10 if path == "/blobs" else 0
    stored = {"path": "/blobs", "content_type": "application/octet-stream"}
    assert door(b"12345", b"67890", **stored)[0] == 200
    assert door(b"12345", content_length="11", **stored)[0] == 413
    with pytest.raises(TooLarge):
        door(b"12345", b"678901", transfer_encoding="chunked", **stored)
    assert door.came == [b"1234567890"]
    assert door(b"[" * 9, path="/blobs", content_type="application/ld+json")[0] == 400
    assert door(b"{}", path="/blobs", content_type="application/ld+json")[0] == 200


@pytest.mark.parametrize("kind", [None, "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
def test_what_a_browser_may_send_unasked_is_stored_only_with_a_token(kind):
    for token, status in (("t", 200), ("", 415)):
        door = Guarded(token=token)
        door.guard.takes = lambda _: 10
        assert door(b"12345", path="/blobs", content_type=kind)[0] == status


def test_without_a_token_of_the_labs_an_agent_asks_all_the_same_for_what_its_card_declares():
    class Asks:
        def is_public(self, scope):
            return False

        async def caller(self, scope, headers):
            return ("Bearer", None) if scope["path"].startswith("/agents/asks") else ("", None)

    door = Guarded(token="")
    door.guard.identity = Asks()
    assert door(b"{}", path="/agents/asks", authorization=None)[0] == 401
    assert door(b"{}", path="/agents/asks", authorization="Bearer x")[0] == 401
    assert door(b"{}", path="/agents/echo", authorization=None)[0] == 200


def test_health_alone_needs_no_token():
    door = Guarded()
    assert door(method="GET", path="/healthz", authorization=None)[0] == 200
    assert door(method="GET", path="/healthz/x", authorization=None)[0] == 401


# -- the depth of JSON text --------------------------------------------------------------------------------------------


def depth(value):
    """The reference: by recursion."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


texts = st.text(st.sampled_from('[]{}",:\\é∀a')) | st.text()
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=25,
)


@given(values, st.integers(0, 6), st.booleans(), st.sampled_from([None, 1]))
def test_depth_is_that_of_the_value(value, limit, ascii_only, indent):
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    assert json_depth_exceeds(body, limit) == (depth(value) > limit)


@given(st.binary(max_size=60), st.integers(0, 4))
def test_depth_of_what_is_no_json_is_never_less_than_its_parsers(body, limit):
    """What Python's parser can open, it can't open deeper than the answer says."""
    try:
        value = json.loads(body)
    except ValueError:
        return
    if not body.startswith(b"\xef") and b"\x00" not in body:
        assert json_depth_exceeds(body, limit) == (depth(value) > limit)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "tail", [b'"' + b'\\"' * 1_500_000, b'"\\' * 1_500_000, b'"' * 3_000_001, b'"' + b"\\" * 3_000_001]
)
def test_an_unclosed_string_costs_no_more_than_its_length(tail):
    assert json_depth_exceeds(b"[" * 50 + tail, 10)
