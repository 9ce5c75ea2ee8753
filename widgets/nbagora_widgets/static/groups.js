/** The groups of a parent: where each stands on the topic that is shown, what locks it, and what is leased. */
import { clock, h, patch, put, say } from "./live.js";
import { badge, setBadge } from "./state.js";

/**
 * @typedef {import("./types.js").GroupRow} GroupRow
 * @typedef {import("./types.js").LeaseRow} LeaseRow
 */

const COLUMNS = ["Group", "State", "Next", "Lag", "Attempts", "Locked by"];

/** @param {LeaseRow} lease @returns {string} `c1, #3 and 4 more until 12:30:05` */
export function holder({ client, first, records, expires }) {
  const more = records > 1 ? ` and ${(records - 1).toLocaleString("en")} more` : "";
  return `${client}, #${first}${more} until ${clock(expires)}`;
}

/** @param {GroupRow} group @returns {string} `shared, 2 clients · 3 ready · 1 by quota held · 5 leased · …` */
export function counts(group) {
  const number = (/** @type {number} */ of) => of.toLocaleString("en");
  const parts = [
    `${group.mode}, ${number(group.clients)} ${group.clients === 1 ? "client" : "clients"}`,
    `${number(group.ready)} ready`,
    group.held && `held: ${group.held}`,
    `${number(group.leased)} leased`,
    `${number(group.received)} handed out, ${number(group.acked)} acked`,
    group.redelivered && `${number(group.redelivered)} redelivered`,
    group.dead && `${number(group.dead)} dead`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** @param {(topic: string) => void} show @param {AbortSignal} signal */
export function groupsPanel(show, signal) {
  const heads = COLUMNS.map((text) => h("th", { scope: "col", class: text.toLowerCase().replace(" ", "-") }, text));
  const caption = h("caption", { class: "unseen" }, "Groups");
  const body = h("tbody");
  const table = h("table", {}, caption, h("thead", {}, h("tr", {}, ...heads)), body);
  const leases = h("div", { class: "leases" });
  const node = h("section", { class: "groups", "aria-label": "Groups" }, table, leases);

  function makeGroup() {
    const cells = ["next", "lag", "attempts", "locked-by"].map((kind) => h("td", { class: kind }));
    const name = h("th", { scope: "row" }, h("strong"), h("span", { class: "counts" }));
    return h("tr", {}, name, h("td", { class: "state-of" }, badge()), ...cells);
  }
  function paintGroup(/** @type {any} */ row, /** @type {GroupRow} */ group) {
    const [name, state, next, lag, attempts, lock] = row.children;
    const here = group.committed !== null;
    say(name.firstChild, group.group);
    say(name.lastChild, counts(group));
    state.firstChild.hidden = !here;
    setBadge(state.firstChild, group.state);
    say(next, here ? `#${group.committed}` : "");
    say(lag, here ? group.lag.toLocaleString("en") : "");
    say(attempts, here && group.attempts ? `${group.attempts}` : "");
    say(lock, group.lock ? holder(group.lock) : "");
  }
  function makeLeases() {
    return h("details", {}, h("summary"), h("ul"), h("p"));
  }
  function paintLeases(/** @type {any} */ part, /** @type {GroupRow} */ group) {
    const [summary, list, rest] = part.children;
    const all = `${group.leased.toLocaleString("en")} ${group.leased === 1 ? "lease" : "leases"} of ${group.group}`;
    say(summary, all);
    const make = () => h("li", {}, h("button", { type: "button", class: "open" }), h("span"));
    patch(list, group.leases, (lease) => `${lease.topic} ${lease.first}`, make, (item, lease) => {
      say(item.firstChild, lease.topic);
      put(item.firstChild, "data-topic", lease.topic);
      say(item.lastChild, holder(lease));
    });
    rest.hidden = group.leased <= group.leases.length;
    say(rest, `and ${(group.leased - group.leases.length).toLocaleString("en")} more`);
  }
  leases.addEventListener("click", (/** @type {any} */ event) => {
    const topic = event.target.closest("button")?.dataset.topic;
    if (topic) show(topic);
  }, { signal });

  /** @param {GroupRow[]} groups */
  function paint(groups) {
    node.hidden = groups.length === 0;
    patch(body, groups, (group) => group.group, makeGroup, paintGroup);
    patch(leases, groups.filter((group) => group.leased), (group) => group.group, makeLeases, paintLeases);
  }
  return { node, paint };
}
