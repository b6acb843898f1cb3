/**
 * The transcript: runs, and the messages that wait; painted from what changed.
 *
 * @import { ChatClient } from "../../client/chat_client.js"
 * @import { JsonStorage } from "../../client/storage.js"
 * @import { Clock, OutboxItem, Run } from "../../client/types.js"
 * @import { ImagePage } from "../remote_image.js"
 * @import { Context } from "../transcript/card.js"
 */

import { isDeleted } from "../../words/line.js";
import { delegate, setChildren } from "../dom.js";
import { downloads, wrapCode } from "../download.js";
import { Follow } from "../follow.js";
import { showMoreRows } from "../markdown/table.js";
import { enlarge, pressPicturesByKey } from "../picture.js";
import { placeIn, storedPlace, storePlace } from "../place.js";
import { toggleImage } from "../remote_image.js";
import { Seek } from "../seek.js";
import { unfoldQuestion } from "../transcript/ask.js";
import { copies } from "../transcript/copy.js";
import { Folds, unfoldToPrint } from "../transcript/fold.js";
import { PendingView } from "../transcript/pending.js";
import { showAll } from "../transcript/result.js";
import { RunView } from "../transcript/run.js";
import { showEarlier } from "../transcript/work.js";

/** Milliseconds of painting after which the next frame gets its turn. */
const SLICE_MS = 10;

/**
 * @typedef {object} Needs
 * @property {ChatClient} client
 * @property {(text: string) => void} offer puts a text that was taken back into the composer
 * @property {(text: string) => void} askElsewhere takes a text to a new chat
 * @property {() => void} rest takes the focus where it would be lost
 * @property {(text: string) => Promise<boolean>} copyText was it?
 * @property {ImagePage} imagePage
 * @property {(panel: TranscriptPanel) => void} requestPaint
 * @property {JsonStorage} storage
 * @property {JsonStorage} placeStorage
 * @property {Clock} clock
 * @property {() => number} now milliseconds
 * @property {() => number} serverNow Unix seconds
 * @property {HTMLElement} scroller
 * @property {HTMLElement} newBelow
 * @property {HTMLElement} empty
 */

export class TranscriptPanel {
  #root;
  #needs;
  #context;
  #follow;
  #seek;
  /** @type {Map<number, RunView>} */
  #runs = new Map();
  /** @type {Map<string, PendingView>} */
  #pending = new Map();
  /** @type {Set<number>} */
  #changed = new Set();
  #top = document.createElement("div");
  #topSeen;
  #isTopNear = false;
  /** @type {unknown} */
  #ticking = null;

  /**
   * @param {HTMLElement} root
   * @param {Needs} needs
   */
  constructor(root, needs) {
    this.#needs = needs;
    this.#root = root;
    this.#top.className = "top-of-list";
    for (const run of needs.client.runs.runs) this.#changed.add(run.run);
    this.#follow = new Follow(needs.scroller, root, needs.newBelow);
    /** @type {Context} */
    this.#context = {
      folds: new Folds(needs.storage, needs.client.sessionId),
      now: needs.now,
      serverNow: needs.serverNow,
      waitsFor: (/** @type {number} */ run) => needs.client.runs.waitsFor(run),
      isFollowing: () => this.#follow.isFollowing,
    };
    this.#seek = new Seek(needs, this.#follow);
    this.#topSeen = this.#watchTop();
    const place = storedPlace(needs.placeStorage);
    if (place) this.#seek.toPlace(place);
    else this.#seek.toLink(location.hash);
    this.update();
    this.#listen();
  }

  /** Paint what changed since the last time. */
  update() {
    this.#follow.around(() => this.#paint());
    const isThere = this.#seek.goOn((run) => !this.#changed.has(run));
    if (!isThere) this.#needs.requestPaint(this);
    if (this.#isTopNear) this.#lookAtTop();
    this.#tick();
  }

  /** While something runs, say every second for how long. */
  #tick() {
    const { clock, client, requestPaint } = this.#needs;
    const { active } = client.runs;
    if (!active || this.#ticking) return;
    this.#ticking = clock.setTimeout(() => {
      this.#ticking = null;
      this.#changed.add(active.run);
      requestPaint(this);
    }, 1000);
  }

  /**
   * The reader scrolls, by a key that was pressed elsewhere.
   * @param {number} by pixels
   */
  scroll(by) {
    this.#seek.drop();
    this.#needs.scroller.scrollBy({ top: by, behavior: "instant" });
  }

  /** Show the end, whatever the reader looks at: they have just said something. */
  toEnd() {
    this.#seek.drop();
    this.#follow.toEnd();
  }

  #watchTop() {
    const { client, scroller } = this.#needs;
    const isNear = (/** @type {IntersectionObserverEntry[]} */ [entry]) => {
      this.#isTopNear = entry?.isIntersecting ?? false;
      if (this.#isTopNear) client.loadEarlier();
    };
    const options = { root: scroller, rootMargin: "600px 0px 0px" };
    return new IntersectionObserver(isNear, options);
  }

  #listen() {
    const { client, copyText, imagePage, scroller } = this.#needs;
    const repaint = () => this.#needs.requestPaint(this);
    const keep = () => this.#keepPlace();
    this.#lookAtTop();
    window.addEventListener("hashchange", () => {
      this.#seek.toLink(location.hash);
      repaint();
    });
    unfoldToPrint(this.#root);
    pressPicturesByKey(this.#root);
    window.addEventListener("pagehide", keep);
    document.addEventListener("visibilitychange", keep);
    // A reader who moves is where they want to be.
    for (const type of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      scroller.addEventListener(type, () => this.#seek.drop(), { passive: true });
    }
    client.runs.subscribe((run) => {
      this.#changed.add(run);
      repaint();
    });
    client.pending.subscribe(repaint);
    client.line.subscribe(repaint);
    delegate(this.#root, {
      ...handlers(this.#needs, () => this.toEnd()),
      ...copies(client.runs, copyText),
      ...downloads,
      "wrap-code": wrapCode,
      "load-image": (button) => toggleImage(button, imagePage),
      enlarge,
    });
    this.#root.addEventListener("click", ({ target }) => {
      if (target instanceof Element && target.closest("summary, .earlier")) {
        this.#follow.pause();
      }
    });
  }

  #paint() {
    const { client, empty, requestPaint } = this.#needs;
    this.#paintRuns();
    const line = client.line.get();
    const waiting = client.pending
      .get()
      .filter((item) => !client.runs.findByClientId(item.client_id));
    const pending = waiting.map((item) => {
      const view = this.#pendingOf(item);
      view.update(item, line, isDeleted(line, client.runs.runs.length > 0));
      return view.element;
    });
    const runs = client.runs.runs.flatMap(({ run }) => this.#elementOf(run) ?? []);
    this.#top.hidden = !client.runs.hasEarlier;
    setChildren(this.#root, [this.#top, ...runs, ...pending]);
    empty.hidden = runs.length + pending.length > 0;
    if (this.#changed.size > 0) requestPaint(this);
  }

  #paintRuns() {
    const { client, now } = this.#needs;
    const end = now() + SLICE_MS;
    // The latest first: there, most readers are.
    for (const number of [...this.#changed].sort((a, b) => b - a)) {
      const run = client.runs.get(number);
      const isShown = !run || this.#viewOf(run).update(run);
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

  /** @param {Run} run */
  #viewOf(run) {
    const view = this.#runs.get(run.run) ?? new RunView(run, this.#context);
    this.#runs.set(run.run, view);
    return view;
  }

  /** @param {OutboxItem} item */
  #pendingOf({ client_id }) {
    const view = this.#pending.get(client_id) ?? new PendingView(client_id);
    this.#pending.set(client_id, view);
    return view;
  }

  /** Is the top near? The observer tells changes only, unless asked anew. */
  #lookAtTop() {
    this.#topSeen.unobserve(this.#top);
    this.#topSeen.observe(this.#top);
  }

  /** For a reload. */
  #keepPlace() {
    if (!this.#seek.isOver) return;
    const { scroller, placeStorage } = this.#needs;
    storePlace(placeStorage, this.#follow.isFollowing ? null : placeIn(scroller));
  }
}

/**
 * @param {Needs} needs
 * @param {() => void} toEnd
 * @returns {Record<string, (button: HTMLElement) => void>}
 */
function handlers({ client, offer, askElsewhere, rest }, toEnd) {
  return {
    edit: (button) => offer(client.edit(runOf(button))),
    retry: (button) => client.retry(runOf(button)) && toEnd(),
    withdraw: (button) => offer(client.withdraw(runOf(button))),
    resend: (button) => {
      client.resend(clientIdOf(button));
      rest(); // the button is about to go
    },
    "ask-elsewhere": (button) => askElsewhere(client.withdraw(clientIdOf(button))),
    "withdraw-message": (button) => offer(client.withdraw(clientIdOf(button))),
    earlier: (button) => {
      const steps = button.closest(".steps");
      if (steps) showEarlier(steps, button.ariaExpanded !== "true");
    },
    "unfold-question": unfoldQuestion,
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
