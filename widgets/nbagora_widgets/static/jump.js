/** The bar above the records: a slider over offset or time, a box that leads to an offset, and the newest records. */
import { button, clock, h, put, say } from "./live.js";

const STEPS = 1000; // of the slider over time

/** @param {number} first @param {number} next @param {number} top @returns {string} `#12 of #0–#99, 12:30:05` */
export function place(first, next, top, time = /** @type {number | undefined} */ (undefined)) {
  const at = `#${Math.max(first, Math.min(next - 1, Math.ceil(top)))} of #${first}–#${next - 1}`;
  return time === undefined ? at : `${at}, ${clock(time)}`;
}

/** @param {number} time @param {number} from @param {number} to @returns {number} where the slider over time stands */
export const stepOf = (time, from, to) => (to > from ? Math.round(((time - from) / (to - from)) * STEPS) : STEPS);

/**
 * @param {object} view
 * @param {string} view.id
 * @param {any} view.records a `recordList`
 * @param {AbortSignal} view.signal
 */
export function jumpBar({ id, records, signal }) {
  let [from, to] = [0, 0]; // times of the first and the last record
  let held = false; // whether somebody drags the slider
  const over = h("select", { "aria-label": "Slider over" }, ...["offset", "time"].map((n) => h("option", { value: n }, n)));
  const slider = h("input", { type: "range", "aria-label": "Place in the topic", id: `${id}-place` });
  const where = h("span", { class: "where" });
  const box = h("input", { type: "number", min: "0", placeholder: "go to #", "aria-label": "Go to offset" });
  const follow = button("follow", "Follow");
  const node = h("div", { class: "jump" }, over, slider, where, box, follow);

  function paint() {
    const { first, next, top, follows, time } = records.place();
    const last = Math.max(first, next - 1);
    const byTime = over.value === "time";
    put(slider, "min", `${byTime ? 0 : first}`);
    put(slider, "max", `${byTime ? STEPS : last}`);
    if (!held && !byTime) slider.value = `${follows ? last : Math.ceil(top)}`;
    if (!held && byTime) slider.value = `${follows ? STEPS : stepOf(time ?? from, from, to)}`;
    const shown = place(first, next, follows ? last : top, follows ? to : time);
    put(slider, "aria-valuetext", shown);
    say(where, shown);
    put(follow, "aria-pressed", `${follows}`);
  }
  const on = (/** @type {any} */ target, /** @type {string} */ kind, /** @type {(event: any) => void} */ act) =>
    target.addEventListener(kind, act, { signal });
  on(slider, "input", () => {
    held = true;
    if (over.value === "time") records.seek(from + (Number(slider.value) / STEPS) * (to - from));
    else records.jump(Number(slider.value));
  });
  on(slider, "change", () => {
    held = false;
    if (over.value === "time") records.seek(from + (Number(slider.value) / STEPS) * (to - from));
    paint();
  });
  on(over, "change", paint);
  on(follow, "click", () => records.follow(!records.place().follows));
  on(box, "keydown", (event) => {
    if (event.key !== "Enter" || box.value === "") return;
    event.preventDefault();
    records.choose(Number(box.value));
    box.value = "";
  });
  return {
    node,
    paint,
    /** @param {number} opened @param {number} written times of the first and the last record */
    span(opened, written) {
      [from, to] = [opened, written];
    },
  };
}
