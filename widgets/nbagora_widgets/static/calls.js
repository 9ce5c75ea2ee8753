/** Who called whom: the tasks of the selected one's trace, each below its caller. */
import { h, patch, put, say, short } from "./live.js";
import { badge, setBadge } from "./state.js";

/**
 * @param {(task: string) => void} select shows another task
 * @param {AbortSignal} signal
 * @returns a pane: `node`, and `paint`, which shows a task's trace
 */
export function callsPane(select, signal) {
  const title = h("summary");
  const list = h("ul", { class: "calls" });
  const node = h("details", { class: "pane", open: true }, title, list);
  list.addEventListener("click", (/** @type {any} */ { target }) => {
    const key = target.closest("button")?.parentNode.dataset.key;
    if (key) select(key);
  }, { signal });

  /** @param {import("./types.js").TaskDetail | null} full */
  function paint(full) {
    const calls = full?.calls ?? [];
    node.hidden = !calls.length;
    say(title, `Who called whom: ${calls.length} tasks of one trace`);
    const make = () => h("li", {}, badge(), h("button", { type: "button" }));
    patch(list, calls, (call) => call.id, make, (/** @type {any} */ row, call) => {
      const [state, name] = row.children;
      setBadge(state, call.state);
      say(name, `${call.agent} ${short(call.id)}`);
      put(name, "aria-current", `${call.id === full?.row.id}`);
      put(row, "style", `margin-left: ${call.depth * 1.5}em`);
      put(row, "aria-label", `${call.agent}, task ${short(call.id)}, level ${call.depth + 1}`);
    });
  }
  return { node, paint };
}
