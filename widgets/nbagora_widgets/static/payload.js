/** A record as it is looked at: its attributes, and its body as JSON, text, picture or bytes. */
import { button, h, patch, put, say } from "./live.js";
import { size } from "./records.js";

/** @typedef {import("./types.js").Payload} Payload */

const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"]; // SVG is none: it can hold scripts and links

/** @param {Payload} payload @returns {string | null} the address of a picture in itself; null where it is none */
export function picture({ kind, media, text }) {
  const safe = kind === "image" && PICTURES.includes(media) && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
  return safe ? `data:${media};base64,${text}` : null;
}

/** @param {Payload} payload @returns {string} `json · 1.2 kB` */
export function about({ kind, size: bytes, cut }) {
  if (kind === "gone") return "this record is not there any more";
  return `${kind} · ${size(bytes)}${cut ? ", the beginning" : ""}`;
}

/**
 * @param {object} view
 * @param {string} view.id element id of the pane
 * @param {string} [view.label] what it shows
 * @returns its parts, and `paint`, which shows a record, that it is waited for, or nothing
 */
export function payloadPane({ id, label = "Record" }) {
  const title = h("strong");
  const kind = h("span", { class: "count", role: "status" });
  const reference = button("copy-ref", "Copy reference");
  const content = button("copy-body", "Copy body");
  const close = button("close", "Close");
  const bar = h("header", {}, title, kind, reference, content, close);
  const list = h("dl");
  const text = h("pre", { tabindex: "0", role: "region", "aria-label": "Body" });
  const image = h("img");
  const node = h("section", { class: "payload", id, "aria-label": label, tabindex: "-1" }, bar, list, text, image);
  let shown = "";

  /**
   * @param {Payload | null} payload
   * @param {number | null} wanted offset that was asked for
   * @param {string} waits what is said while it is not there
   */
  function paint(payload, wanted, waits) {
    node.hidden = wanted === null;
    if (wanted === null) return;
    say(title, `#${wanted}`);
    say(kind, payload ? about(payload) : waits);
    list.hidden = text.hidden = image.hidden = content.hidden = !payload; // not what another one says
    if (!payload) return;
    content.hidden = payload.kind === "image" || payload.kind === "gone";
    patch(list, payload.attributes, (each) => each.name, () => h("div", {}, h("dt"), h("dd")), (row, each) => {
      say(row.firstChild, each.name);
      say(row.lastChild, each.value);
    });
    const address = picture(payload);
    image.hidden = !address;
    text.hidden = Boolean(address) || (!payload.text && payload.kind === "gone");
    if (address) {
      put(image, "src", address);
      put(image, "alt", `the body of record ${payload.offset}, ${payload.media}`);
    } else {
      image.removeAttribute("src");
      say(text, payload.kind === "image" ? "" : payload.text);
      put(text, "data-kind", payload.kind);
    }
    const which = `${payload.topic} ${payload.created} ${payload.offset}`;
    if (shown !== which) text.scrollTop = 0;
    shown = which;
  }
  return { node, reference, content, close, paint };
}
