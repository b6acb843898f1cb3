/**
 * The transcript: runs, and the messages that wait; painted from what changed.
 *
 * @import {
 *   Connection, Intents, KeyValue, OutboxItem, Panel, Readable,
 * } from "../../types.js"
 * @import { Conversation } from "../../model/conversation.js"
 */

import { delegate, setChildren } from "../dom.js";
import { Follow } from "../follow.js";
import { showMoreRows } from "../markdown/table.js";
import { copies } from "../transcript/copy.js";
import { Folds } from "../transcript/fold.js";
import { PendingView } from "../transcript/pending.js";
import { showAll } from "../transcript/result.js";
import { RunView } from "../transcript/run.js";

/**
 * @typedef {object} Needs
 * @property {Conversation} conversation
 * @property {Readable<OutboxItem[]>} outbox
 * @property {Readable<Connection>} connection
 * @property {Intents} intents
 * @property {(panel: Panel<any>) => void} requestPaint
 * @property {KeyValue} storage
 * @property {string} sessionId
 * @property {() => number} now
 * @property {HTMLElement} scroller
 * @property {HTMLElement} newBelow
 * @property {HTMLElement} empty
 */

/** @implements {Panel<Needs>} */
export class TranscriptPanel {
  title = "Transcript";
  /** @type {Needs | null} */
  #needs = null;
  /** @type {HTMLElement | null} */
  #root = null;
  /** @type {Follow | null} */
  #follow = null;
  /** @type {Map<number, RunView>} */
  #runs = new Map();
  /** @type {Map<string, PendingView>} */
  #pending = new Map();
  /** @type {Set<number>} */
  #changed = new Set();
  /** @type {(() => void)[]} */
  #undo = [];
  #top = document.createElement("div");

  /**
   * @param {HTMLElement} root
   * @param {Needs} needs
   */
  mount(root, needs) {
    this.#needs = needs;
    this.#root = root;
    this.#top.className = "earlier";
    for (const run of needs.conversation.runs) this.#changed.add(run.run);
    this.#follow = new Follow(needs.scroller, root, needs.newBelow);
    const context = {
      folds: new Folds(needs.storage, needs.sessionId),
      now: needs.now,
    };
    this.#context = context;
    this.update();
    this.#undo = this.#listen(root, needs);
    this.#goTo(location.hash);
  }

  /** @type {{ folds: Folds, now: () => number } | null} */
  #context = null;

  /** Paint what changed since the last time. */
  update() {
    this.#follow?.around(() => this.#paint());
  }

  /** Show the end, whatever the reader looks at: they have just said something. */
  toEnd() {
    this.#follow?.toEnd();
  }

  unmount() {
    for (const undo of this.#undo) undo();
    this.#root?.replaceChildren();
  }

  /**
   * @param {HTMLElement} root
   * @param {Needs} needs
   */
  #listen(root, { conversation, outbox, connection, intents, requestPaint, scroller }) {
    const repaint = () => requestPaint(this);
    const goTo = () => this.#goTo(location.hash);
    window.addEventListener("hashchange", goTo);
    const summaries = delegateSummary(root, () => this.#follow?.pause());
    const seen = new IntersectionObserver(
      ([entry]) => entry?.isIntersecting && intents.loadEarlier(),
      { root: scroller, rootMargin: "600px 0px 0px" },
    );
    seen.observe(this.#top);
    return [
      conversation.subscribe((run) => {
        this.#changed.add(run);
        repaint();
      }),
      outbox.subscribe(repaint),
      connection.subscribe(repaint),
      delegate(root, { ...handlers(intents), ...copies(intents) }),
      summaries,
      () => seen.disconnect(),
      () => window.removeEventListener("hashchange", goTo),
    ];
  }

  #paint() {
    if (!this.#needs || !this.#root) return;
    const { conversation, outbox, connection, empty, requestPaint } = this.#needs;
    this.#paintRuns();
    const waiting = outbox
      .get()
      .filter((item) => !conversation.findByClientId(item.client_id));
    const { state } = connection.get();
    const pending = waiting.map((item) => this.#paintPending(item, state));
    const runs = conversation.runs.map((run) => this.#viewOf(run.run).element);
    this.#top.hidden = !conversation.hasEarlier;
    setChildren(this.#root, [this.#top, ...runs, ...pending]);
    empty.hidden = runs.length + pending.length > 0;
    if (this.#changed.size > 0) requestPaint(this);
  }

  #paintRuns() {
    for (const number of [...this.#changed]) {
      const run = this.#needs?.conversation.get(number);
      const isShown = !run || this.#viewOf(number).update(run);
      if (isShown) this.#changed.delete(number);
    }
  }

  /** @param {number} number */
  #viewOf(number) {
    let view = this.#runs.get(number);
    if (!view) {
      if (!this.#context) throw new Error("not mounted");
      view = new RunView(this.#context);
      this.#runs.set(number, view);
    }
    return view;
  }

  /**
   * @param {OutboxItem} item
   * @param {Connection["state"]} state
   */
  #paintPending(item, state) {
    const view = this.#pending.get(item.client_id) ?? new PendingView(item.client_id);
    this.#pending.set(item.client_id, view);
    view.update(item, state);
    return view.element;
  }

  /**
   * A deep link: `#run-3`, `#run-3-step-2`.
   * @param {string} hash
   */
  #goTo(hash) {
    if (!/^#run-\d+(-step-\d+)?$/.test(hash)) return;
    const target = document.getElementById(hash.slice(1));
    if (!target) return;
    this.#follow?.leave();
    const fold = target.closest("details") ?? target.querySelector(".card__fold");
    if (fold instanceof HTMLDetailsElement && hash.includes("step")) fold.open = true;
    target.scrollIntoView({ block: "start" });
    for (const old of document.querySelectorAll(".is-target")) {
      old.classList.remove("is-target");
    }
    target.classList.add("is-target");
  }
}

/**
 * @param {HTMLElement} root
 * @param {() => void} pressed
 */
function delegateSummary(root, pressed) {
  /** @param {Event} event */
  const listener = (event) => {
    if (event.target instanceof Element && event.target.closest("summary")) pressed();
  };
  root.addEventListener("click", listener);
  return () => root.removeEventListener("click", listener);
}

/**
 * @param {Intents} intents
 * @returns {Record<string, (button: HTMLElement) => void>}
 */
function handlers(intents) {
  return {
    retry: (button) => intents.retry(runOf(button)),
    withdraw: (button) => intents.stop(runOf(button)),
    resend: (button) => intents.resend(clientIdOf(button)),
    "withdraw-message": (button) => intents.withdraw(clientIdOf(button)),
    "show-all": showAll,
    "more-rows": showMoreRows,
  };
}

/** @param {HTMLElement} button */
function runOf(button) {
  return Number(button.closest("article")?.dataset.run);
}

/** @param {HTMLElement} button */
function clientIdOf(button) {
  return button.closest("article")?.dataset.clientId ?? "";
}
