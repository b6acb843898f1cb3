/**
 * Links and images. A link shows where it goes; a remote image is shown when asked for,
 * since to load it would tell its server what the answer says.
 */

import { button, h } from "../dom.js";
import { saysWhere, targetOf } from "./grammar/addresses.js";

const INLINE_IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+$/;

/**
 * A link around `children`, or the children alone where the address is not safe.
 * @param {string} address
 * @param {Node[]} children
 * @param {string} said what they say
 * @returns {HTMLElement}
 */
export function link(address, children, said) {
  const target = targetOf(address);
  if (!target) return h("span", { class: "no-link", title: address }, ...children);
  if (children.some(hasRemoteImage)) {
    // A button inside a link would be both: the link comes after it.
    return h("span", {}, ...children, " ", link(address, [], ""));
  }
  const { href, place } = target;
  const rel = "noopener noreferrer nofollow";
  const anchor = h("a", { href, target: "_blank", rel, title: href }, ...children);
  if (!saysWhere(said, target)) anchor.append(placeNode(place));
  return anchor;
}

/** @param {string} place */
function placeNode(place) {
  return h("span", { class: "link-place", dir: "ltr" }, ` ${place}`);
}

/** What makes a picture something to press. */
const ENLARGED = { "data-action": "enlarge", role: "button", tabindex: 0 };

/**
 * @param {string} address
 * @param {string} alt
 */
export function image(address, alt) {
  if (isInlineImage(address)) return h("img", { src: address, alt, ...ENLARGED });
  const target = targetOf(address);
  if (!target?.href.startsWith("http")) {
    return h("span", { class: "no-link", title: address }, alt || address);
  }
  const press = button("", "load-image", {
    class: "remote-image",
    "data-address": target.href,
    "data-alt": alt,
    "aria-expanded": "false",
  });
  press.append(
    h("span", { class: "remote-image__mark" }),
    h("span", {}, alt || "Image"),
    placeNode(target.href),
    h("span", { class: "remote-image__how" }, "Not loaded. Press to load"),
  );
  return press;
}

/** @param {Node} node */
function hasRemoteImage(node) {
  if (!(node instanceof HTMLElement)) return false;
  return node.matches(".remote-image") || node.querySelector(".remote-image") !== null;
}

/** @param {string} address */
export function isInlineImage(address) {
  return address.length < 4_000_000 && INLINE_IMAGE.test(address);
}
