/**
 * Addresses. A link shows where it goes; a remote image is a link, for to load it would
 * tell its server what the answer says.
 */

import { h } from "../dom.js";

const SCHEMES = new Set(["http:", "https:", "mailto:"]);
const INLINE_IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+$/;

/**
 * The address, if it is one a person may be sent to.
 * @param {string} address
 */
export function safeUrl(address) {
  try {
    const url = new URL(address);
    return SCHEMES.has(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/**
 * A link around `children`, or the children alone where the address is not safe.
 * @param {string} address
 * @param {Node[]} children
 */
export function link(address, children) {
  const url = safeUrl(address);
  if (!url) return h("span", { class: "no-link", title: address }, ...children);
  const anchor = h(
    "a",
    {
      href: url.href,
      target: "_blank",
      rel: "noopener noreferrer nofollow",
      title: url.href,
    },
    ...children,
  );
  const place = url.host || url.pathname;
  if (!anchor.textContent?.includes(place)) {
    anchor.append(h("span", { class: "link-place" }, ` ${place}`));
  }
  return anchor;
}

/**
 * @param {string} address
 * @param {string} alt
 */
export function image(address, alt) {
  if (isInlineImage(address)) return h("img", { src: address, alt });
  const url = safeUrl(address);
  if (!url) return h("span", { class: "no-link", title: address }, alt || address);
  return h(
    "a",
    {
      class: "remote-image",
      href: url.href,
      target: "_blank",
      rel: "noopener noreferrer nofollow",
    },
    h("span", { "aria-hidden": "true" }, "🖼 "),
    h("span", {}, alt || "Image"),
    h("span", { class: "link-place" }, ` ${url.href}`),
    h("span", { class: "remote-image__how" }, "Not loaded. Open in a new tab"),
  );
}

/** @param {string} address */
export function isInlineImage(address) {
  return address.length < 4_000_000 && INLINE_IMAGE.test(address);
}
