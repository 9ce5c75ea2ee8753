/**
 * Records by offset, in a list of which only the rows in sight exist.
 *
 * The place is an offset, with a fraction, and the scroll bar follows it: a browser's elements end below 17 million
 * pixels, so that past `MOST` of them one pixel of the bar is more than a row, while wheel and keys still go by rows.
 */
import { clock, h, patch, put, say } from "./live.js";

/**
 * @typedef {import("./types.js").RecordRow} RecordRow
 * @typedef {import("./types.js").TopicDetail} TopicDetail
 */

export const ROW = 24; // px
export const MOST = 8_000_000; // px
const KEPT = 2000; // records that were sent and are not asked for again
const AROUND = 40; // records asked for before the first one in sight

/** @param {number} count of rows @returns {number} px that they are high */
export const height = (count) => Math.min(count * ROW, MOST);

/** @param {number} scroll px @param {number} count of rows @param {number} room px @returns {number} the first row */
export function rowAt(scroll, count, room) {
  const way = height(count) - room;
  return way > 0 ? ((scroll / way) * (count * ROW - room)) / ROW : 0;
}

/** @param {number} row @param {number} count of rows @param {number} room px @returns {number} px to scroll to it */
export function scrollOf(row, count, room) {
  const full = count * ROW - room;
  return full > 0 ? ((row * ROW) / full) * (height(count) - room) : 0;
}

/** @param {number} bytes @returns {string} `1.2 kB` */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const power = Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toPrecision(3)} ${["B", "kB", "MB", "GB"][power]}`;
}

/**
 * @param {object} view
 * @param {string} view.id element id of the list
 * @param {AbortSignal} view.signal
 * @param {(window: {offset?: number, time?: number, follow: boolean}, done: (ok: boolean) => void) => number}
 *   view.look asks the kernel for a window, returns the request's number
 * @param {(offset: number) => void} view.pick a record is chosen
 * @param {() => void} view.enter Enter was pressed on it
 * @param {() => void} view.moved the place changed
 */
export function recordList({ id, signal, look, pick, enter, moved }) {
  /** @type {Map<number, RecordRow>} */
  const known = new Map();
  let topic = ""; // which topic `known` is of
  let [first, next] = [0, 0];
  let top = 0; // offset of the first row in sight
  let follows = true;
  let alive = true;
  /** @type {number | null} */
  let active = null;
  let looking = 0; // requests without a reply
  let asked = ""; // what was asked for last, and what was known then
  let sought = 0; // request whose window the list is to go to
  /** @type {number | null} */
  let later = null; // time to go to once that is there
  let set = 0; // where this put the scroll bar

  const names = ["offset", "time", "type", "text", "size"];
  const heads = h("div", { class: "heads", "aria-hidden": "true" }, ...names.map((n) => h("span", { class: n }, n)));
  const shown = h("div", { class: "shown", role: "presentation" });
  const tall = h("div", { class: "tall", role: "presentation" }, shown);
  const box = h("div", { class: "lines", id, role: "listbox", tabindex: "0", "aria-label": "Records" }, tall);
  const node = h("div", { class: "list" }, heads, box);

  const room = () => box.clientHeight || 10 * ROW;
  const fits = () => room() / ROW;
  const end = () => Math.max(first, next - fits());

  function makeRow() {
    return h("div", { class: "record", role: "option" }, ...names.map((kind) => h("span", { class: kind })));
  }
  function paintRow(/** @type {any} */ row, /** @type {number} */ at) {
    const record = known.get(at);
    const [offset, time, type, text, bytes] = row.children;
    put(row, "id", `${id}-${at}`);
    put(row, "aria-selected", `${at === active}`);
    put(row, "aria-posinset", `${at - first + 1}`);
    put(row, "aria-setsize", `${next - first}`);
    say(offset, `#${at}`);
    say(time, record ? clock(record.time) : "");
    say(type, record?.type ?? "");
    say(text, record ? [record.subject, record.text].filter(Boolean).join(" · ") : "…");
    say(bytes, record ? size(record.size) : "");
  }
  /** Offsets of the rows that exist. */
  function sight() {
    const from = Math.max(first, Math.floor(top) - 4);
    const to = Math.min(next, Math.ceil(top + fits()) + 4);
    return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
  }
  function draw() {
    top = follows ? end() : Math.max(first, Math.min(top, end()));
    const count = next - first;
    const style = `${height(count)}px`;
    if (tall.style.height !== style) tall.style.height = style;
    const scroll = scrollOf(top - first, count, room());
    if (Math.abs(box.scrollTop - scroll) >= 1) box.scrollTop = scroll;
    set = box.scrollTop;
    const rows = sight();
    shown.style.transform = `translateY(${set - (top - (rows[0] ?? 0)) * ROW}px)`;
    patch(shown, rows, String, makeRow, paintRow);
    if (active !== null && rows.includes(active)) put(box, "aria-activedescendant", `${id}-${active}`);
    else box.removeAttribute("aria-activedescendant");
    fill(rows);
    moved();
  }
  /** Asks for what is in sight and not known; one request at a time, the newest wish. */
  function fill(/** @type {number[]} */ rows) {
    const missing = rows.filter((at) => !known.has(at)).length;
    if (!alive || looking || sought || !missing || follows) return;
    const offset = Math.max(first, rows[0] - AROUND);
    const wish = `${topic} ${offset} ${missing}`;
    if (wish === asked) return; // it would tell nothing new: a snapshot has to come
    asked = wish;
    ask({ offset, follow: false });
  }
  function ask(/** @type {{offset?: number, time?: number, follow: boolean}} */ window) {
    looking += 1;
    return look(window, (ok) => {
      looking -= 1;
      if (!ok) sought = 0;
      if (later !== null) seek(later);
      draw();
    });
  }
  /** Stays or goes with the newest records from here on. */
  function setFollows(/** @type {boolean} */ on) {
    if (on === follows) return;
    follows = on;
    if (alive) ask(on ? { follow: true } : { offset: Math.max(first, Math.floor(top) - AROUND), follow: false });
  }
  /** Goes to the first record at or after a time, in seconds since the epoch. */
  function seek(/** @type {number} */ time) {
    if (!alive) return;
    later = looking ? time : null;
    if (looking) return;
    follows = false;
    sought = ask({ time, follow: false });
  }
  /** The place changes by hand: at the end it goes with the newest records, elsewhere it stays. */
  function go(/** @type {number} */ to) {
    top = Math.max(first, Math.min(to, end()));
    setFollows(top >= end() - 0.5);
    draw();
  }
  function choose(/** @type {number} */ at) {
    active = Math.max(first, Math.min(next - 1, at));
    if (active < next - 1) setFollows(false); // what is looked at stays in sight
    if (active < top) go(active);
    else if (active > top + fits() - 1) go(active - fits() + 1);
    else draw();
    pick(active);
  }

  /** @param {TopicDetail} detail @param {boolean} lives @param {number | null} picked the record that is looked at */
  function paint(detail, lives, picked) {
    const { row, records } = detail;
    alive = lives;
    if (topic !== `${row.topic} ${row.created}` || (alive && row.next < next)) {
      topic = `${row.topic} ${row.created}`;
      known.clear();
      [active, sought, asked, later, follows] = [null, 0, "", null, true];
    }
    if (known.size > KEPT) known.clear();
    for (const each of records) known.set(each.offset, each);
    [first, next] = [row.first, row.next];
    if (!alive && records.length) [first, next] = [records[0].offset, records[records.length - 1].offset + 1];
    if (sought && detail.asked === sought) [sought, follows, top] = [0, false, detail.start];
    else if (!looking && alive) follows = detail.follow;
    active = picked ?? active;
    put(box, "aria-label", `Records of ${row.topic}`);
    draw();
  }

  const on = (/** @type {string} */ kind, /** @type {(event: any) => void} */ act, more = {}) =>
    box.addEventListener(kind, act, { signal, ...more });
  on("scroll", () => {
    if (box.scrollTop === set) return; // where this put it
    go(first + rowAt(box.scrollTop, next - first, room()));
  });
  on("wheel", (event) => {
    if ((next - first) * ROW <= MOST || event.ctrlKey || event.deltaMode) return;
    event.preventDefault(); // the scroll bar is too coarse for it
    go(top + event.deltaY / ROW);
  }, { passive: false });
  on("click", ({ target }) => {
    const row = target.closest(".record");
    if (row && !`${getSelection()}`) choose(Number(row.dataset.key));
  });
  on("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(fits()) - 1);
    const at = active ?? (follows ? next : Math.ceil(top) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: first, End: next - 1 }[
      /** @type {string} */ (event.key)
    ];
    if (event.key === "Enter" && active !== null) enter();
    else if (to === undefined || next === first) return;
    else choose(to);
    event.preventDefault();
  });
  const resized = new ResizeObserver(() => next > first && draw());
  resized.observe(box);
  signal.addEventListener("abort", () => resized.disconnect());

  return {
    node,
    box,
    paint,
    /** @param {number} offset which comes to stand first */
    jump: (offset) => go(offset),
    seek,
    /** @param {boolean} on */
    follow(on) {
      setFollows(on);
      draw();
    },
    /** @param {number} offset */
    choose,
    focus: () => box.focus({ preventScroll: true }),
    place: () => ({ first, next, top, follows, active, time: known.get(Math.ceil(top))?.time }),
  };
}
