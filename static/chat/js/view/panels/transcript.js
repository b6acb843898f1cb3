/**
 * The transcript: runs, and the messages that wait; painted from what changed.
 *
 * @import {
 *   Clock, Connection, Intents, OutboxItem, Panel, Readable,
 * } from "../../types.js"
 * @import { Conversation } from "../../model/conversation.js"
 * @import { Kept } from "../../model/kept.js"
 * @import { ImagePage } from "../remote_image.js"
 */

import { delegate, setChildren } from "../dom.js";
import { Follow } from "../follow.js";
import { showMoreRows } from "../markdown/table.js";
import { keepPlace, keptPlace, placeIn } from "../place.js";
import { toggleImage } from "../remote_image.js";
import { Seek } from "../seek.js";
import { copies } from "../transcript/copy.js";
import { Folds } from "../transcript/fold.js";
import { PendingView } from "../transcript/pending.js";
import { showAll } from "../transcript/result.js";
import { RunView } from "../transcript/run.js";

/** Milliseconds of painting after which the next frame gets its turn. */
const SLICE_MS = 10;

/**
 * @typedef {object} Needs
 * @property {Conversation} conversation
 * @property {Readable<OutboxItem[]>} outbox
 * @property {Readable<Connection>} connection
 * @property {Intents} intents
 * @property {ImagePage} imagePage
 * @property {(panel: Panel<any>) => void} requestPaint
 * @property {Kept} kept
 * @property {Kept} keptByTab
 * @property {string} sessionId
 * @property {Clock} clock
 * @property {() => number} now milliseconds
 * @property {() => number} serverNow Unix seconds
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
  /** @type {Seek | null} */
  #seek = null;
  /** @type {IntersectionObserver | null} */
  #topSeen = null;
  #isTopNear = false;
  /** @type {unknown} */
  #ticking = null;

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
      folds: new Folds(needs.kept, needs.sessionId),
      now: needs.now,
      serverNow: needs.serverNow,
    };
    this.#context = context;
    this.#seek = new Seek(needs, this.#follow);
    const place = keptPlace(needs.keptByTab);
    if (place) this.#seek.toPlace(place);
    else this.#seek.toLink(location.hash);
    this.update();
    this.#undo = this.#listen(root, needs);
  }

  /** @type {import("../transcript/card.js").Context | null} */
  #context = null;

  /** Paint what changed since the last time. */
  update() {
    this.#follow?.around(() => this.#paint());
    const isThere = this.#seek?.goOn((run) => !this.#changed.has(run)) ?? true;
    if (!isThere) this.#needs?.requestPaint(this);
    if (this.#isTopNear) this.#lookAtTop();
    this.#tick();
  }

  /** While something runs, say every second for how long. */
  #tick() {
    const { clock, conversation, requestPaint } = /** @type {Needs} */ (this.#needs);
    const { active } = conversation;
    if (!active || this.#ticking) return;
    this.#ticking = clock.setTimeout(() => {
      this.#ticking = null;
      this.#changed.add(active.run);
      requestPaint(this);
    }, 1000);
  }

  /** Show the end, whatever the reader looks at: they have just said something. */
  toEnd() {
    this.#seek?.drop();
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
  #listen(root, needs) {
    const { conversation, outbox, connection, intents, requestPaint, scroller } = needs;
    const repaint = () => requestPaint(this);
    const goTo = () => {
      this.#seek?.toLink(location.hash);
      repaint();
    };
    const keep = () => this.#keepPlace();
    const summaries = delegateSummary(root, () => this.#follow?.pause());
    this.#topSeen = new IntersectionObserver(
      ([entry]) => {
        this.#isTopNear = entry?.isIntersecting ?? false;
        if (this.#isTopNear) intents.loadEarlier();
      },
      { root: scroller, rootMargin: "600px 0px 0px" },
    );
    this.#lookAtTop();
    return [
      listen(window, ["hashchange"], goTo),
      listen(window, ["pagehide"], keep),
      listen(document, ["visibilitychange"], keep),
      // A reader who moves is where they want to be.
      listen(scroller, ["wheel", "touchmove", "keydown", "pointerdown"], () =>
        this.#seek?.drop(),
      ),
      conversation.subscribe((run) => {
        this.#changed.add(run);
        repaint();
      }),
      outbox.subscribe(repaint),
      connection.subscribe(repaint),
      delegate(root, {
        ...handlers(intents),
        ...copies(intents),
        "load-image": (button) => toggleImage(button, needs.imagePage),
      }),
      summaries,
      () => this.#topSeen?.disconnect(),
    ];
  }

  #paint() {
    if (!this.#needs || !this.#root) return;
    const { conversation, outbox, connection, empty, requestPaint } = this.#needs;
    this.#paintRuns();
    const waiting = outbox
      .get()
      .filter((item) => !conversation.findByClientId(item.client_id));
    const pending = waiting.map((item) => this.#paintPending(item, connection.get()));
    const runs = conversation.runs.flatMap(({ run }) => this.#elementOf(run) ?? []);
    this.#top.hidden = !conversation.hasEarlier;
    setChildren(this.#root, [this.#top, ...runs, ...pending]);
    empty.hidden = runs.length + pending.length > 0;
    if (this.#changed.size > 0) requestPaint(this);
  }

  #paintRuns() {
    const { conversation, now } = /** @type {Needs} */ (this.#needs);
    const end = now() + SLICE_MS;
    // The latest first: there, most readers are.
    for (const number of [...this.#changed].sort((a, b) => b - a)) {
      const run = conversation.get(number);
      const isShown = !run || this.#viewOf(number).update(run);
      if (isShown) this.#changed.delete(number);
      if (now() > end) return;
    }
  }

  /**
   * What shows a run: until its turn to be painted comes, what the server sent.
   * @param {number} number
   */
  #elementOf(number) {
    const painted = this.#runs.get(number)?.element;
    return painted ?? document.getElementById(`run-${number}`);
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
   * @param {Connection} connection
   */
  #paintPending(item, connection) {
    const view = this.#pending.get(item.client_id) ?? new PendingView(item.client_id);
    this.#pending.set(item.client_id, view);
    view.update(item, connection);
    return view.element;
  }

  /** Is the top near? The observer tells changes only, unless asked anew. */
  #lookAtTop() {
    this.#topSeen?.unobserve(this.#top);
    this.#topSeen?.observe(this.#top);
  }

  /** For a reload. */
  #keepPlace() {
    if (!this.#needs || !this.#seek?.isOver) return;
    const { scroller, keptByTab } = this.#needs;
    keepPlace(keptByTab, this.#follow?.isFollowing ? null : placeIn(scroller));
  }
}

/**
 * @param {EventTarget} target
 * @param {string[]} types
 * @param {() => void} listener
 */
function listen(target, types, listener) {
  for (const type of types) target.addEventListener(type, listener, { passive: true });
  return () => {
    for (const type of types) target.removeEventListener(type, listener);
  };
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
    edit: (button) => intents.edit(runOf(button)),
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
