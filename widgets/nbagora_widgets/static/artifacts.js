/** What the selected task has made: its artifacts' parts as text, JSON, pictures, bytes and links. */
import { h, patch, put, say } from "./live.js";
import { picture } from "./payload.js";

/**
 * @typedef {import("./types.js").ArtifactRow} ArtifactRow
 * @typedef {import("./types.js").PartRow} PartRow
 */

/** @param {string} address @returns {boolean} whether a link may be followed: of the web, or of this lab's own doors */
export const followed = (address) => /^https?:\/\//i.test(address);

/** @param {PartRow} part @returns {string} what stands above it */
export function heading({ kind, name, media, cut }) {
  return [name, media || kind, cut ? "the beginning" : ""].filter(Boolean).join(" · ");
}

function makePart() {
  const link = h("a", { target: "_blank", rel: "noopener noreferrer" });
  return h("div", { class: "part" }, h("p", { class: "about" }), h("pre", { tabindex: "0" }), h("img"), link);
}

/** @param {any} node @param {PartRow} part @param {string} of the artifact's name */
function paintPart(node, part, of) {
  const [about, text, image, link] = node.children;
  const address = part.kind === "image" ? picture(part) : null;
  const opens = part.kind === "link" && followed(part.text);
  say(about, heading(part));
  about.hidden = part.kind === "text" && !part.name;
  image.hidden = !address;
  link.hidden = !opens;
  text.hidden = Boolean(address) || opens;
  if (address) {
    put(image, "src", address);
    put(image, "alt", part.name || `${part.media} of artifact ${of}`);
  } else image.removeAttribute("src");
  if (opens) {
    put(link, "href", part.text);
    say(link, part.name || part.text);
  } else link.removeAttribute("href");
  say(text, text.hidden ? "" : part.text);
  put(text, "data-kind", part.kind);
  put(text, "aria-label", heading(part));
  put(text, "role", "region");
}

/** @returns a pane: `node`, and `paint`, which shows a task's artifacts */
export function artifactsPane() {
  const title = h("summary");
  const list = h("div", { class: "artifacts" });
  const node = h("details", { class: "pane", open: true }, title, list);

  /** @param {import("./types.js").TaskDetail | null} full */
  function paint(full) {
    const artifacts = full?.artifacts ?? [];
    node.hidden = !artifacts.length;
    say(title, artifacts.length === 1 ? "1 artifact" : `${artifacts.length} artifacts`);
    const make = () => h("section", { class: "artifact" }, h("p", { class: "named" }), h("div"));
    patch(list, artifacts, (one) => one.id, make, (/** @type {any} */ row, artifact) => {
      const [name, parts] = row.children;
      name.hidden = !artifact.name;
      say(name, artifact.name);
      const named = artifact.parts.map((part, at) => ({ part, key: `${at}` }));
      patch(parts, named, (one) => one.key, makePart, (part, one) => paintPart(part, one.part, artifact.name || artifact.id));
    });
  }
  return { node, paint };
}
