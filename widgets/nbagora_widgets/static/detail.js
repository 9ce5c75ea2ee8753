/**
 * The selected task: its events as a feed, the box that answers what it asks, and the panes beside them.
 *
 * A pane is a `node` and `paint(full)`, which shows a `TaskDetail`, or hides; `panel` is given them in their order.
 */
import { button, h, patch, put, say, setTime, short } from "./live.js";
import { badge, label, setBadge } from "./state.js";

/**
 * @typedef {import("./types.js").EventRow} EventRow
 * @typedef {import("./types.js").TaskDetail} TaskDetail
 * @typedef {import("./types.js").TaskRow} TaskRow
 */

const FEED = 1000; // ms between two changes of the feed, which screen readers read out
const RUN = 4000; // characters of a run of chunks at most: the last ones

/** @param {EventRow[]} run @returns {EventRow} the first that doesn't fit the specification, or else the first checked */
const judged = (run) => run.find((event) => event.problems?.length) ?? run.find((event) => event.checked) ?? run[0];

/**
 * Events as lines of a feed: a run of chunks is one line that grows.
 * @param {EventRow[]} events @param {number} skipped
 * @returns {{key: string, at: string, generation: string, first: EventRow, judged: EventRow, text: string}[]}
 */
export function lines(events, skipped) {
  /** @type {EventRow[][]} */
  const runs = [];
  for (const event of events) {
    const last = runs.at(-1);
    if (last && event.kind === "artifact" && last[0].kind === "artifact") last.push(event);
    else runs.push([event]);
  }
  return runs.map((run, index) => ({
    key: index === 0 && skipped ? "head" : `${run[0].offset}`, // a head that loses events is still the same line
    at: run.length > 1 ? `${run[0].offset}–${run[run.length - 1].offset}` : `${run[0].offset}`,
    generation: [run[0], ...run.slice(-1)].map((event) => event.generation || "").join("–").replace(/^(\d*)–\1$/, "$1"),
    first: run[0],
    judged: judged(run),
    text: run.map((event) => event.text).join("").slice(-RUN),
  }));
}

function makeLine() {
  const place = h("button", { type: "button", class: "at" });
  const [generation, kind, fit, words] = ["generation", "kind", "fit", "text"].map((each) => h("span", { class: each }));
  return h("li", {}, h("time"), generation, place, kind, fit, words);
}
/** @param {any} node @param {ReturnType<typeof lines>[number]} line */
function paintLine(node, { at, generation, first, judged: checked, text }) {
  const [time, number, place, kind, fit, words] = node.children;
  setTime(time, first.time);
  say(number, generation);
  put(number, "title", `generation ${generation}`);
  say(place, `#${at}`);
  put(place, "aria-label", `Message #${at}`);
  put(place, "data-offset", `${first.offset}`);
  const problems = checked.problems ?? [];
  say(fit, problems.length ? "⚠" : checked.checked ? "✓" : "");
  const verdict = problems.length ? `against the specification: ${problems.join("; ")}` : "fits the specification";
  put(fit, "title", checked.checked ? verdict : "");
  put(fit, "role", checked.checked ? "img" : "presentation");
  put(fit, "aria-label", checked.checked ? verdict : "");
  put(fit, "data-fits", `${!problems.length}`);
  say(kind, first.state ? label(first.state) : first.kind);
  put(node, "data-state", first.state);
  say(words, text);
}

/**
 * @param {object} view
 * @param {string} view.id element id of the panel
 * @param {AbortSignal} view.signal
 * @param {(id: string, text: string, says: (text: string) => void, sent: () => void) => void} view.answer
 * @param {(id: string, offset: number) => void} view.inspect shows an event as the protocol's message
 * @param {{node: HTMLElement, paint: (full: TaskDetail | null) => void}[]} view.panes
 * @returns `node`, its two buttons, and `paint`, which shows a task, or nothing
 */
export function panel({ id: name, signal, answer, inspect, panes }) {
  /** @type {Map<string, string>} answers begun */
  const drafts = new Map();
  let shown = "";
  let fed = -FEED;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const mark = badge();
  const title = h("strong");
  const where = h("span", { class: "where" });
  const cancel = button("cancel", "Cancel");
  const close = button("close", "Close");
  const question = h("label", { for: `${name}-answer` });
  const box = h("textarea", { id: `${name}-answer`, rows: "2" });
  const send = h("button", { type: "submit", class: "main" }, "Answer");
  const choices = h("div", { class: "choices", role: "group", "aria-label": "Answers" });
  const form = h("form", {}, question, choices, h("div", {}, box, send));
  const skips = h("p", { class: "skips" });
  const feed = h("ol");
  const live = { role: "log", "aria-live": "polite", "aria-relevant": "additions", tabindex: "0" };
  const log = h("div", { class: "feed", ...live }, skips, feed);
  const about = h("header", {}, mark, title, where, cancel, close);
  const node = h("section", { class: "detail", id: name }, about, form, log, ...panes.map((pane) => pane.node));

  function submit() {
    const id = shown;
    if (!box.value.trim() || send.getAttribute("aria-disabled") === "true") return;
    const says = (/** @type {string} */ text) => {
      say(send, text);
      put(send, "aria-disabled", `${text !== "Answer"}`); // `disabled` would throw the focus away
    };
    answer(id, box.value, says, () => {
      drafts.delete(id);
      if (shown === id) box.value = "";
    });
  }
  const makeChoice = (/** @type {string} */ text) => h("button", { type: "button" }, text);
  function paintFeed(/** @type {TaskDetail} */ { events, skipped }) {
    fed = performance.now();
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
    skips.hidden = !skipped;
    say(skips, `${skipped.toLocaleString("en")} earlier events`);
    patch(feed, lines(events, skipped), (line) => line.key, makeLine, paintLine);
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
  function paint(/** @type {TaskRow | undefined} */ task, /** @type {TaskDetail | null} */ full, alive = true) {
    clearTimeout(timer);
    node.hidden = !task;
    if (!task) return;
    if (shown !== task.id) {
      shown = task.id;
      fed = -FEED;
      feed.replaceChildren();
      skips.hidden = true;
      box.value = drafts.get(shown) ?? "";
    }
    put(node, "aria-label", `Task ${short(task.id)} of ${task.agent}`);
    put(log, "aria-label", `Events of task ${short(task.id)}`);
    setBadge(mark, task.state);
    say(title, task.agent);
    const context = task.id.startsWith(task.context_id) ? "" : ` · context ${task.context_id}`; // it often is in the id
    say(where, `task ${task.id}${context}`);
    say(close.lastChild, " the task's events");
    form.hidden = !["INPUT_REQUIRED", "AUTH_REQUIRED"].includes(task.state) || !alive;
    say(question, task.question || "The task asks for input.");
    choices.hidden = !task.choices?.length; // what was stored before there were any has none
    patch(choices, task.choices ?? [], (text) => text, makeChoice, () => {});
    for (const pane of panes) pane.paint(full);
    const rest = fed + FEED - performance.now();
    if (full && rest > 0) timer = setTimeout(paintFeed, rest, full);
    else if (full) paintFeed(full);
  }

  box.addEventListener("input", () => drafts.set(shown, box.value), { signal });
  box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // Enter also ends a Chinese word
    event.preventDefault();
    submit();
  }, { signal });
  choices.addEventListener("click", (/** @type {any} */ { target }) => {
    const text = target.closest("button")?.dataset.key;
    if (!text) return;
    box.value = text;
    submit();
  }, { signal });
  feed.addEventListener("click", (/** @type {any} */ { target }) => {
    const offset = target.closest(".at")?.dataset.offset;
    if (offset) inspect(shown, Number(offset));
  }, { signal });
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    submit();
  }, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  return { node, cancel, close, paint };
}
