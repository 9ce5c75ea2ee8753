"""What the doors let in: hosts, pages, tokens, types, sizes and depths, on the wire and as pure functions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.a2a.security import json_depth_exceeds
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
