/**
 * The task view: a table of tasks; the selected one's events, messages, artifacts, calls and steps; send, cancel and
 * answer; run again from a step.
 *
 * The kernel's `snapshot` is the truth and is painted whole, by key: a row keeps its element, and so its focus, for as
 * long as its task is in the table. What a person does goes out as a command; the reply only says whether it was
 * obeyed. Texts of agents reach the page as text nodes alone. No URL is loaded. `render` returns its clean-up.
 *
 * @typedef {import("./types.js").TasksSnapshot} TasksSnapshot
 * @typedef {import("./types.js").TaskRow} TaskRow
 */
import { artifactsPane } from "./artifacts.js";
import { callsPane } from "./calls.js";
import { panel } from "./detail.js";
import { lanesPane } from "./lanes.js";
import {
  QUEUED, Link, button, dialogue, excuse, h, patch, put, say, setTime, short, silent, step, toClipboard,
} from "./live.js";
import { payloadPane } from "./payload.js";
import { STATES, badge, label, setBadge } from "./state.js";

const COLUMNS = ["State", "Agent", "Task", "Last words", "Events", "Updated"];

/** @param {Pick<TasksSnapshot, "total" | "rows">} snapshot @returns {string} `200 newest of 1,234 tasks, 3 working` */
export function summary({ total, rows }) {
  const tasks = `${total.toLocaleString("en")} ${total === 1 ? "task" : "tasks"}`;
  const all = rows.length < total ? `${rows.length} newest of ${tasks}` : tasks;
  const count = (/** @type {string} */ state) => rows.filter((row) => row.state === state).length;
  const busy = ["WORKING", "INPUT_REQUIRED"].filter(count).map((state) => `${count(state)} ${label(state)}`);
  return [all, ...busy].join(", ");
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const controller = new AbortController();
  const { signal } = controller;
  const name = `nbagora-${Math.random().toString(36).slice(2)}`;
  /** @type {TasksSnapshot} */
  let shot = model.get("snapshot");
  /** @type {string | null | undefined} the selection that was asked for and is in no snapshot yet */
  let wanted;
  /** @type {Map<string, string>} what a task's cancel buttons say since one was pressed */
  const cancelling = new Map();
  let active = ""; // the row that Tab leads to
  let frame = 0;

  const count = h("span", { class: "count" });
  const status = h("span", { class: "lab", role: "status" });
  const agents = h("datalist", { id: `${name}-agents` });
  const agent = h("input", { type: "search", list: agents.id, placeholder: "all agents", "aria-label": "Agent" });
  const state = h("select", { "aria-label": "State" }, h("option", { value: "" }, "all states"));
  for (const each of STATES) state.append(h("option", { value: each }, label(each)));
  const notice = h("p", { class: "notice", role: "alert", hidden: true });
  const heads = COLUMNS.map((text) => h("th", { scope: "col", class: text.toLowerCase().replace(" ", "-") }, text));
  const caption = h("caption", { class: "unseen" }, "Tasks, newest first");
  const body = h("tbody");
  const table = h("table", {}, caption, h("thead", {}, h("tr", {}, ...heads, h("td", { class: "act" }))), body);
  const empty = h("p", { class: "empty" });
  const filters = h("div", { class: "filters" }, agent, agents, state);
  const bar = h("header", {}, h("strong", {}, "Tasks"), count, status, filters);
  const panes = [artifactsPane(), callsPane((id) => select(id), signal)];
  const detail = panel({ id: `${name}-detail`, signal, answer, inspect, panes });
  const raw = payloadPane({ id: `${name}-message`, label: "Message" });
  raw.reference.hidden = true; // a record of a topic has one, a message has none
  const lanes = lanesPane({
    id: `${name}-lanes`,
    signal,
    select: (id) => dead() || ask({ do: "step", id }),
    rerun: (id, output, says) => {
      const done = () => says("Re-run from here");
      if (dead()) done();
      else ask({ do: "rerun", id, output }, done, () => says(QUEUED));
    },
  });
  detail.node.append(raw.node, lanes.node);
  const to = h("input", { list: agents.id, placeholder: "agent", "aria-label": "Agent to send to", required: true });
  const words = h("input", { placeholder: "message", "aria-label": "Message to send", required: true });
  const sends = h("button", { type: "submit" }, "Send");
  const further = h("label", { class: "further" }, h("input", { type: "checkbox" }), "go on in its context");
  const talk = h("form", { class: "talk", "aria-label": "Send a message" }, to, words, further, sends);
  const rows = h("div", { class: "rows" }, table, empty);
  const root = h("section", { class: "nbagora-view nbagora-tasks", "aria-label": "Tasks" }, bar, notice, rows, talk, detail.node);
  el.append(root);

  /** @type {number | null} the event that is looked at */
  let inspected = model.get("message")?.offset ?? null;
  const link = new Link(model, signal, schedule);
  const { tell, ask } = dialogue(link, notice, schedule);
  const dead = () => silent(shot.lab) || link.state === "gone";
  const chosen = () => (wanted === undefined ? (shot.selected?.row.id ?? null) : wanted);
  const keyOf = (/** @type {any} */ node) => node.closest("tr")?.dataset.key ?? "";
  const openers = () => /** @type {HTMLElement[]} */ ([...body.querySelectorAll(".open")]);

  function select(/** @type {string | null} */ id) {
    wanted = id;
    inspected = null;
    const done = (/** @type {boolean} */ ok) => {
      if (!ok) wanted = undefined;
    };
    if (!dead()) ask({ do: "select", task_id: id }, done);
    paint();
  }
  function inspect(/** @type {string} */ id, /** @type {number | null} */ offset) {
    inspected = offset;
    if (!dead()) ask({ do: "inspect", task_id: id, offset });
    paint();
    if (offset !== null) raw.node.focus();
  }
  function send() {
    const agent_ = to.value.trim();
    if (!agent_ || !words.value.trim() || dead() || sends.getAttribute("aria-disabled") === "true") return;
    const says = (/** @type {string} */ text) => {
      say(sends, text);
      put(sends, "aria-disabled", `${text !== "Send"}`);
    };
    const context = further.firstChild.checked && !further.hidden ? (shot.selected?.row.context_id ?? "") : "";
    ask({ do: "say", agent: agent_, text: words.value, context_id: context }, (ok) => {
      says("Send");
      if (ok) words.value = "";
    }, () => says("sending…"));
  }
  function shut() {
    const back = openers().find((node) => keyOf(node) === chosen());
    select(null);
    back?.focus();
  }
  function cancel(/** @type {string} */ id) {
    if (!id || cancelling.has(id) || dead()) return;
    const says = (/** @type {string} */ text) => {
      cancelling.set(id, text);
      schedule();
    };
    ask({ do: "cancel", task_id: id }, (ok) => (ok ? says("canceling…") : cancelling.delete(id)), () => says(QUEUED));
    says("canceling…");
  }
  /** @type {Parameters<typeof panel>[0]["answer"]} */
  function answer(id, text, says, sent) {
    const done = (/** @type {boolean} */ ok) => {
      says("Answer");
      if (ok) sent();
    };
    ask({ do: "answer", task_id: id, text }, done, () => says(QUEUED));
    says("answering…");
  }

  function paintCancel(/** @type {any} */ node, /** @type {TaskRow} */ task) {
    if (!task.open) cancelling.delete(task.id);
    node.hidden = !task.open || dead();
    say(node.firstChild, cancelling.get(task.id) ?? "Cancel");
    say(node.lastChild, ` task ${short(task.id)}`);
    put(node, "aria-disabled", `${cancelling.has(task.id)}`); // `disabled` would throw the focus away
  }
  function makeRow() {
    const cell = (/** @type {string} */ kind, /** @type {any[]} */ ...inside) => h("td", { class: kind }, ...inside);
    const open = button("open", "");
    open.setAttribute("aria-controls", detail.node.id);
    const parts = [cell("task", h("code")), cell("last-words", h("bdi")), cell("events"), cell("updated", h("time"))];
    const act = cell("act", button("cancel", ""));
    return h("tr", {}, cell("state-of", badge()), h("th", { scope: "row" }, open), ...parts, act);
  }
  function paintRow(/** @type {any} */ node, /** @type {TaskRow} */ task) {
    const [state, { firstChild: open }, { firstChild: id }, words, events, updated, act] = node.children;
    setBadge(state.firstChild, task.state);
    say(open.firstChild, task.agent);
    say(open.lastChild, `, task ${short(task.id)}`);
    put(open, "aria-expanded", `${chosen() === task.id}`);
    say(id, short(task.id));
    put(id, "title", task.id);
    say(words.firstChild, task.question || task.text);
    words.classList.toggle("tail", !task.question);
    say(events, `${task.events}`);
    setTime(updated.firstChild, task.updated);
    paintCancel(act.firstChild, task);
    for (const each of [open, act.firstChild]) put(each, "tabindex", task.id === active ? "0" : "-1");
  }
  function paint() {
    frame = 0;
    shot = model.get("snapshot");
    if (wanted === (shot.selected?.row.id ?? null)) wanted = undefined;
    const keys = shot.rows.map((task) => task.id);
    if (!keys.includes(active)) active = keys[0] ?? "";
    const unsure = link.state === "waiting" ? "no answer yet: a cell is running, or the kernel is gone" : shot.lab;
    say(count, summary(shot));
    say(status, dead() ? excuse(shot.lab) : unsure);
    put(status, "data-link", dead() ? "gone" : link.state);
    for (const node of [agent, state]) node.disabled = dead();
    talk.hidden = dead();
    further.hidden = !shot.selected;
    if (document.activeElement !== agent) agent.value = shot.agent ?? "";
    if (document.activeElement !== state) state.value = shot.state ?? "";
    const names = [...new Set(shot.rows.map((task) => task.agent))].sort();
    patch(agents, names, String, (each) => h("option", { value: each }), () => {});
    patch(body, shot.rows, (task) => task.id, makeRow, paintRow);
    empty.hidden = keys.length > 0;
    say(empty, shot.agent || shot.state ? "No task passes the filters." : "No tasks yet.");
    const full = shot.selected?.row.id === chosen() ? shot.selected : null;
    const task = full?.row ?? shot.rows.find((each) => each.id === chosen());
    detail.paint(task, full, !dead());
    const message = model.get("message");
    const fits = inspected !== null && message?.offset === inspected;
    raw.paint(fits ? message : null, full ? inspected : null, dead() ? "not stored: the lab is not running" : "…");
    if (task) paintCancel(detail.cancel, task);
    const steps = model.get("lanes");
    lanes.paint(full && steps?.task === full.row.id ? steps : null);
  }
  function schedule() {
    frame ||= requestAnimationFrame(paint);
  }

  const on = (/** @type {any} */ node, /** @type {string} */ kind, /** @type {(event: any) => void} */ act) =>
    node.addEventListener(kind, act, { signal });
  const filter = () => ask({ do: "filter", agent: agent.value.trim() || null, state: state.value || null });
  on(agent, "change", filter);
  on(state, "change", filter);
  on(detail.cancel, "click", () => cancel(chosen() ?? ""));
  on(detail.close, "click", shut);
  on(raw.close, "click", () => inspect(chosen() ?? "", null));
  on(raw.content, "click", () => toClipboard(raw.content, model.get("message")?.text ?? "", tell));
  on(talk, "submit", (event) => {
    event.preventDefault();
    send();
  });
  on(body, "click", ({ target }) => {
    const id = keyOf(target);
    if (target.closest(".cancel")) cancel(id);
    else if (id && (target.closest(".open") || !`${getSelection()}`)) select(chosen() === id ? null : id);
  });
  on(body, "focusin", ({ target }) => {
    active = keyOf(target);
    schedule();
  });
  on(body, "keydown", (event) => {
    const to = step(event.key, shot.rows.findIndex((task) => task.id === keyOf(event.target)), shot.rows.length);
    if (to === null) return;
    event.preventDefault();
    openers()[to]?.focus();
  });
  on(root, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter")) return;
    event.stopPropagation(); // a notebook's command mode would take plain keys for its own
    if (event.key === "Escape" && !detail.node.hidden && !event.isComposing) shut();
  });
  model.on("change:snapshot", schedule);
  model.on("change:message", schedule);
  model.on("change:lanes", schedule);
  signal.addEventListener("abort", () => {
    model.off("change:snapshot", schedule);
    model.off("change:message", schedule);
    model.off("change:lanes", schedule);
    cancelAnimationFrame(frame);
    root.remove();
  });
  paint();
  return () => controller.abort();
}

export default { render };
