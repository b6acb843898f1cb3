/**
 * The composition root: reads what the server put into the page, builds, wires.
 * Nobody imports it.
 *
 * @import { Config } from "./types.js"
 * @import { Notice, Snapshot } from "./client/types.js"
 */

import { ChatClient, inBrowser, JsonStorage, listenToBrowser } from "./client/index.js";
import { Announcer } from "./view/announcer.js";
import {
  accountMenu,
  help,
  keyboardUse,
  sidebar,
  sidePanel,
  themeButton,
} from "./view/chrome.js";
import { Composer } from "./view/composer.js";
import { ConnectionLine } from "./view/connection.js";
import { byId, setText } from "./view/dom.js";
import { PageTitle } from "./view/page_title.js";
import { Painter } from "./view/paint.js";
import { DiagnosticsPanel } from "./view/panels/diagnostics.js";
import { SessionsPanel } from "./view/panels/sessions.js";
import { TranscriptPanel } from "./view/panels/transcript.js";
import { letterKeys, listenForKeys, moveAmongCards } from "./view/shortcuts.js";
import { Toasts } from "./view/toasts.js";
import { noticeText } from "./words/notices.js";

/** @param {string} id of a json_script element */
const json = (id) => JSON.parse(byId(id).textContent ?? "null");
/** @type {Config} */
const config = json("config");
/** @type {Snapshot} */
const snapshot = json("snapshot");
/** When `config.now` was true, nearly: the browser's clock may be wrong by hours. */
const startedAt = performance.now();
const sessionId = config.session_id;

// ---------------------------------------------------------------- client

const owner = config.user?.name ?? "";
const guests = new JsonStorage(() => localStorage);
const browser = inBrowser(window, { owner, sessionsUrl: config.urls.sessions });
const { clock, storage, tabStorage } = browser;
if (owner) storage.adopt(guests, ["draft:", "outbox:"]);

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const client = new ChatClient({
  ...browser,
  url: `${scheme}//${location.host}${config.ws_path}`,
  sessionId,
  heartbeat: config.heartbeat_interval * 1000,
  snapshot,
});

// ---------------------------------------------------------------- view

const painter = new Painter(
  (callback) => requestAnimationFrame(callback),
  () => performance.now(),
);
/** @param {{ update(): void }} panel */
const requestPaint = (panel) => painter.request(panel);
const toasts = new Toasts(byId("toasts"), clock);
const announcer = new Announcer(byId("announcer"), client.runs, clock);
const pageTitle = new PageTitle(client.runs);

const composer = new Composer({
  client,
  storage,
  isNew: () => location.pathname === config.urls.new_chat,
  agents: config.agents,
});

const transcript = new TranscriptPanel(byId("transcript"), {
  client,
  offer: (text) => composer.offer(text),
  copyText,
  imagePage: { url: config.urls.image, csrfToken: browser.api.csrfToken },
  requestPaint,
  storage,
  tabStorage,
  clock,
  serverNow: () => config.now + (performance.now() - startedAt) / 1000,
  now: () => performance.now(),
  scroller: byId("scroller"),
  newBelow: byId("new-below"),
  empty: byId("empty"),
});

const sessions = new SessionsPanel(byId("sessions"), {
  sessions: client.sessions,
  requestPaint,
  sessionId,
  chatUrl: config.urls.chat,
  now: clock.now,
});

const diagnostics = new DiagnosticsPanel(byId("diagnostics"), {
  client,
  requestPaint,
  copyText,
});

new ConnectionLine(byId("connection"), { client, clock, loginUrl: config.login_url });

const side = sidebar();
const panel = sidePanel(() => diagnostics.update());
const showHelp = help();
themeButton(guests);
accountMenu();
keyboardUse();

byId("prompts").addEventListener("click", ({ target }) => {
  const button = target instanceof Element ? target.closest("[data-prompt]") : null;
  if (button instanceof HTMLElement) composer.ask(button.dataset.prompt ?? "");
});

/** @param {string} text */
function copyText(text) {
  const copied = navigator.clipboard?.writeText(text) ?? Promise.reject();
  copied.then(
    () => toasts.say("Copied."),
    () => toasts.say("The browser did not allow copying."),
  );
}

// ---------------------------------------------------------------- keys

listenForKeys(
  {
    "?": showHelp,
    "/": () => {
      side.dismiss();
      composer.focus();
    },
    n: () => location.assign(config.urls.new_chat),
    s: () => {
      side.open();
      sessions.focus();
    },
    d: () => {
      side.dismiss();
      panel.toggle();
    },
    j: () => moveAmongCards(byId("transcript"), 1),
    k: () => moveAmongCards(byId("transcript"), -1),
    g: () => transcript.toEnd(),
  },
  leave,
  letterKeys(storage),
);

/** Esc closes what covers the transcript; with nothing to close it stops the answer. */
function leave() {
  if (!side.dismiss() && !panel.dismiss()) client.stop();
}

// ---------------------------------------------------------------- wires

client.runs.subscribe((run) => announcer.changed(run));
client.session.subscribe(({ title }) => {
  if (title === undefined) return;
  setText(byId("title"), title || "New chat");
  pageTitle.set(title);
});
client.on("asked", () => {
  rememberAddress();
  transcript.toEnd();
});
client.on("notice", (notice) => {
  if (notice.code === "session_deleted") deleted(notice);
  else toasts.say(noticeText(notice));
});

/** The session gets its address with its first message, so that a reload finds it. */
function rememberAddress() {
  const address = `${config.urls.chat}${sessionId}`;
  if (location.pathname !== address) history.replaceState(null, "", address);
}

/**
 * Offer to undo it; where it is the one that was open, on the next page.
 * @param {Notice} notice
 */
function deleted(notice) {
  const { session_id: id = "", title = "" } = notice;
  if (id === sessionId) {
    client.sessions.tellOfDeletionLater(id, title);
    location.assign(config.urls.new_chat);
    return;
  }
  const isFocused = byId("sessions").contains(document.activeElement);
  const act = () => client.sessions.restore(id);
  toasts.say(noticeText(notice), { label: "Undo", act, isFocused });
}

// ---------------------------------------------------------------- go

listenToBrowser(window, client);
client.connect();
client.sessions.start();

// What was said in a chat that never got to the server is in no list of chats.
const [elsewhere] = client.waitingElsewhere;
if (elsewhere) {
  toasts.say("A message waits to be sent in another chat.", {
    label: "Open",
    act: () => location.assign(`${config.urls.chat}${elsewhere}`),
  });
}
