// The pure parts of the views, run by node; `test_view_node.py` is their place in pytest.
import assert from "node:assert/strict";
import { mock, test } from "node:test";

const STATIC = new URL("../../widgets/nbagora_widgets/static/", import.meta.url);
const { Link, Requests, clock, moves, short, step } = await import(new URL("live.js", STATIC));
const { STATES, label } = await import(new URL("state.js", STATIC));
const { lines } = await import(new URL("detail.js", STATIC));
const { summary } = await import(new URL("tasks.js", STATIC));
const { MockModel } = await import(new URL("mock.js", import.meta.url));

/** What a parent's children would be after the removals and insertions of a patch. */
function applied(have, want) {
  const list = have.filter((key) => want.includes(key));
  for (const { key, before } of moves(have, want)) {
    if (list.includes(key)) list.splice(list.indexOf(key), 1);
    list.splice(before === null ? list.length : list.indexOf(before), 0, key);
  }
  return list;
}

test("moves lead from any order to any other", () => {
  let seed = 7;
  const random = (n) => ((seed = (seed * 48271) % 2147483647) >> 8) % n; // the low bits have short cycles
  const some = () => {
    const keys = [..."abcdefgh"].filter(() => random(2));
    return keys.map((key) => [random(1000), key]).sort().map(([, key]) => key);
  };
  for (let i = 0; i < 2000; i++) {
    const [have, want] = [some(), some()];
    assert.deepEqual(applied(have, want), want, `${have} -> ${want}`);
  }
});

test("what stands where it should is not moved", () => {
  assert.deepEqual(moves(["a", "b"], ["a", "b"]), []);
  assert.deepEqual(moves(["a", "b", "c"], ["a", "c"]), []);
  assert.deepEqual(moves(["a", "b"], ["new", "a", "b"]), [{ key: "new", before: "a" }]);
  assert.deepEqual(moves(["a", "b", "c"], ["c", "a", "b"]), [{ key: "c", before: "a" }]);
});

test("keys lead from row to row and stop at the ends", () => {
  assert.equal(step("ArrowDown", 0, 3), 1);
  assert.equal(step("ArrowDown", 2, 3), 2);
  assert.equal(step("ArrowUp", 0, 3), 0);
  assert.equal(step("Home", 2, 3), 0);
  assert.equal(step("End", 0, 3), 2);
  assert.equal(step("Enter", 0, 3), null);
});

test("a state is told in words, also one that is not known", () => {
  assert.equal(label("INPUT_REQUIRED"), "input required");
  assert.equal(label("SOMETHING_NEW"), "something new");
  assert.equal(STATES.length, 8);
});

test("ids are cut, times are times of day", () => {
  assert.equal(short("3f2a"), "3f2a");
  assert.equal(short("0123456789abcdef"), "01234567");
  assert.equal(short("ctx-z8htqxk5sz07.ygn1j0a8"), "ygn1j0a8");
  assert.equal(short("ends with."), "ends with.".slice(0, 10));
  assert.match(clock(1_790_000_000), /^\d\d:\d\d:\d\d$/);
});

test("the summary counts what is shown and what there is", () => {
  const rows = ["WORKING", "WORKING", "INPUT_REQUIRED", "FAILED"].map((state) => ({ state }));
  assert.equal(summary({ total: 1234, rows }), "4 newest of 1,234 tasks, 2 working, 1 input required");
  assert.equal(summary({ total: 1, rows: [{ state: "FAILED" }] }), "1 task");
  assert.equal(summary({ total: 0, rows: [] }), "0 tasks");
});

const event = (offset, kind, text = "") => ({ offset, kind, text, generation: offset, state: "", time: 0 });

test("a run of chunks is one line that keeps its key while it grows", () => {
  const events = [event(1, "status"), event(2, "artifact", "Sunny"), event(3, "artifact", " in 北京")];
  const shown = lines(events, 0).map(({ key, at, text }) => [key, at, text]);
  assert.deepEqual(shown, [["1", "1", ""], ["2", "2–3", "Sunny in 北京"]]);
  const grown = lines([...events, event(4, "artifact", "!"), event(5, "status")], 0);
  assert.deepEqual(grown.map(({ key }) => key), ["1", "2", "5"]);
  assert.equal(grown[1].text, "Sunny in 北京!");
});

test("a head that loses events to the cap is still the same line", () => {
  const [a] = lines([event(2, "artifact", "b"), event(3, "artifact", "c")], 1);
  const [b] = lines([event(3, "artifact", "c"), event(4, "artifact", "d")], 2);
  assert.equal(a.key, b.key);
});

test("a line of chunks has an end", () => {
  const [line] = lines(Array.from({ length: 200 }, (_, i) => event(i, "artifact", `${i} `.repeat(100))), 0);
  assert.ok(line.text.length <= 4000);
  assert.ok(line.text.endsWith("199 "));
});

test("a request without a reply waits after 300 ms, and its late reply still counts", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const sent = [];
  const calls = [];
  const requests = new Requests((command) => sent.push(command));
  requests.ask({ do: "cancel" }, () => calls.push("waits"), (reply) => calls.push(reply.problem));
  mock.timers.tick(299);
  assert.deepEqual(calls, []);
  mock.timers.tick(1);
  assert.deepEqual(calls, ["waits"]);
  requests.settle({ reply: sent[0].request, problem: null });
  requests.settle({ reply: sent[0].request, problem: null });
  assert.deepEqual(calls, ["waits", null]);
  mock.timers.reset();
});

test("a reply in time never waits, one for another page is not ours", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const sent = [];
  const calls = [];
  const requests = new Requests((command) => sent.push(command));
  const ask = () => requests.ask({ do: "cancel" }, () => calls.push("waits"), () => calls.push("done"));
  ask();
  requests.settle({ reply: -1, problem: null });
  assert.deepEqual(calls, []);
  requests.settle({ reply: sent[0].request, problem: null });
  ask();
  requests.close();
  mock.timers.tick(1000);
  assert.deepEqual(calls, ["done"]);
  assert.notEqual(sent[0].request, sent[1].request);
  mock.timers.reset();
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a link says hello, is live when it is heard, and leaves nothing behind", async () => {
  const model = new MockModel({});
  const controller = new AbortController();
  let changes = 0;
  const link = new Link(model, controller.signal, () => changes++);
  assert.equal(link.state, "new");
  await turn();
  assert.equal(model.sent[0].do, "hello");
  assert.equal(link.state, "live");
  assert.equal(changes, 1);
  controller.abort();
  assert.deepEqual(model.sent.map((command) => command.do), ["hello", "bye"]);
  assert.equal(model.sent[1].view, model.sent[0].view);
  assert.deepEqual(model.handlers, []);
});

test("a link without a kernel is gone, and live again when there is one", async () => {
  const model = new MockModel({});
  model.comm_live = false;
  const controller = new AbortController();
  const link = new Link(model, controller.signal, () => {});
  await turn();
  assert.equal(link.state, "gone");
  assert.deepEqual(model.sent, []);
  model.comm_live = true;
  model.emit("comm_live_update");
  await turn();
  assert.equal(link.state, "live");
  controller.abort();
});

test("a host that cannot tell whether a kernel lives is asked by hello alone", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const model = new MockModel({});
  model.widget_manager = { get_model: () => Promise.reject(new Error("no such thing here")) };
  model.obeys = false;
  const controller = new AbortController();
  const link = new Link(model, controller.signal, () => {});
  await turn();
  mock.timers.tick(300);
  assert.equal(link.state, "waiting");
  model.show({});
  assert.equal(link.state, "live");
  controller.abort();
  mock.timers.reset();
});

test("a comm that was disposed makes the link gone, and nothing is thrown", async () => {
  const model = new MockModel({});
  const controller = new AbortController();
  let changes = 0;
  const link = new Link(model, controller.signal, () => changes++);
  await turn();
  model.send = () => {
    throw new Error("Cannot send");
  };
  link.requests.ask({ do: "cancel", task_id: "t" }, () => {}, () => {});
  assert.equal(link.state, "gone");
  assert.equal(changes, 2);
  link.become("live");
  controller.abort();
  assert.equal(changes, 3);
  assert.deepEqual(model.handlers, []);
});
