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
import { copy } from "./view/clipboard.js";
import { Composer } from "./view/composer.js";
import { ConnectionLine } from "./view/connection.js";
import { byId, setText } from "./view/dom.js";
import { Drafts } from "./view/drafts.js";
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
const browser = inBrowser(window, {
  owner,
  sessionsUrl: config.urls.sessions,
  csrfCookie: config.csrf_cookie,
});
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

const drafts = new Drafts({
  storage,
  tabStorage,
  sessionId,
  isNew: location.pathname === config.urls.new_chat,
  now: clock.now,
});
client.on("asked", () => {
  drafts.asked();
  rememberAddress();
});
const composer = new Composer({ client, storage, drafts, agents: config.agents });

const transcript = new TranscriptPanel(byId("transcript"), {
  client,
  offer: (text) => composer.offer(text),
  askElsewhere: (text) => {
    drafts.beginNew(text, browser.createId());
    location.assign(config.urls.new_chat);
  },
  rest: () => composer.rest(),
  copyText,
  imagePage: { url: config.urls.image, csrfToken: browser.api.csrfToken },
  requestPaint,
  storage,
  // Not of its owner alone: first_paint.js reads it, and knows no owner.
  placeStorage: new JsonStorage(() => sessionStorage),
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
  sessionsUrl: config.urls.sessions,
  now: clock.now,
});

const diagnostics = new DiagnosticsPanel(byId("diagnostics"), {
  client,
  requestPaint,
  copyText,
});

new ConnectionLine(byId("connection"), {
  client,
  clock,
  loginUrl: config.login_url,
  newChatUrl: config.urls.new_chat,
});

const side = sidebar();
const panel = sidePanel(() => diagnostics.update());
const showHelp = help();
themeButton(guests);
accountMenu();
keyboardUse();

byId("import").addEventListener("click", async () => {
  const { bringChat } = await import("./view/bring.js");
  bringChat(client.sessions, (id) => location.assign(config.urls.chat + id));
});

byId("prompts").addEventListener("click", ({ target }) => {
  const button = target instanceof Element ? target.closest("[data-prompt]") : null;
  if (!(button instanceof HTMLElement)) return;
  composer.ask(button.dataset.prompt ?? "");
  composer.rest(); // the button is about to go
});

/** @param {string} text */
async function copyText(text) {
  const isCopied = await copy(text);
  if (isCopied) announcer.say("Copied.");
  else toasts.say("The browser did not allow copying.");
  return isCopied;
}

// ---------------------------------------------------------------- keys

listenForKeys({
  letters: {
    "?": showHelp,
    "/": () => write(),
    n: newChat,
    s: search,
    d: () => {
      side.dismiss();
      panel.toggle();
    },
    j: () => moveAmongCards(byId("transcript"), 1),
    k: () => moveAmongCards(byId("transcript"), -1),
    g: () => transcript.toEnd(),
  },
  chords: { k: search, "/": showHelp, "Shift+o": newChat },
  leave,
  write,
  scroll: (by) => transcript.scroll(by),
  scroller: byId("scroller"),
  isOn: letterKeys(storage),
});

function write() {
  side.dismiss();
  composer.focus();
}

function newChat() {
  location.assign(config.urls.new_chat);
}

function search() {
  panel.dismiss();
  side.open();
  sessions.focus();
}

/**
 * Esc closes what covers the transcript; with nothing to close it stops the answer, for
 * who is writing or reading.
 */
function leave() {
  if (side.dismiss() || panel.dismiss()) return;
  const { activeElement } = document;
  const isElsewhere = activeElement?.closest("#sidebar, #top, #diagnostics-panel");
  if (!isElsewhere) client.stop();
}

// ---------------------------------------------------------------- wires

client.runs.subscribe((run) => announcer.changed(run));
client.session.subscribe(({ title }) => {
  if (title === undefined) return;
  setText(byId("title"), title || "New chat");
  pageTitle.set(title);
});
client.on("asked", () => transcript.toEnd());
client.on("notice", (notice) => {
  if (notice.code === "session_deleted") deleted(notice);
  else if (notice.code === "operator") toasts.keep(noticeText(notice));
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

for (const id of client.waitingElsewhere) tellOfWaiting(id);

/**
 * What was said in a chat that never got to the server is in no list of chats; and where
 * that chat was deleted, it cannot be opened either.
 * @param {string} id
 */
async function tellOfWaiting(id) {
  const address = `${config.urls.chat}${id}`;
  const { status } = await fetch(address, { method: "HEAD" });
  const bring = () => composer.offer(client.takeFrom(id).join("\n\n"));
  const open = { label: "Open", act: () => location.assign(address) };
  const isGone = status === 404;
  toasts.say(
    isGone
      ? "A message was not sent: its chat was deleted."
      : "A message waits to be sent in another chat.",
    isGone ? { label: "Bring it here", act: bring } : open,
    { label: "Discard", act: () => client.takeFrom(id) },
  );
}
