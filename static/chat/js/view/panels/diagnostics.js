/**
 * What the connection has been doing, to look at and to copy into a bug report.
 *
 * @import { ChatClient } from "../../client/chat_client.js"
 * @import { Line } from "../../client/diagnostics.js"
 */

import { size } from "../../words/format.js";
import { button, delegate, h, setText } from "../dom.js";
import { sayCopied } from "../transcript/copy.js";

/**
 * @typedef {object} Needs
 * @property {ChatClient} client
 * @property {(panel: DiagnosticsPanel) => void} requestPaint
 * @property {(text: string) => Promise<boolean>} copyText was it?
 */

export class DiagnosticsPanel {
  #root;
  #client;
  #facts = h("dl", { class: "facts" });
  #lines = h("ol", { class: "log", tabindex: 0, "aria-label": "Changes of state" });
  /** @type {Line | undefined} the last one that is shown */
  #last;
  /** @type {Map<string, HTMLElement>} */
  #values = new Map();

  /**
   * @param {HTMLElement} root
   * @param {Needs} needs
   */
  constructor(root, { client, requestPaint, copyText }) {
    this.#root = root;
    this.#client = client;
    root.replaceChildren(
      this.#facts,
      h("h3", {}, "Changes of state"),
      this.#lines,
      button("Copy report", "copy-report", { class: "btn" }),
    );
    delegate(root, {
      "copy-report": async (pressed) => {
        if (await copyText(this.#report())) sayCopied(pressed);
      },
    });
    client.diagnostics.subscribe(() => this.#isVisible && requestPaint(this));
  }

  update() {
    if (!this.#isVisible) return;
    for (const [name, value] of this.#rows()) this.#set(name, value);
    this.#showLines(this.#client.diagnostics.lines);
  }

  /** @param {Line[]} lines of which the oldest go and new ones come */
  #showLines(lines) {
    const last = lines.at(-1);
    if (last === this.#last) return;
    this.#last = last;
    const { scrollTop, scrollHeight, clientHeight } = this.#lines;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 8;
    this.#lines.replaceChildren(...lines.map((line) => h("li", {}, lineText(line))));
    if (isAtEnd) this.#lines.scrollTop = this.#lines.scrollHeight;
  }

  /** Asked at every frame of the wire, so it must not make the browser lay out. */
  get #isVisible() {
    return this.#root.closest("[hidden]") === null;
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  #set(name, value) {
    let element = this.#values.get(name);
    if (!element) {
      element = h("dd");
      this.#values.set(name, element);
      this.#facts.append(h("div", {}, h("dt", {}, name), element));
    }
    setText(element, value);
  }

  /** @returns {[string, string][]} */
  #rows() {
    const { diagnostics, connection, proof, sessionId } = this.#client;
    const { counts, latency } = diagnostics;
    const { state, code, reason } = connection.get();
    const { steps, wrong, isPossible } = proof.state.get();
    return [
      ["State", `${state} (${code || "no code"}, ${reason || "no reason"})`],
      ["Last ping answered in", latency ? `${Math.round(latency)} ms` : "no ping yet"],
      ["Frames received", `${counts.frames} (${size(counts.received)})`],
      ["Frames sent", String(counts.sent)],
      ["Times joined", String(counts.joins)],
      ["Doubles dropped", String(counts.doubles)],
      ["Gaps healed", String(counts.gaps + counts.healed)],
      [
        "Steps proved",
        isPossible ? `${steps}, wrong ${wrong}` : "not possible over http",
      ],
      ["Session", sessionId],
    ];
  }

  #report() {
    const rows = this.#rows().map(([name, value]) => `${name}: ${value}`);
    const lines = this.#client.diagnostics.lines.map(lineText);
    return [...rows, `Browser: ${navigator.userAgent}`, "", ...lines].join("\n");
  }
}

/** @param {Line} line */
function lineText({ at, kind, detail }) {
  return `${new Date(at).toISOString().slice(11, 23)} ${kind} ${detail}`;
}
