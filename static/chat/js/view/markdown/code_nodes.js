/**
 * What the highlighter finds in code, as elements: it never writes HTML.
 *
 * @import { Emitter, HLJSOptions } from "highlight.js"
 */

import { h } from "../dom.js";

/** @implements {Emitter} */
export class NodeEmitter {
  root = document.createDocumentFragment();
  #prefix;
  /** @type {ParentNode[]} */
  #open = [this.root];

  /** @param {HLJSOptions} options */
  constructor({ classPrefix }) {
    this.#prefix = classPrefix;
  }

  /** @param {string} text */
  addText(text) {
    this.#top.append(text);
  }

  /** @param {string} scope */
  startScope(scope) {
    this.openNode(scope);
  }

  endScope() {
    this.closeNode();
  }

  /**
   * The same under another name: the highlighter calls both.
   * @param {string} scope
   */
  openNode(scope) {
    const span = h("span", { class: classesOf(scope, this.#prefix) });
    this.#top.append(span);
    this.#open.push(span);
  }

  closeNode() {
    if (this.#open.length > 1) this.#open.pop();
  }

  /**
   * @param {NodeEmitter} emitter of code in another language within this
   * @param {string} name
   */
  __addSublanguage(emitter, name) {
    this.#top.append(
      name
        ? h("span", { class: `language-${name}` }, emitter.root)
        : /** @type {Node} */ (emitter.root),
    );
  }

  finalize() {
    this.#open.length = 1;
  }

  /** Nobody asks for it. */
  toHTML() {
    return "";
  }

  get #top() {
    return /** @type {ParentNode} */ (this.#open.at(-1));
  }
}

/**
 * As the highlighter's own style sheets name them: `title.function` is
 * `hljs-title function_`.
 * @param {string} scope
 * @param {string} prefix
 */
function classesOf(scope, prefix) {
  const [first, ...more] = scope.split(".");
  const tiers = more.map((tier, index) => `${tier}${"_".repeat(index + 1)}`);
  return [`${prefix}${first}`, ...tiers].join(" ");
}
