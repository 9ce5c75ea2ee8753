/**
 * The registry view: a search with facets, the versions, labels and endpoints of one thing, and the newest changes.
 *
 * As in every view, the kernel's `snapshot` is the truth and is painted whole, by key; texts of cards reach the page as
 * text nodes alone. `render` returns its clean-up.
 *
 * @typedef {import("./types.js").RegistrySnapshot} RegistrySnapshot
 * @typedef {import("./types.js").ChangeRow} ChangeRow
 * @typedef {import("./types.js").FoundRow} FoundRow
 * @typedef {import("./types.js").Facet} Facet
 */
import { Link, button, dialogue, excuse, h, patch, put, say, setTime, silent, step } from "./live.js";
import { badge, setBadge } from "./state.js";
import { thing } from "./thing.js";

const PAUSE = 250; // ms after the last key until words are searched for
const NOUNS = /** @type {Record<string, string>} */ ({ agent: "agents", mcp: "MCP servers", prompt: "prompts" });

/** @param {Pick<RegistrySnapshot, "total" | "rows" | "kind">} shot @returns {string} `the first 50 of 1,234 agents` */
export function tally({ total, rows, kind }) {
  const noun = total === 1 ? NOUNS[kind].slice(0, -1) : NOUNS[kind];
  const all = `${total.toLocaleString("en")} ${noun}`;
  return rows.length < total ? `the first ${rows.length} of ${all}` : all;
}

/** @param {string[]} filters @param {string} one @returns {string[]} with it, or without it where it was there */
export const toggled = (filters, one) =>
  filters.includes(one) ? filters.filter((each) => each !== one) : [...filters, one];

const cellOf = (/** @type {string} */ kind, /** @type {any[]} */ ...inside) => h("td", { class: kind }, ...inside);

function makeFound() {
  const open = button("open", "");
  const name = h("th", { scope: "row" }, open);
  return h("tr", {}, cellOf("health", badge()), name, cellOf("version", h("code")), cellOf("description"), cellOf("places"));
}
function makeFacet() {
  return h("fieldset", { class: "facet" }, h("legend"), h("div", { class: "values" }));
}
function makeChange() {
  const parts = ["revision", "type", "name", "text", "who"].map((kind) => h("span", { class: kind }));
  return h("li", {}, h("time"), ...parts);
}
/** @param {any} node @param {ChangeRow} change */
function paintChange(node, change) {
  const [time, revision, type, name, text, who] = node.children;
  setTime(time, change.time);
  say(revision, `#${change.revision}`);
  say(type, change.type);
  say(name, change.name ? `${change.name} ${change.version}`.trim() : "");
  say(text, change.text);
  say(who, change.who);
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const controller = new AbortController();
  const { signal } = controller;
  const id = `nbagora-${Math.random().toString(36).slice(2)}`;
  /** @type {RegistrySnapshot} */
  let shot = model.get("snapshot");
  /** @type {string | null | undefined} the choice that was asked for and is in no snapshot yet */
  let wanted;
  let active = ""; // the row that Tab leads to
  let frame = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

  const count = h("span", { class: "count", role: "status" });
  const status = h("span", { class: "lab" });
  const kind = h("select", { "aria-label": "Kind" });
  for (const [value, text] of Object.entries(NOUNS)) kind.append(h("option", { value }, text));
  const box = h("input", { type: "search", class: "words", placeholder: "words, in any script", "aria-label": "Search for" });
  box.value = shot.text;
  const notice = h("p", { class: "notice", role: "alert", hidden: true });
  const facets = h("div", { class: "facets", role: "group", "aria-label": "Narrow the search" });
  const heads = ["Health", "Name", "Version", "Description", "Endpoints"].map((text) =>
    h("th", { scope: "col", class: text.toLowerCase() }, text),
  );
  const body = h("tbody");
  const caption = h("caption", { class: "unseen" }, "What is found, the best first");
  const table = h("table", {}, caption, h("thead", {}, h("tr", {}, ...heads)), body);
  const empty = h("p", { class: "empty" });
  const results = h("div", { class: "rows", role: "region", "aria-label": "Results", tabindex: "0" }, table, empty);
  const detail = thing({ id: `${id}-thing`, signal, ask, close: shut });
  const feed = h("ol");
  const live = { role: "log", "aria-live": "polite", "aria-label": "Changes", tabindex: "0" };
  const changes = h("section", { class: "changes", "aria-label": "Changes" }, h("header", {}, h("strong", {}, "Changes")),
    h("div", { class: "feed", ...live }, feed));
  const bar = h("header", {}, h("strong", {}, "Registry"), count, status, h("div", { class: "filters" }, kind, box));
  const root = h("section", { class: "nbagora-view nbagora-registry", "aria-label": "Registry" }, bar, notice, facets, results,
    detail.node, changes);
  el.append(root);

  const link = new Link(model, signal, schedule);
  const dialog = dialogue(link, notice, schedule);
  const dead = () => silent(shot.lab) || link.state === "gone";
  const chosen = () => (wanted === undefined ? (shot.selected?.name ?? null) : wanted);
  const keyOf = (/** @type {any} */ node) => node.closest("tr")?.dataset.key ?? "";
  const openers = () => /** @type {HTMLElement[]} */ ([...body.querySelectorAll(".open")]);

  function ask(/** @type {object} */ command, done = (/** @type {boolean} */ _ok) => {}) {
    if (!dead()) dialog.ask(command, done);
  }
  function search(/** @type {readonly string[]} */ filters) {
    clearTimeout(typing);
    ask({ do: "search", kind: kind.value, text: box.value, filters });
  }
  function choose(/** @type {string | null} */ name) {
    wanted = name;
    ask({ do: "choose", name }, (ok) => {
      if (!ok) wanted = undefined;
    });
    paint();
  }
  function shut() {
    const back = openers().find((node) => keyOf(node) === chosen());
    choose(null);
    back?.focus();
  }

  function paintFound(/** @type {any} */ node, /** @type {FoundRow} */ row) {
    const [health, { firstChild: open }, { firstChild: version }, description, places] = node.children;
    setBadge(health.firstChild, row.health);
    say(open.firstChild, row.name);
    put(open, "aria-controls", detail.node.id);
    put(open, "aria-expanded", `${chosen() === row.name}`);
    put(open, "tabindex", row.name === active ? "0" : "-1");
    say(version, row.version);
    say(description, row.why ? `${row.description} (${row.why})` : row.description);
    put(description, "title", description.textContent);
    say(places, `${row.endpoints}`);
  }
  function paintFacet(/** @type {any} */ node, /** @type {Facet} */ facet) {
    const [legend, values] = node.children;
    say(legend, facet.field);
    patch(values, [...facet.values], (one) => one.value,
      () => h("label", {}, h("input", { type: "checkbox" }), h("span", {}), h("span", { class: "number" })),
      (label, one) => {
        const [check, text, number] = label.children;
        check.checked = one.chosen;
        check.dataset.filter = `${facet.field}=${one.value}`;
        check.disabled = dead();
        say(text, one.value);
        say(number, `${one.count}`);
      });
  }
  function paint() {
    frame = 0;
    shot = model.get("snapshot");
    if (wanted === (shot.selected?.name ?? null)) wanted = undefined;
    const keys = shot.rows.map((row) => row.name);
    if (!keys.includes(active)) active = keys[0] ?? "";
    const unsure = link.state === "waiting" ? "no answer yet: a cell is running, or the kernel is gone" : shot.lab;
    say(count, tally(shot));
    say(status, dead() ? excuse(shot.lab) : unsure);
    put(status, "data-link", dead() ? "gone" : link.state);
    for (const node of [kind, box]) node.disabled = dead();
    if (kind !== document.activeElement) kind.value = shot.kind;
    if (box !== document.activeElement) box.value = shot.text;
    if (shot.problem) dialog.tell(shot.problem);
    patch(facets, [...shot.facets], (facet) => facet.field, makeFacet, paintFacet);
    facets.hidden = !shot.facets.length;
    patch(body, [...shot.rows], (row) => row.name, makeFound, paintFound);
    table.hidden = !shot.rows.length;
    empty.hidden = shot.rows.length > 0;
    say(empty, shot.text || shot.filters.length ? "Nothing fits." : "Nothing is published yet.");
    detail.paint(shot.selected?.name === chosen() ? shot.selected : null, !dead());
    patch(feed, [...shot.changes], (change) => `${change.revision}`, makeChange, paintChange);
  }
  function schedule() {
    frame ||= requestAnimationFrame(paint);
  }

  const on = (/** @type {any} */ node, /** @type {string} */ type, /** @type {(event: any) => void} */ act) =>
    node.addEventListener(type, act, { signal });
  on(kind, "change", () => search([]));
  on(box, "input", (event) => {
    clearTimeout(typing);
    if (!event.isComposing) typing = setTimeout(() => search(shot.filters), PAUSE);
  });
  on(box, "compositionend", () => search(shot.filters)); // a Chinese word ends here
  on(facets, "change", ({ target }) => search(toggled([...shot.filters], target.dataset.filter)));
  on(body, "click", ({ target }) => {
    const name = keyOf(target);
    if (name && (target.closest(".open") || !`${getSelection()}`)) choose(chosen() === name ? null : name);
  });
  on(body, "focusin", ({ target }) => {
    active = keyOf(target);
    schedule();
  });
  on(body, "keydown", (event) => {
    const to = step(event.key, shot.rows.findIndex((row) => row.name === keyOf(event.target)), shot.rows.length);
    if (to === null) return;
    event.preventDefault();
    openers()[to]?.focus();
  });
  on(root, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // a notebook's command mode would take plain keys for its own
    if (event.key === "Enter" && event.target === box && !event.isComposing) search(shot.filters);
    if (event.key === "Escape" && !detail.node.hidden && !event.isComposing) shut();
  });
  model.on("change:snapshot", schedule);
  signal.addEventListener("abort", () => {
    model.off("change:snapshot", schedule);
    clearTimeout(typing);
    cancelAnimationFrame(frame);
    root.remove();
  });
  paint();
  return () => controller.abort();
}

export default { render };
