/** A task's or a topic's state for eyes and ears: an icon and a word, so that colour never stands alone. */
import { h, icon, put, say } from "./live.js";

const RING = "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2Z";
/** @type {Record<string, string>} the path of each state's icon */
const ICONS = {
  SUBMITTED: `${RING}M8 4.8V8l2.2 1.4`,
  WORKING: "M8 2a6 6 0 1 1-6 6",
  INPUT_REQUIRED: "M2 3h12v8H8.5l-3 2.6V11H2ZM5 7h.01M8 7h.01M11 7h.01",
  AUTH_REQUIRED: "M3.5 7.5h9v6h-9zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
  COMPLETED: `${RING}M5.2 8.3l2 2 3.7-4.2`,
  FAILED: `${RING}M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4`,
  CANCELED: `${RING}M3.8 12.2l8.4-8.4`,
  REJECTED: `${RING}M5.2 8h5.6`,
};
/** @type {Record<string, string>} the same of a topic for a group */
const TOPIC_ICONS = {
  ready: `${RING}M6.5 5.2v5.6L11 8Z`,
  leased: "M3.5 7.5h9v6h-9zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
  suspended: `${RING}M6.4 5.6v4.8M9.6 5.6v4.8`,
  "back-off": `${RING}M8 4.8V8l2.2 1.4`,
  drained: `${RING}M5.2 8.3l2 2 3.7-4.2`,
  idle: RING,
};

/** @type {Record<string, string>} the same of a thing of the registry, and of its endpoints */
const PLACE_ICONS = {
  up: `${RING}M5.2 8.3l2 2 3.7-4.2`,
  draining: `${RING}M8 5v5.6M5.6 8.4L8 10.8l2.4-2.4`,
  down: `${RING}M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4`,
  none: `${RING}M5.2 8h5.6`,
};

export const STATES = Object.keys(ICONS);
export const TOPIC_STATES = Object.keys(TOPIC_ICONS);

/** @param {string} state */
export const label = (state) => state.toLowerCase().replaceAll("_", " ");

export const badge = () => h("span", { class: "state" }, icon(), h("span"));

/** @param {any} node made by `badge` @param {string} state */
export function setBadge(node, state) {
  put(node, "data-state", state);
  put(node.querySelector("path"), "d", ICONS[state] ?? TOPIC_ICONS[state] ?? PLACE_ICONS[state] ?? RING);
  say(node.lastChild, label(state));
}
