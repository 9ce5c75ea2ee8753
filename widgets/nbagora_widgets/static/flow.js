/**
 * The view of one task's steps: the lanes pane, and the link to the kernel around it.
 */
import { lanesPane } from "./lanes.js";
import { Link, dialogue, h, put, say } from "./live.js";

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const controller = new AbortController();
  const { signal } = controller;
  const status = h("span", { class: "lab", role: "status" });
  const notice = h("p", { class: "notice", role: "alert", hidden: true });
  const bar = h("header", {}, h("strong", {}, "Steps"), status);
  let frame = 0;

  const pane = lanesPane({
    id: `nbagora-${Math.random().toString(36).slice(2)}`,
    signal,
    select: (id) => ask({ do: "step", id }),
    rerun: (id, output, says) => ask({ do: "rerun", id, output }, () => says("Re-run from here")),
  });
  const root = h("section", { class: "nbagora-view nbagora-lanes", "aria-label": "Steps of a task" }, bar, notice, pane.node);
  el.append(root);
  const link = new Link(model, signal, schedule);
  const dialog = dialogue(link, notice, schedule);

  function ask(/** @type {object} */ command, done = () => {}) {
    if (model.get("snapshot").lab === "stopped" || link.state === "gone") done();
    else dialog.ask(command, done);
  }
  function paint() {
    frame = 0;
    const shot = model.get("snapshot");
    const dead = shot.lab === "stopped" || link.state === "gone";
    const unsure = link.state === "waiting" ? "no answer yet: a cell is running, or the kernel is gone" : shot.lab;
    say(status, dead ? "the lab is not running" : unsure);
    put(status, "data-link", dead ? "gone" : link.state);
    pane.paint(shot);
  }
  function schedule() {
    frame ||= requestAnimationFrame(paint);
  }
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation(); // the notebook's command mode
  }, { signal });
  model.on("change:snapshot", schedule);
  signal.addEventListener("abort", () => {
    model.off("change:snapshot", schedule);
    cancelAnimationFrame(frame);
    root.remove();
  });
  paint();
  return () => controller.abort();
}

export default { render };
