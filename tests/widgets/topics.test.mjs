// The pure parts of the topic view, run by node; `test_view_node.py` is their place in pytest.
import assert from "node:assert/strict";
import { test } from "node:test";

const STATIC = new URL("../../widgets/nbagora_widgets/static/", import.meta.url);
const { MOST, ROW, height, rowAt, scrollOf, size } = await import(new URL("records.js", STATIC));
const { place, stepOf } = await import(new URL("jump.js", STATIC));
const { about, picture } = await import(new URL("payload.js", STATIC));
const { counts, holder } = await import(new URL("groups.js", STATIC));
const { extent, reference } = await import(new URL("topics.js", STATIC));

const ROOM = 240;

test("a list ends below the height that browsers can show, and is exact where it fits", () => {
  assert.equal(height(100_000), 100_000 * ROW);
  assert.equal(height(1e9), MOST);
  for (const row of [0, 1, 777, 99_990]) assert.equal(scrollOf(row, 100_000, ROOM), row * ROW);
});

test("scrolling to a row and reading where that is are each other's inverse, however many rows", () => {
  for (const count of [11, 500, 100_000, 400_000, 5_000_000, 1e9]) {
    for (const part of [0, 0.1, 0.5, 0.99, 1]) {
      const row = part * (count - ROOM / ROW);
      const scroll = scrollOf(row, count, ROOM);
      assert.ok(scroll >= 0 && scroll <= height(count) - ROOM + 1e-6);
      assert.ok(Math.abs(rowAt(scroll, count, ROOM) - row) < 1e-3, `${row} of ${count}`);
    }
  }
});

test("a list that fits its room has one place", () => {
  for (const count of [0, 1, 9, 10]) {
    assert.equal(rowAt(0, count, ROOM), 0);
    assert.equal(scrollOf(0, count, ROOM), 0);
  }
});

test("sizes are told in three digits", () => {
  assert.deepEqual([0, 999, 1234, 67_108_864, 5e13].map(size), ["0 B", "999 B", "1.23 kB", "67.1 MB", "5.00e+4 GB"]);
});

test("a place is an offset of those there are, and its time", () => {
  assert.equal(place(0, 100, 11.4), "#12 of #0–#99");
  assert.match(place(50, 100, 3, 1_790_000_000), /^#50 of #50–#99, \d\d:\d\d:\d\d$/);
  assert.equal(place(0, 100, 1e9), "#99 of #0–#99");
});

test("the slider over time stands where the time is", () => {
  assert.deepEqual([10, 15, 20].map((time) => stepOf(time, 10, 20)), [0, 500, 1000]);
  assert.equal(stepOf(10, 10, 10), 1000);
});

test("a picture is one of the known kinds and nothing but its bytes", () => {
  const payload = { kind: "image", media: "image/png", text: "iVBORw0KGgo=" };
  assert.equal(picture(payload), "data:image/png;base64,iVBORw0KGgo=");
  for (const media of ["image/svg+xml", "text/html", "image/png;x", "IMAGE/PNG"]) {
    assert.equal(picture({ ...payload, media }), null);
  }
  assert.equal(picture({ ...payload, kind: "text" }), null);
  assert.equal(picture({ ...payload, text: '"><script>' }), null);
});

test("a payload says what it is, that it is cut, and that it is gone", () => {
  assert.equal(about({ kind: "json", size: 12, cut: false }), "json · 12 B");
  assert.equal(about({ kind: "text", size: 200_000, cut: true }), "text · 200 kB, the beginning");
  assert.equal(about({ kind: "gone", size: 0 }), "this record is not there any more");
});

test("a group's line leaves out what did not happen", () => {
  const group = { mode: "shared", clients: 1, ready: 3, held: "", leased: 0, received: 1200, acked: 7, redelivered: 0, dead: 0 };
  assert.equal(counts(group), "shared, 1 client · 3 ready · 0 leased · 1,200 handed out, 7 acked");
  const more = counts({ ...group, clients: 2, held: "2 by quota", redelivered: 4, dead: 1 });
  assert.match(more, /2 clients · 3 ready · held: 2 by quota .* 4 redelivered · 1 dead$/);
});

test("a lock names its holder", () => {
  assert.match(holder({ client: "c1", first: 3, records: 1, expires: 0 }), /^c1, #3 until \d\d:\d\d:\d\d$/);
  assert.match(holder({ client: "c1", first: 3, records: 5, expires: 0 }), /^c1, #3 and 4 more until /);
});

test("a topic's extent and reference", () => {
  assert.equal(extent({ first: 0, next: 100_000 }), "100,000 records, #0–99999");
  assert.equal(extent({ first: 7, next: 8 }), "1 record, #7");
  assert.equal(extent({ first: 8, next: 8 }), "no records");
  assert.equal(reference("chat/a\\@b", null), "chat/a\\@b");
  assert.equal(reference("chat/a", 12), "chat/a@12");
});
