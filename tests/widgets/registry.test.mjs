import assert from "node:assert/strict";
import test from "node:test";
import { tally, toggled } from "../../widgets/nbagora_widgets/static/registry.js";

test("what is found is told in words, with its kind and what is left out", () => {
  assert.equal(tally({ total: 1, rows: [{}], kind: "agent" }), "1 agent");
  assert.equal(tally({ total: 2, rows: [{}, {}], kind: "mcp" }), "2 MCP servers");
  assert.equal(tally({ total: 1234, rows: [{}], kind: "prompt" }), "the first 1 of 1,234 prompts");
});

test("a filter comes and goes, and the others stay", () => {
  assert.deepEqual(toggled(["a=1"], "b=2"), ["a=1", "b=2"]);
  assert.deepEqual(toggled(["a=1", "b=2"], "a=1"), ["b=2"]);
});
