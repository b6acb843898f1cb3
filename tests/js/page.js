/** A page for the views' tests: happy-dom's, made global before they are imported. */

import { Window } from "happy-dom";

const window = new Window({ url: "http://localhost/" });
for (const name of [
  "document",
  "Element",
  "HTMLElement",
  "Text",
  "Node",
  "DOMParser",
]) {
  Object.assign(globalThis, { [name]: /** @type {any} */ (window)[name] });
}
Object.assign(globalThis, { window });
