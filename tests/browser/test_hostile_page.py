"""A page of another origin on this machine, in a real Chromium, can neither run an agent nor read a card.

Each attack is one that browsers let pages make: some unasked (forms, scripts, images, no-cors requests), some after a
preflight that nobody answers. A guard that is spied on shows that they did arrive. With a token and without one: the
token alone must not be what protects.
"""

import json
import tempfile
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from nbagora_lab.a2a.security import Guard
from nbagora_lab.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

SECRET = "a description that nobody else may read"


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>hostile</title><body></body>")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def hostile():
    """The port of the hostile page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["", None], ids=["without a token", "with a token"])
def lab(request):
    with tempfile.TemporaryDirectory(prefix="nbagora-hostile-") as store, Lab(store=store, token=request.param) as lab:
        lab.calls = []
        lab.define("victim", lambda message: lab.calls.append(message.text) or "done", description=SECRET)
        lab.asked = lab.ask("victim", "its owner")
        yield lab


@pytest.fixture
def seen(monkeypatch):
    """What arrived at the guard: method, path, headers, and whether it was refused."""
    arrived = []
    by_place, by_caller = Guard._refuse_place, Guard.refuse_caller

    def noted(scope, headers, refusal):
        arrived.append((scope["method"], scope["path"], dict(headers), refusal is not None))
        return refusal

    def spied_place(self, scope, headers):
        refusal = by_place(self, scope, headers)
        return refusal and noted(scope, headers, refusal)

    async def spied_caller(self, scope, headers):
        return noted(scope, headers, await by_caller(self, scope, headers))

    monkeypatch.setattr(Guard, "_refuse_place", spied_place)
    monkeypatch.setattr(Guard, "refuse_caller", spied_caller)
    return arrived


@pytest.fixture(scope="module")
def browser(chromium):
    """A Chromium for which a name of the attacker's leads to this machine, as after a rebinding."""
    import _system

    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    browser = chromium.browser_type.launch(
        executable_path=_system.find("chromium"), args=["--no-sandbox", "--disable-gpu", rules]
    )
    yield browser
    browser.close()


@pytest.fixture(params=["127.0.0.1", "localhost", "evil.example"])
def page(request, browser, hostile):
    """The hostile page: of the same site, of another, and of a name that was rebound."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(40_000)
    page.goto(f"http://{request.param}:{hostile}/")
    yield page
    context.close()


MESSAGE_03 = {"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hostile"}]}
CALL_03 = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": MESSAGE_03}}
MESSAGE_10 = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hostile"}]}

REQUESTS = """
async ({doors, calls, card}) => {
  const told = [];
  const tell = async (name, attempt) => {
    try { told.push([name, String(await attempt())]); } catch (error) { told.push([name, `${error.name}`]); }
  };
  const plain = ["text/plain", "text/plain;application/json", "application/x-www-form-urlencoded"];
  const kinds = [...plain, "application/json", null];
  for (const mode of ["cors", "no-cors", "same-origin"])
    for (const credentials of ["omit", "include"]) {
      for (const url of card)
        await tell(`GET ${mode} ${credentials}`, async () => (await fetch(url, {mode, credentials})).text());
      for (const [path, body] of calls)
        for (const kind of kinds)
          await tell(`POST ${mode} ${credentials} ${kind}`, async () => (await fetch(doors + path, {
            method: "POST", mode, credentials, body, keepalive: credentials === "omit",
            headers: kind ? {"Content-Type": kind} : {},
          })).text());
    }
  for (const [path, body] of calls)
    await tell("POST with all headers", async () => (await fetch(doors + path, {
      method: "POST", body,
      headers: {"Content-Type": "application/json", "A2A-Version": "1.0", "Authorization": "Bearer guess"},
    })).text());
  for (const url of card)
    for (const withCredentials of [false, true])
      await tell("XMLHttpRequest", () => new Promise((done, failed) => {
        const request = new XMLHttpRequest();
        request.open("GET", url);
        request.withCredentials = withCredentials;
        request.onload = () => done(request.responseText);
        request.onerror = () => failed(new TypeError());
        request.send();
      }));
  for (const [path, body] of calls)
    for (const kind of ["text/plain", "application/x-www-form-urlencoded"])
      await tell("XMLHttpRequest POST", () => new Promise((done, failed) => {
        const request = new XMLHttpRequest();
        request.open("POST", doors + path);
        request.setRequestHeader("Content-Type", kind);
        request.onload = () => done(request.responseText);
        request.onerror = () => failed(new TypeError());
        request.send(body);
      }));
  for (const [path, body] of calls)
    await tell("sendBeacon", async () => {
      navigator.sendBeacon(doors + path, body);
      navigator.sendBeacon(doors + path, new Blob([body], {type: "application/json"}));
      return "sent";
    });
  return told;
}
"""

ELEMENTS = """
async ({card, task}) => {
  const told = [];
  const load = (element, address) => new Promise((done) => {
    element.onload = () => done("loaded");
    element.onerror = () => done("refused");
    Object.assign(element, address);
    document.body.append(element);
    setTimeout(() => done("nothing"), 3000);
  });
  const make = (name) => document.createElement(name);
  for (const url of card) {
    told.push(["script", await load(make("script"), {src: url})]);
    told.push(["module", await load(make("script"), {type: "module", src: url})]);
    told.push(["stylesheet", await load(make("link"), {rel: "stylesheet", href: url})]);
    told.push(["img", await load(make("img"), {src: url})]);
    for (const name of ["iframe", "embed"]) {
      const frame = make(name);
      await load(frame, {src: url});
      let text = "closed";
      try { text = frame.contentDocument?.body.innerText ?? "closed"; } catch (error) { text = error.name; }
      told.push([name, text]);
    }
  }
  for (const withCredentials of [false, true])
    told.push(["EventSource", await new Promise((done) => {
      const source = new EventSource(task, {withCredentials});
      source.onopen = () => done("open");
      source.onmessage = (event) => done(event.data);
      source.onerror = () => { source.close(); done("refused"); };
    })]);
  told.push(["WebSocket", await new Promise((done) => {
    const socket = new WebSocket(card[0].replace("http", "ws"));
    socket.onopen = () => done("open");
    socket.onerror = () => done("refused");
  })]);
  return told;
}
"""

FORM = """
({action, enctype, name, value}) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.name = "target" + Math.random();
  document.body.append(frame);
  const form = document.createElement("form");
  Object.assign(form, {method: "POST", action, enctype, target: frame.name});
  const field = document.createElement("input");
  Object.assign(field, {type: "hidden", name, value});
  form.append(field);
  document.body.append(form);
  frame.onload = () => setTimeout(done, 50);
  form.submit();
})
"""


def doors_of(lab):
    return f"{lab.url}/agents/victim"


def cards_of(lab):
    return [f"{doors_of(lab)}/{path}.well-known/agent-card.json" for path in ("", "v0.3/")]


def nothing_happened(lab, seen, *, least):
    """The agent heard its owner alone, and so much arrived, all of it refused."""
    assert lab.calls == ["its owner"]
    assert [task.id for task in lab.tasks()] == [lab.asked.id]
    assert len(seen) >= least
    let_in = [(method, path) for method, path, _, refused in seen if not refused]
    assert set(let_in) <= {("GET", "/favicon.ico")}  # which Chromium asks for itself where a page was gone to


def test_scripts_can_neither_call_nor_read(lab, page, seen):
    old_rest = {"messageId": "m", "role": "ROLE_USER", "content": [{"text": "hostile"}]}
    calls = [
        ("", json.dumps(CALL_03)),
        ("", json.dumps(CALL_03 | {"method": "SendMessage", "params": {"message": MESSAGE_10}})),
        ("/message:send", json.dumps({"message": MESSAGE_10})),
        ("/message:send?A2A-Version=1.0", json.dumps({"message": MESSAGE_10})),
        ("/v1/message:send", json.dumps({"message": old_rest})),
    ]
    told = page.evaluate(REQUESTS, {"doors": doors_of(lab), "calls": calls, "card": cards_of(lab)})
    assert Counter(answer for _, answer in told).keys() <= {"", "TypeError", "sent"}, told
    nothing_happened(lab, seen, least=60)
    methods = Counter(method for method, *_ in seen)
    assert {"GET", "POST", "OPTIONS"} <= methods.keys()


def test_elements_can_not_read(lab, page, seen):
    task = f"{doors_of(lab)}/tasks/{lab.asked.id}:subscribe?A2A-Version=1.0&lastEventId=0"
    told = page.evaluate(ELEMENTS, {"card": cards_of(lab), "task": task})
    assert not any(SECRET in answer or "jsonrpc" in answer for _, answer in told), told
    assert {
        answer for name, answer in told if name in {"script", "module", "stylesheet", "img", "EventSource", "WebSocket"}
    } == {"refused"}
    nothing_happened(lab, seen, least=8)
    dests = {headers.get("sec-fetch-dest") for _, _, headers, _ in seen}
    assert {"script", "image", "iframe"} <= dests


def test_forms_can_not_call(lab, page, seen):
    """As text/plain, a field's name and value make valid JSON around the equals sign."""
    head, tail = json.dumps(CALL_03 | {"x": "SPLIT"}).split("SPLIT")
    kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
    for enctype in kinds:
        for path in ("", "/", "/message:send"):
            field = {"action": doors_of(lab) + path, "enctype": enctype, "name": head, "value": tail}
            page.evaluate(FORM, field)
    nothing_happened(lab, seen, least=9)
    assert {headers["content-type"].partition(";")[0] for _, _, headers, _ in seen} == set(kinds)


def test_going_there_shows_nothing(lab, page, seen):
    """A link, a redirect by script, a window of its own."""
    for url in cards_of(lab):
        with page.expect_popup() as popup:
            page.evaluate("(url) => { window.opened = window.open(url) }", url)
        popup.value.wait_for_load_state()
        assert SECRET not in popup.value.content()
        assert page.evaluate("() => { try { return opened.document.body.innerText } catch (e) { return e.name } }") in {
            "SecurityError", "TypeError",
        }  # fmt: skip
    page.evaluate("(url) => { location.href = url }", cards_of(lab)[0])
    page.wait_for_url("**/agent-card.json")
    assert SECRET not in page.content()
    nothing_happened(lab, seen, least=3)


def test_a_rebound_name_shows_nothing(lab, browser, seen):
    """The attacker's own name leads to the lab's very port: to the browser, the page's origin is then the lab's."""
    context = browser.new_context()
    page = context.new_page()
    port = urlsplit(lab.url).port
    page.goto(f"http://evil.example:{port}/agents/victim/.well-known/agent-card.json")
    assert SECRET not in page.content()
    told = page.evaluate(
        """async (body) => [
          await (await fetch("/agents/victim/.well-known/agent-card.json")).text(),
          await (await fetch("/agents/victim", {
            method: "POST", body, headers: {"Content-Type": "application/json"},
          })).text(),
        ]""",
        json.dumps(CALL_03),
    )
    assert all("Host not allowed" in answer for answer in told)
    context.close()
    nothing_happened(lab, seen, least=3)
