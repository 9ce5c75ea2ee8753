/** What writes: a fork of the topic at a record, and a record of text that is sent to it. */
import { button, h, put, say } from "./live.js";

/**
 * @typedef {import("./types.js").TopicRow} TopicRow
 * @typedef {{do: "fork", topic: string, at: number, to: string} | {do: "send", topic: string, body: string,
 *   type: string, media: string}} Write
 */

/**
 * @param {object} view
 * @param {string} view.id
 * @param {AbortSignal} view.signal
 * @param {(command: any, says: (text: string) => void, sent: () => void) => void} view.send
 */
export function forms({ id, signal, send }) {
  let topic = "";
  /** @type {TopicRow | null} */
  let row = null;
  /** @type {number | null} */
  let picked = null;

  const field = (/** @type {string} */ key, /** @type {string} */ text, /** @type {any} */ input) => {
    input.id = `${id}-${key}`;
    return h("label", { for: input.id }, h("span", {}, text), input);
  };
  const submit = (/** @type {string} */ text) => h("button", { type: "submit", class: "main" }, text);
  const at = h("input", { type: "number", min: "0", required: true });
  const to = h("input", { type: "text", required: true, autocomplete: "off", class: "wide" });
  const forking = submit("Fork");
  const fork = h("form", { class: "fork", hidden: true }, field("at", "Up to and including #", at), field("to", "as", to), forking);
  const body = h("textarea", { rows: "2", required: true });
  const type = h("input", { type: "text", value: "message", required: true, autocomplete: "off" });
  const media = h("select", {}, h("option", { value: "text/plain" }, "text"), h("option", { value: "application/json" }, "JSON"));
  const sending = submit("Send");
  const writing = field("body", "New record", body);
  writing.classList.add("wide");
  const compose = h("form", { class: "compose", hidden: true }, writing, field("type", "type", type), field("media", "format", media), sending);
  const pairs = /** @type {[any, any, string][]} */ ([[button("to-fork", "Fork…"), fork, "fork"], [button("to-send", "Send…"), compose, "compose"]]);

  const on = (/** @type {any} */ node, /** @type {string} */ kind, /** @type {(event: any) => void} */ act) =>
    node.addEventListener(kind, act, { signal });
  function open(/** @type {any} */ form, /** @type {boolean} */ opens) {
    for (const [toggle, each] of pairs) {
      each.hidden = each !== form || !opens;
      put(toggle, "aria-expanded", `${!each.hidden}`);
    }
    if (!opens) return;
    if (form === fork) begin();
    form.querySelector("textarea, input.wide").focus();
  }
  let suggested = "";
  function suggest(/** @type {string} */ offset) {
    if (!row || (to.value && to.value !== suggested)) return; // somebody chose a name
    to.value = suggested = `${row.topic}-${offset}`;
  }
  function begin() {
    at.value = `${picked ?? (row ? row.next - 1 : 0)}`;
    suggest(at.value);
  }
  for (const [toggle, form, key] of pairs) {
    form.id = `${id}-${key}-form`;
    put(toggle, "aria-controls", form.id);
    put(toggle, "aria-expanded", "false");
    on(toggle, "click", () => open(form, form.hidden));
    on(form, "keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.stopPropagation(); // it closes this alone
      open(form, false);
      toggle.focus();
    });
  }
  const says = (/** @type {any} */ node, /** @type {string} */ text) => {
    const name = node === forking ? "Fork" : "Send";
    say(node, text || name);
    put(node, "aria-disabled", `${Boolean(text)}`); // `disabled` would throw the focus away
  };
  on(at, "input", () => suggest(at.value));
  on(fork, "submit", (event) => {
    event.preventDefault();
    if (forking.getAttribute("aria-disabled") === "true") return;
    const name = to.value.includes("/") || !row ? to.value : `${row.topic.split("/")[0]}/${to.value}`;
    send({ do: "fork", topic, at: Number(at.value), to: name }, (text) => says(forking, text), () => open(fork, false));
  });
  on(compose, "submit", (event) => {
    event.preventDefault();
    if (sending.getAttribute("aria-disabled") === "true" || !body.value) return;
    const command = { do: "send", topic, body: body.value, type: type.value, media: media.value };
    send(command, (text) => says(sending, text), () => (body.value = ""));
  });
  on(body, "keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // Enter also ends a Chinese word
    event.preventDefault();
    compose.requestSubmit();
  });

  return {
    buttons: pairs.map(([toggle]) => toggle),
    forms: [fork, compose],
    /** @param {TopicRow | null} about @param {string} name @param {number | null} record @param {boolean} alive */
    paint(about, name, record, alive) {
      const other = name !== topic;
      const moved = record !== picked;
      [row, topic, picked] = [about, name, record];
      if (other) {
        to.value = suggested = "";
        for (const [toggle, form] of pairs) {
          form.hidden = true;
          put(toggle, "aria-expanded", "false");
        }
      } else if (moved && !fork.hidden && !fork.contains(document.activeElement)) begin();
      for (const [toggle, form] of pairs) {
        toggle.hidden = !alive || (form === fork && !about);
        if (!alive) form.hidden = true;
      }
    },
  };
}
