/**
 * What every live view stands on: elements without markup, a patch by key, and the link to the kernel.
 *
 * The first part is pure and is tested in node; the rest needs a page.
 *
 * @typedef {import("./types.js").Reply} Reply
 */

const PATIENCE = 300; // ms without a reply after which a view says that it waits

/** @param {string} id what follows its context's key, 8 letters at most: enough to tell tasks apart and to name one */
export function short(id) {
  const own = id.slice(id.lastIndexOf(".") + 1) || id;
  return own.length > 10 ? own.slice(0, 8) : own;
}

/** @param {string} lab a snapshot's @returns {boolean} whether nothing can be asked of it */
export const silent = (lab) => lab === "stopped" || lab === "away";

/** @param {string} lab a snapshot's, of which nothing can be asked @returns {string} why */
export const excuse = (lab) =>
  lab === "away" ? "the lab that was joined does not answer; this goes on when it is back" : "the lab is not running";

/** @param {number} seconds since the epoch @returns {string} the time of day, here */
export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

/**
 * The insertions that turn one order of keys into another, once keys that are gone were removed.
 * @param {string[]} have @param {string[]} want
 * @returns {{key: string, before: string | null}[]} none for a key that stands where it should
 */
export function moves(have, want) {
  const kept = new Set(want);
  const rest = have.filter((key) => kept.has(key));
  return want.flatMap((key) => {
    if (rest[0] === key) {
      rest.shift();
      return [];
    }
    const at = rest.indexOf(key);
    if (at > 0) rest.splice(at, 1);
    return [{ key, before: rest[0] ?? null }];
  });
}

/** @param {string} key @param {number} at @param {number} length @returns {number | null} the row a key leads to */
export function step(key, at, length) {
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: length - 1 }[key];
  return to === undefined ? null : Math.max(0, Math.min(length - 1, to));
}

/** What was asked of the kernel and not answered yet. */
export class Requests {
  /** @param {(command: object) => void} send */
  constructor(send) {
    this.send = send;
    this.last = Math.floor(Math.random() * 2 ** 40); // every page that shows the model gets every reply
    /** @type {Map<number, {timer: ReturnType<typeof setTimeout>, done: (reply: Reply) => void}>} */
    this.open = new Map();
  }
  /** @param {object} command @param {() => void} waits no reply came in time @param {(reply: Reply) => void} done */
  ask(command, waits, done) {
    const request = ++this.last;
    this.open.set(request, { timer: setTimeout(waits, PATIENCE), done });
    this.send({ request, ...command });
  }
  /** @param {Reply} reply */
  settle(reply) {
    const entry = this.open.get(reply.reply);
    if (!entry) return;
    clearTimeout(entry.timer);
    this.open.delete(reply.reply);
    entry.done(reply);
  }
  close() {
    for (const { timer } of this.open.values()) clearTimeout(timer);
    this.open.clear();
  }
}

/**
 * A view's link to the kernel: commands out, replies in, and whether anybody is there.
 *
 * `state` is ``live`` once the kernel was heard, ``waiting`` while it was not (a cell runs on a kernel without
 * subshells, or the kernel died unseen), ``gone`` when the host knows that the model has no kernel.
 */
export class Link {
  /** @param {any} model @param {AbortSignal} signal @param {() => void} changed */
  constructor(model, signal, changed) {
    /** @type {"new" | "live" | "waiting" | "gone"} */
    this.state = "new";
    this.changed = () => signal.aborted || changed();
    this.requests = new Requests((command) => {
      try {
        model.send(command);
      } catch {
        this.become("gone"); // the comm was disposed, as when its notebook is closed
      }
    });
    const view = `${this.requests.last}`;
    const heard = () => this.become("live");
    /** @param {any} message */
    const message = (message) => {
      heard();
      this.requests.settle(message);
    };
    const hello = async () => {
      // Hosts of ipywidgets know whether a model's comm is live; others leave it undefined, and the reply must tell.
      const real = await model.widget_manager?.get_model?.(model.get("ref"))?.catch?.(() => null);
      if (signal.aborted) return;
      if (real?.comm_live === false) return this.become("gone");
      this.requests.ask({ do: "hello", view }, () => this.state === "new" && this.become("waiting"), () => {});
    };
    model.on("msg:custom", message);
    model.on("change:snapshot", heard);
    model.on("comm_live_update", hello);
    signal.addEventListener("abort", () => {
      model.off("msg:custom", message);
      model.off("change:snapshot", heard);
      model.off("comm_live_update", hello);
      if (this.state !== "gone") this.requests.ask({ do: "bye", view }, () => {}, () => {});
      this.requests.close();
    });
    hello();
  }
  /** @param {Link["state"]} state */
  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.changed();
  }
}

/** What a view says of a command that waits for its kernel. */
export const QUEUED = "queued until the cell ends";

/**
 * A view's commands, and the place where it tells what went wrong with them.
 * @param {Link} link @param {any} notice @param {() => void} paint after each reply
 */
export function dialogue(link, notice, paint) {
  function tell(/** @type {string} */ text) {
    say(notice, text);
    notice.hidden = !text;
  }
  /** Sends a command; `waits` is called when no reply came in time. @returns {number} the request's number */
  function ask(/** @type {object} */ command, done = (/** @type {boolean} */ _ok) => {}, waits = () => tell(QUEUED)) {
    link.requests.ask(command, waits, ({ problem }) => {
      tell(problem ? `${problem.name}: ${problem.what}\n${problem.hint}` : "");
      done(!problem);
      paint();
    });
    return link.requests.last;
  }
  return { tell, ask };
}

/** @param {string} tag @param {Record<string, any>} [props] @param {(Node | string)[]} children @returns {any} */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "boolean") node.toggleAttribute(name, value);
    else node.setAttribute(name, value);
  }
  node.append(...children); // strings become text nodes
  return node;
}

/** @param {string} kind @param {string} text @returns {any} a button with a second part that only ears get */
export const button = (kind, text) =>
  h("button", { type: "button", class: kind }, h("span", {}, text), h("span", { class: "unseen" }));

/** @returns {SVGElement} an empty box of 16 × 16 for one path */
export function icon() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  return svg;
}

/** @param {any} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Puts a text on the clipboard; the button that asked for it says so.
 * @param {any} node made by `button` @param {string} text @param {(text: string) => void} tell says what went wrong
 */
export async function toClipboard(node, text, tell) {
  try {
    await navigator.clipboard.writeText(text);
    say(node.firstChild, "Copied");
  } catch {
    tell(`This page may not write to the clipboard. Here it is:\n${text.slice(0, 2000)}`);
  }
}

/** @param {any} node @param {string} name @param {string} value */
export function put(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** @param {any} node a `<time>` @param {number} seconds */
export function setTime(node, seconds) {
  const date = new Date(seconds * 1000);
  put(node, "datetime", date.toISOString());
  put(node, "title", date.toLocaleString());
  say(node, clock(seconds));
}

/**
 * Makes an element's children those of `items`: an item keeps its element, and none that stands right is moved.
 * @template T @param {any} parent @param {T[]} items @param {(item: T) => string} key
 * @param {(item: T) => any} make @param {(node: any, item: T) => void} paint
 */
export function patch(parent, items, key, make, paint) {
  /** @type {Map<string, any>} */
  const nodes = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  /** @type {any} */
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const have = [...nodes.keys()];
  const want = items.map(key);
  const kept = new Set(want);
  for (const name of have) if (!kept.has(name)) nodes.get(name).remove();
  items.forEach((item, at) => {
    let node = nodes.get(want[at]);
    if (!node) {
      node = make(item);
      node.dataset.key = want[at];
      nodes.set(want[at], node);
    }
    paint(node, item);
  });
  for (const { key: name, before } of moves(have, want)) {
    parent.insertBefore(nodes.get(name), before === null ? null : nodes.get(before));
  }
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}
