/** One thing of the registry: its versions with labels and shares, what moves a label, its endpoints, a difference. */
import { button, h, patch, put, say, setTime } from "./live.js";
import { badge, setBadge } from "./state.js";

/**
 * @typedef {import("./types.js").ThingDetail} ThingDetail
 * @typedef {import("./types.js").VersionRow} VersionRow
 * @typedef {import("./types.js").EndpointRow} EndpointRow
 * @typedef {import("./types.js").LabelRow} LabelRow
 */

const told = (/** @type {number | null} */ share) => (share === null ? "" : `${Number(share.toPrecision(3))} %`);
const column = (/** @type {string} */ text) => h("th", { scope: "col", class: text.toLowerCase() }, text);
const plain = (/** @type {string} */ kind, /** @type {any[]} */ ...inside) => h("td", { class: kind }, ...inside);

/** A table with a caption that is seen. @param {string} text @param {string[]} names */
function titled(text, names) {
  const body = h("tbody");
  return { node: h("table", {}, h("caption", {}, text), h("thead", {}, h("tr", {}, ...names.map(column))), body), body };
}

const makeVersion = () =>
  h("tr", {}, h("th", { scope: "row" }, h("code")), plain("labels"), plain("state"), plain("share"),
    plain("published", h("time")), plain("hash", h("code")));
/** @param {any} node @param {VersionRow} row */
function paintVersion(node, row) {
  const [{ firstChild: version }, labels, state, share, { firstChild: time }, { firstChild: hash }] = node.children;
  say(version, row.version);
  patch(labels, [...row.labels], (label) => label, () => h("span", { class: "chip" }), (chip, label) => say(chip, label));
  say(state, row.state);
  say(share, told(row.share));
  setTime(time, row.published);
  say(time, new Date(row.published * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }));
  say(hash, row.hash);
}

const makePlace = () =>
  h("tr", {}, plain("state-of", badge()), h("th", { scope: "row" }, h("code")), plain("transport"), plain("version"),
    plain("weight"), plain("reason"));
/** @param {any} node @param {EndpointRow} row */
function paintPlace(node, row) {
  const [state, { firstChild: url }, transport, version, weight, reason] = node.children;
  setBadge(state.firstChild, row.state);
  say(url, row.url);
  put(url, "title", row.url);
  say(transport, row.transport);
  say(version, row.version);
  say(weight, `${row.weight}${row.zone ? `, ${row.zone}` : ""}`);
  say(reason, row.reason);
}

/** Gives a select one option for each text, and keeps its value. @param {any} node @param {string[]} texts */
function offer(node, texts) {
  const value = node.value;
  if ([...node.options].map((/** @type {any} */ one) => one.value).join() !== texts.join()) {
    node.replaceChildren(...texts.map((text) => h("option", { value: text }, text)));
    if (texts.includes(value)) node.value = value;
  }
}

/**
 * @param {object} view
 * @param {string} view.id element id of the panel
 * @param {AbortSignal} view.signal
 * @param {(command: object, done?: (ok: boolean) => void) => void} view.ask
 * @param {() => void} view.close
 * @returns `node`, and `paint`, which shows a thing, or nothing
 */
export function thing({ id, signal, ask, close }) {
  let name = "";
  /** @type {ThingDetail | null} */
  let now = null;
  const title = h("strong");
  const owner = h("span", { class: "where" });
  const shut = button("close", "Close");
  const about = h("p", { class: "about" });
  const rule = h("p", { class: "rule" });
  const handles = h("div", { class: "handles", role: "group", "aria-label": "Labels" });
  const versions = titled("Versions", ["Version", "Labels", "State", "Share", "Published", "Hash"]);
  const places = titled("Endpoints", ["State", "URL", "Transport", "Version", "Weight", "Reason"]);
  const nowhere = h("p", { class: "empty" }, "It answers nowhere.");
  const before = h("select", { "aria-label": "From version" });
  const after = h("select", { "aria-label": "to version" });
  const compare = h("button", { type: "button", class: "compare" }, "Compare");
  const lines = h("ol", { class: "lines" });
  const same = h("p", { class: "empty" });
  const pair = h("div", { class: "pair" }, h("span", {}, "Where"), before, h("span", {}, "and"), after, h("span", {}, "differ"), compare);
  const difference = h("section", { class: "difference", "aria-label": "Difference" }, pair, lines, same);
  const inner = h("div", { class: "inner" }, about, rule, handles, versions.node, places.node, nowhere, difference);
  const node = h("section", { class: "thing", id, "aria-label": "The thing that is looked at", hidden: true },
    h("header", {}, title, owner, shut), inner);

  const on = (/** @type {any} */ target, /** @type {string} */ kind, /** @type {(event: any) => void} */ act) =>
    target.addEventListener(kind, act, { signal });
  on(shut, "click", close);
  on(compare, "click", () => ask({ do: "compare", before: before.value, after: after.value }));
  on(handles, "change", ({ target }) => {
    const label = target.closest(".handle").dataset.key;
    ask({ do: "point", name, label, version: target.value }, (ok) => {
      if (!ok) target.value = now?.labels.find((one) => one.label === label)?.version ?? "";
    });
  });
  on(handles, "click", ({ target }) => {
    const back = target.closest(".back");
    if (back) ask({ do: "roll-back", name, label: back.closest(".handle").dataset.key });
  });

  /** @param {LabelRow} row */
  function makeHandle({ label }) {
    const select = h("select", { id: `${id}-${label}` });
    const back = button("back", "Roll back");
    say(back.lastChild, ` ${label}`);
    return h("div", { class: "handle" }, h("label", { for: select.id, class: "chip" }, label), select, back);
  }
  return {
    node,
    /** @param {ThingDetail | null} detail @param {boolean} alive */
    paint(detail, alive) {
      node.hidden = !detail;
      now = detail;
      if (!detail) return;
      const other = name !== detail.name;
      name = detail.name;
      say(title, detail.name);
      say(owner, `${detail.owner}'s`);
      say(about, detail.description);
      say(rule, detail.rule);
      const numbers = detail.versions.map((one) => one.version);
      const led = detail.versions.filter((one) => one.state === "published" || one.state === "deprecated");
      patch(handles, [...detail.labels], (one) => one.label, makeHandle, (handle, one) => {
        const [, select, back] = handle.children;
        offer(select, [...new Set([one.version, ...led.map((each) => each.version)])]);
        if (select !== document.activeElement) select.value = one.version;
        select.disabled = back.disabled = !alive;
      });
      patch(versions.body, [...detail.versions], (one) => one.version, makeVersion, paintVersion);
      patch(places.body, [...detail.endpoints], (one) => one.id, makePlace, paintPlace);
      places.node.hidden = !detail.endpoints.length;
      nowhere.hidden = detail.endpoints.length > 0;
      for (const select of [before, after]) offer(select, numbers);
      if (other) [after.value, before.value] = [numbers[0], numbers[1] ?? numbers[0]];
      difference.hidden = numbers.length < 2;
      compare.disabled = !alive;
      const places_ = detail.difference ? [...detail.difference.lines] : [];
      patch(lines, places_.map((text, at) => ({ text, at })), ({ at }) => `${at}`, () => h("li"), (item, { text }) => say(item, text));
      const more = detail.difference?.more ? `and ${detail.difference.more} more` : "";
      same.hidden = !detail.difference || (places_.length > 0 && !more);
      say(same, more || "They are equal.");
    },
  };
}
