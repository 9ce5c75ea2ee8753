/**
 * The lanes of a task: who did what in which order, as bars over positions; the steps as a tree; one of them whole.
 *
 * A pane that a view mounts once: `node` goes into the page, `paint` shows a snapshot. The slider replays: it reads
 * what the snapshot has and asks nobody. The bars are for eyes and the mouse, the table says the same to all.
 *
 * @typedef {import("./types.js").LanesSnapshot} LanesSnapshot
 * @typedef {import("./types.js").StepRow} StepRow
 */
import { button, h, patch, put, say, step } from "./live.js";

const STEP_HEADS = ["Step", "Who", "Came of it", "Tokens", "Time"];
const TICK = 350; // ms between two positions while it plays

/**
 * A step as it stood when the records up to `position` were there: undefined before it began.
 * @param {StepRow} row @param {number} position @returns {StepRow | undefined}
 */
export function stepAt(row, position) {
  if (row.began >= position) return undefined;
  if (row.ended >= 0 && row.ended < position) return row;
  return { ...row, state: "running", ended: -1, output: "", seconds: null, tokens: 0, cost: null };
}

/** @param {number | null} seconds @returns {string} */
export const took = (seconds) =>
  seconds === null ? "" : seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;

/** @param {Pick<LanesSnapshot, "agent" | "steps" | "skipped" | "lanes" | "tokens" | "cost">} shot @returns {string} */
export function laneSummary({ agent, steps, skipped, lanes, tokens, cost }) {
  const count = steps.length + skipped;
  const parts = [agent, `${count} ${count === 1 ? "step" : "steps"}`];
  parts.push(`${lanes.length} ${lanes.length === 1 ? "lane" : "lanes"}`);
  if (tokens) parts.push(`${tokens.toLocaleString("en")} tokens`);
  if (cost !== null) parts.push(`$${cost.toFixed(4)}`);
  return parts.filter(Boolean).join(" · ");
}

/**
 * @param {object} view
 * @param {string} view.id element id that those inside begin with
 * @param {AbortSignal} view.signal
 * @param {(id: string | null) => void} view.select asks for the whole of a step
 * @param {(id: string, output: string | null, says: (text: string) => void) => void} view.rerun
 * @returns `node`, and `paint`, which shows a snapshot
 */
export function lanesPane({ id: name, signal, select, rerun }) {
  /** @type {LanesSnapshot | null} */
  let shot = null;
  let position = -1; // -1 goes with the newest record
  let active = "";
  let edited = "";
  /** @type {string | null | undefined} the step that was asked for and is in no snapshot yet */
  let wanted;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let playing;

  const about = h("span", { class: "count" });
  const slider = h("input", { type: "range", id: `${name}-at`, min: "0", step: "1" });
  const at = h("output", { for: slider.id, class: "reached" });
  const play = button("play", "Play");
  const text = h("label", { for: slider.id }, "Replay");
  const bar = h("div", { class: "replay" }, text, slider, at, play);
  const chart = h("div", { class: "chart", "aria-hidden": "true" });
  const heads = STEP_HEADS.map((each) => h("th", { scope: "col", class: each.toLowerCase().replaceAll(" ", "-") }, each));
  const body = h("tbody");
  const caption = h("caption", { class: "unseen" }, "Steps, in the order in which they began");
  const table = h("table", {}, caption, h("thead", {}, h("tr", {}, ...heads)), body);
  const more = h("p", { class: "empty" });
  const rows = h("div", { class: "rows" }, table, more);

  const title = h("strong");
  const close = button("close", "Close");
  const asked = h("pre", { tabindex: "0", "aria-label": "Input" });
  const came = h("textarea", { id: `${name}-out`, rows: "4", readonly: true });
  const cameLabel = h("label", { for: came.id }, "Output");
  const again = button("again main", "Re-run from here");
  const whole = h("section", { class: "whole", hidden: true, "aria-label": "The step" });
  whole.append(h("header", {}, title, close), h("span", { class: "label" }, "Input"), asked, cameLabel, came, h("div", {}, again));
  const node = h("section", { class: "lanes", "aria-label": "Steps" }, h("header", {}, about), bar, chart, rows, whole);

  const shown = () => (shot ? (position < 0 ? shot.length : Math.min(position, shot.length)) : 0);
  const chosen = () => (wanted === undefined ? (shot?.selected?.id ?? null) : wanted);
  const keyOf = (/** @type {any} */ target) => target.closest("[data-key]")?.dataset.key ?? "";
  const openers = () => /** @type {HTMLElement[]} */ ([...body.querySelectorAll(".open")]);

  function pick(/** @type {string | null} */ id) {
    wanted = id;
    edited = "";
    select(id);
    paint(shot);
  }
  function stop() {
    clearInterval(playing);
    playing = undefined;
    say(play.firstChild, "Play");
  }
  function tick() {
    if (!shot || shown() >= shot.length) return stop();
    position = shown() + 1;
    paint(shot);
  }

  function makeBar() {
    return h("i", { class: "bar" });
  }
  function paintBar(/** @type {any} */ bar, /** @type {StepRow} */ row) {
    const length = Math.max(1, shot?.length ?? 1);
    const end = row.ended < 0 ? shown() : row.ended + 1;
    bar.style.left = `${(100 * row.began) / length}%`;
    bar.style.width = `${Math.max(0.6, (100 * (end - row.began)) / length)}%`;
    put(bar, "data-state", row.state);
    put(bar, "data-kind", row.kind);
    put(bar, "title", `${row.name}: ${row.state}`);
    bar.classList.toggle("chosen", row.id === chosen());
  }
  function makeLane() {
    return h("div", { class: "lane" }, h("b"), h("div", { class: "track" }));
  }
  function makeRow() {
    const open = h("button", { type: "button", class: "open" }, h("span", { class: "dot" }), h("span"), h("span", { class: "unseen" }));
    const cell = (/** @type {string} */ kind) => h("td", { class: kind });
    return h("tr", {}, h("th", { scope: "row" }, open), cell("who"), cell("came-of-it"), cell("tokens"), cell("time"));
  }
  function paintRow(/** @type {any} */ node, /** @type {StepRow} */ row) {
    const [{ firstChild: open }, who, out, tokens, time] = node.children;
    node.firstChild.style.paddingLeft = `${10 + 14 * row.depth}px`;
    put(node, "data-state", row.state);
    say(open.children[1], row.name);
    say(open.lastChild, `, ${row.kind}, ${row.state}`);
    put(open, "aria-expanded", `${row.id === chosen()}`);
    put(open, "tabindex", row.id === active ? "0" : "-1");
    put(node, "title", `${row.topic}@${row.offset}${row.until < 0 ? "" : `–${row.until}`}`);
    say(who, row.model ? `${row.lane} (${row.model})` : row.lane);
    say(out, row.output || (row.state === "running" ? "…" : ""));
    say(tokens, row.tokens ? row.tokens.toLocaleString("en") : "");
    say(time, took(row.seconds));
  }
  function paintWhole(/** @type {StepRow[]} */ steps) {
    const detail = shot?.selected?.id === chosen() ? shot?.selected : null;
    const row = steps.find((each) => each.id === chosen());
    whole.hidden = !row;
    if (!row) return;
    say(title, `${row.name} · ${row.state}`);
    say(close.lastChild, " the step");
    say(asked, detail?.input ?? row.input);
    if (document.activeElement !== came && !edited) came.value = detail?.output ?? row.output;
    came.toggleAttribute("readonly", !detail?.can_rerun);
    again.hidden = !detail?.can_rerun;
  }
  function paint(/** @type {LanesSnapshot | null} */ next) {
    if (next?.task !== shot?.task) {
      stop();
      [position, edited, wanted] = [-1, "", undefined]; // another task's: nothing of the former one's stays
    }
    shot = next;
    node.hidden = !shot;
    if (!shot) return;
    if (wanted === (shot.selected?.id ?? null)) wanted = undefined;
    say(about, laneSummary(shot));
    put(slider, "max", `${shot.length}`);
    if (slider.value !== `${shown()}`) slider.value = `${shown()}`;
    say(at, `${shown()} of ${shot.length} records`);
    const steps = /** @type {StepRow[]} */ (shot.steps.map((row) => stepAt(row, shown())).filter(Boolean));
    if (!steps.some((row) => row.id === active)) active = steps[0]?.id ?? "";
    patch(chart, shot.lanes, (lane) => lane.name, makeLane, (line, lane) => {
      say(line.firstChild, lane.name);
      put(line.firstChild, "data-kind", lane.kind);
      patch(line.lastChild, steps.filter((row) => row.lane === lane.name), (row) => row.id, makeBar, paintBar);
    });
    patch(body, steps, (row) => row.id, makeRow, paintRow);
    more.hidden = !shot.skipped;
    say(more, `${shot.skipped.toLocaleString("en")} later steps are left out: %task steps has them all`);
    paintWhole(steps);
  }

  const on = (/** @type {any} */ target, /** @type {string} */ kind, /** @type {(event: any) => void} */ act) =>
    target.addEventListener(kind, act, { signal });
  on(slider, "input", () => {
    stop();
    position = Number(slider.value) >= (shot?.length ?? 0) ? -1 : Number(slider.value);
    paint(shot);
  });
  on(play, "click", () => {
    if (playing) return stop();
    if (shown() >= (shot?.length ?? 0)) position = 0;
    say(play.firstChild, "Pause");
    playing = setInterval(tick, TICK);
  });
  on(node, "click", ({ target }) => {
    const id = target.closest(".open, .bar") ? keyOf(target) : "";
    if (id) pick(chosen() === id ? null : id);
  });
  on(close, "click", () => {
    const back = openers().find((each) => keyOf(each) === chosen());
    pick(null);
    back?.focus();
  });
  on(came, "input", () => (edited = came.value));
  on(again, "click", () => {
    const id = chosen();
    if (!id || again.getAttribute("aria-disabled") === "true") return;
    const says = (/** @type {string} */ words) => {
      say(again.firstChild, words);
      put(again, "aria-disabled", `${words !== "Re-run from here"}`);
    };
    says("forking…");
    rerun(id, edited || null, says);
  });
  on(body, "focusin", ({ target }) => (active = keyOf(target)));
  on(body, "keydown", (event) => {
    const keys = openers();
    const to = step(event.key, keys.findIndex((each) => keyOf(each) === keyOf(event.target)), keys.length);
    if (to === null) return;
    event.preventDefault();
    active = keyOf(keys[to]);
    paint(shot);
    keys[to]?.focus();
  });
  on(node, "keydown", (event) => {
    if (event.key !== "Escape" || whole.hidden || event.isComposing) return;
    event.stopPropagation();
    close.click();
  });
  signal.addEventListener("abort", stop);
  return { node, paint };
}
