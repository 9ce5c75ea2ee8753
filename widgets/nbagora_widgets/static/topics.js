/**
 * The topic view: lite topics by prefix and state, the records of one of them, groups, fork and send.
 *
 * As in the task view the kernel's snapshot is the truth, painted by key, and what a person does goes out as commands.
 * The record that is looked at is a trait of its own, sent once. Bodies reach the page as text nodes, pictures as data.
 *
 * @typedef {import("./types.js").TopicsSnapshot} TopicsSnapshot
 * @typedef {import("./types.js").TopicRow} TopicRow
 * @typedef {import("./types.js").Payload} Payload
 */
import { forms } from "./forms.js";
import { groupsPanel } from "./groups.js";
import { jumpBar } from "./jump.js";
import { QUEUED, Link, button, dialogue, excuse, h, patch, put, say, silent, step, toClipboard } from "./live.js";
import { payloadPane } from "./payload.js";
import { recordList } from "./records.js";
import { TOPIC_STATES, badge, setBadge } from "./state.js";


/** @param {TopicRow} row @returns {string} `100,000 records, #0–99999` */
export function extent({ first, next }) {
  const count = next - first;
  if (!count) return "no records";
  return `${count.toLocaleString("en")} ${count === 1 ? `record, #${first}` : `records, #${first}–${next - 1}`}`;
}

/** @param {string} topic as commands write it @param {number | null} offset */
export const reference = (topic, offset) => (offset === null ? topic : `${topic}@${offset}`);

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const controller = new AbortController();
  const { signal } = controller;
  const name = `nbagora-${Math.random().toString(36).slice(2)}`;
  /** @type {TopicsSnapshot} */
  let shot = model.get("snapshot");
  /** @type {string | null | undefined} the topic that was asked for and is in no snapshot yet */
  let wanted;
  /** @type {number | null} the record that is looked at */
  let picked = model.get("payload")?.offset ?? null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let picking; // until it is answered
  let painted = shot.topic;
  /** @type {string[]} where the pages before this one begin */
  let pages = [];
  let active = ""; // the topic that Tab leads to
  let frame = 0;

  const status = h("span", { class: "lab", role: "status" });
  const parent = h("select", { "aria-label": "Parent topic" });
  const prefix = h("input", { type: "search", placeholder: "name begins with", "aria-label": "Prefix" });
  const group = h("select", { "aria-label": "As seen by group" });
  const state = h("select", { "aria-label": "State" }, h("option", { value: "" }, "all states"));
  for (const each of TOPIC_STATES) state.append(h("option", { value: each }, each));
  const bar = h("header", {}, h("strong", {}, "Topics"), status, h("div", { class: "filters" }, parent, prefix, group, state));
  const notice = h("p", { class: "notice", role: "alert", hidden: true });

  const columns = ["Topic", "Records", "State", "Lag"];
  const heads = columns.map((text) => h("th", { scope: "col", class: text.toLowerCase() }, text));
  const caption = h("caption", { class: "unseen" }, "Lite topics by name");
  const body = h("tbody");
  const table = h("table", {}, caption, h("thead", {}, h("tr", {}, ...heads)), body);
  const empty = h("p", { class: "empty" });
  const back = button("back", "Previous");
  const forth = button("forth", "Next");
  const pager = h("nav", { class: "pager", "aria-label": "Pages of topics" }, back, forth);
  const list = h("div", { class: "topics" }, h("div", { class: "rows" }, table, empty), pager);

  const title = h("code");
  const count = h("span", { class: "count" });
  const copy = button("copy", "Copy name");
  const close = button("close", "Close");
  const records = recordList({ id: `${name}-records`, signal, look, pick, enter: () => pane.node.focus(), moved: () => jump.paint() });
  const jump = jumpBar({ id: name, records, signal });
  const pane = payloadPane({ id: `${name}-payload` });
  const writes = forms({ id: name, signal, send: write });
  const about = h("header", {}, title, count, ...writes.buttons, copy, close);
  const nothing = h("p", { class: "empty" });
  const detail = h("section", { class: "detail" }, about, ...writes.forms, jump.node, nothing, records.node, pane.node);
  const hint = h("p", { class: "empty hint" }, "Choose a topic to see its records.");
  const groups = groupsPanel(show, signal);
  const panes = h("div", { class: "panes" }, list, detail, hint);
  const root = h("section", { class: "nbagora-view nbagora-topics", "aria-label": "Topics" }, bar, notice, panes, groups.node);
  el.append(root);

  const link = new Link(model, signal, schedule);
  const { tell, ask } = dialogue(link, notice, schedule);
  const dead = () => silent(shot.lab) || link.state === "gone";
  const chosen = () => (wanted === undefined ? shot.topic : wanted);
  const keyOf = (/** @type {any} */ node) => node.closest("tr")?.dataset.key ?? "";
  const openers = () => /** @type {HTMLElement[]} */ ([...body.querySelectorAll(".open")]);

  function browse(/** @type {{after?: string, parent?: string}} */ more = {}) {
    if (dead()) return;
    const group_ = more.parent ? null : group.value || null;
    const page = { prefix: more.parent ? "" : prefix.value, group: group_, state: (group_ && state.value) || null, after: "" };
    ask({ do: "browse", parent: parent.value, ...page, ...more });
  }
  function show(/** @type {string | null} */ topic) {
    if (dead()) return;
    [wanted, picked] = [topic, null];
    ask({ do: "show", topic }, () => (wanted = undefined));
    schedule();
  }
  function shut() {
    const opener = openers().find((node) => keyOf(node) === chosen());
    show(null);
    opener?.focus();
  }
  /** @type {Parameters<typeof recordList>[0]["look"]} */
  function look(window, done) {
    return ask({ do: "look", ...window }, done);
  }
  function pick(/** @type {number | null} */ offset) {
    picked = offset;
    const topic = chosen();
    clearTimeout(picking);
    picking = undefined;
    schedule();
    if (!topic || dead()) return;
    const settled = () => (picking = mine === picking ? undefined : picking); // else a later one is under way
    // Keys that are held down pass many records; the last one counts.
    const mine = setTimeout(() => ask({ do: "pick", topic, offset }, settled), 40);
    picking = mine;
  }
  /** @type {Parameters<typeof forms>[0]["send"]} */
  function write(command, says, sent) {
    const done = (/** @type {boolean} */ ok) => {
      says("");
      if (!ok) return;
      sent();
      if (command.do === "fork") show(command.to);
    };
    ask(command, done, () => says(QUEUED));
    says("…");
  }
  const take = (/** @type {any} */ node, /** @type {string} */ text) => toClipboard(node, text, tell);

  function makeRow() {
    const open = button("open", "");
    const cells = [h("td", { class: "records-of" }), h("td", { class: "state-of" }, badge()), h("td", { class: "lag" })];
    return h("tr", {}, h("th", { scope: "row" }, open), ...cells);
  }
  function paintRow(/** @type {any} */ node, /** @type {TopicRow} */ row) {
    const [{ firstChild: open }, many, mark, lag] = node.children;
    const newest = row.topic === shot.topic ? (shot.selected?.row ?? row) : row; // the page rests a second
    say(open.firstChild, row.lite);
    put(open, "title", row.forked_from ? `${row.topic}, forked from ${row.forked_from}` : row.topic);
    put(open, "aria-expanded", `${chosen() === row.topic}`);
    put(open, "tabindex", row.topic === active ? "0" : "-1");
    say(many, (newest.next - newest.first).toLocaleString("en"));
    mark.firstChild.hidden = !newest.state;
    setBadge(mark.firstChild, newest.state);
    say(lag, newest.lag === null ? "" : newest.lag.toLocaleString("en"));
  }
  function paintFilters() {
    const names = shot.parents.map((each) => each.name);
    const option = (/** @type {string} */ each) => h("option", { value: each }, each);
    patch(parent, names, String, option, () => {});
    const known = shot.groups.map((each) => each.group);
    patch(group, ["", ...known], String, (each) => h("option", { value: each }, each || "no group"), () => {});
    group.hidden = known.length === 0;
    state.hidden = group.hidden || !shot.group;
    for (const node of [parent, prefix, group, state]) node.disabled = dead();
    for (const [node, value] of [[parent, shot.parent], [prefix, shot.prefix], [group, shot.group], [state, shot.state]]) {
      if (document.activeElement !== node) node.value = value ?? "";
    }
  }
  function paintDetail() {
    const full = shot.selected && chosen() === shot.topic ? shot.selected : null;
    const topic = chosen();
    detail.hidden = topic === null;
    hint.hidden = topic !== null || !shot.topics.length;
    if (topic === null) return;
    put(detail, "aria-label", `Topic ${topic}`);
    say(title, topic);
    say(count, full ? extent(full.row) : "");
    say(close.lastChild, " the topic's records");
    nothing.hidden = Boolean(full && full.row.next > full.row.first);
    say(nothing, full ? "It has no records." : wanted === undefined ? "There is no such topic, or not yet." : "…");
    records.node.hidden = jump.node.hidden = !nothing.hidden || !full;
    writes.paint(full?.row ?? null, topic, picked, !dead());
    if (full) {
      jump.span(full.opened, full.row.last_write);
      records.paint(full, !dead(), picked);
    }
    /** @type {Payload | null} */
    const payload = model.get("payload");
    const fits = full && payload?.topic === topic && payload.created === full.row.created && payload.offset === picked;
    pane.paint(fits ? payload : null, full ? picked : null, dead() ? "not stored: the lab is not running" : "…");
    say(copy.lastChild, ` of ${topic}`);
  }
  function paint() {
    frame = 0;
    shot = model.get("snapshot");
    if (wanted === shot.topic) wanted = undefined;
    if ((picking === undefined && !dead()) || painted !== shot.topic) picked = model.get("payload")?.offset ?? null;
    painted = shot.topic;
    const keys = shot.topics.map((row) => row.topic);
    if (!keys.includes(active)) active = keys[0] ?? "";
    const unsure = link.state === "waiting" ? "no answer yet: a cell is running, or the kernel is gone" : shot.lab;
    say(status, dead() ? excuse(shot.lab) : unsure);
    put(status, "data-link", dead() ? "gone" : link.state);
    paintFilters();
    table.classList.toggle("grouped", Boolean(shot.group));
    patch(body, shot.topics, (row) => row.topic, makeRow, paintRow);
    empty.hidden = keys.length > 0;
    const none = shot.until ? "None of the first ones passes; Next looks on." : "No topic passes the filters.";
    say(empty, shot.prefix || shot.state ? none : "No topics yet.");
    if (!shot.after) pages = [];
    pager.hidden = !shot.after && !shot.until;
    put(back, "aria-disabled", `${!shot.after || dead()}`); // `disabled` would throw the focus away
    put(forth, "aria-disabled", `${!shot.until || dead()}`);
    paintDetail();
    groups.paint(shot.groups);
  }
  function schedule() {
    frame ||= requestAnimationFrame(paint);
  }

  const on = (/** @type {any} */ node, /** @type {string} */ kind, /** @type {(event: any) => void} */ act) =>
    node.addEventListener(kind, act, { signal });
  on(parent, "change", () => browse({ parent: parent.value }));
  for (const node of [prefix, group, state]) on(node, "change", () => browse());
  on(prefix, "input", () => browse());
  on(back, "click", () => shot.after && browse({ after: pages.pop() ?? "" }));
  on(forth, "click", () => {
    if (!shot.until) return;
    pages.push(shot.after);
    browse({ after: shot.until });
  });
  on(close, "click", shut);
  on(copy, "click", () => take(copy, reference(shot.selected?.row.ref ?? chosen() ?? "", null)));
  on(pane.close, "click", () => {
    pick(null);
    records.focus();
  });
  on(pane.reference, "click", () => take(pane.reference, reference(shot.selected?.row.ref ?? "", picked)));
  on(pane.content, "click", () => take(pane.content, model.get("payload")?.text ?? ""));
  for (const node of [copy, pane.reference, pane.content]) {
    const says = node.firstChild.textContent;
    on(node, "blur", () => say(node.firstChild, says));
  }
  on(body, "click", ({ target }) => {
    const topic = keyOf(target);
    if (topic && (target.closest(".open") || !`${getSelection()}`)) show(chosen() === topic ? null : topic);
  });
  on(body, "focusin", ({ target }) => {
    active = keyOf(target);
    schedule();
  });
  on(body, "keydown", (event) => {
    const at = shot.topics.findIndex((row) => row.topic === keyOf(event.target));
    const to = step(event.key, at, shot.topics.length);
    if (to === null) return;
    event.preventDefault();
    openers()[to]?.focus();
  });
  on(root, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter")) return;
    event.stopPropagation(); // a notebook's command mode would take plain keys for its own
    if (event.key !== "Escape" || event.isComposing || detail.hidden) return;
    if (pane.node.contains(event.target)) pane.close.click();
    else if (detail.contains(event.target)) shut();
  });
  model.on("change:snapshot", schedule);
  model.on("change:payload", schedule);
  signal.addEventListener("abort", () => {
    model.off("change:snapshot", schedule);
    model.off("change:payload", schedule);
    clearTimeout(picking);
    cancelAnimationFrame(frame);
    root.remove();
  });
  paint();
  return () => controller.abort();
}

export default { render };
