/**
 * The composition root: reads what the server put into the page, builds, wires.
 * Nobody imports it.
 *
 * @import { Clock, Config, Intents, Panel, Session, Snapshot } from "./types.js"
 */

import { Conversation } from "./model/conversation.js";
import { Diagnostics } from "./model/diagnostics.js";
import { Kept } from "./model/kept.js";
import { Proof, sha256 } from "./model/proof.js";
import { Looked } from "./model/session_list.js";
import { Api } from "./net/api.js";
import { Outbox } from "./net/outbox.js";
import { Room } from "./net/room.js";
import { Sessions } from "./net/sessions.js";
import { Socket } from "./net/socket.js";
import { Announcer } from "./view/announcer.js";
import { help, sidebar, sidePanel, themeButton } from "./view/chrome.js";
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

/** @param {string} id of a json_script element */
const json = (id) => JSON.parse(byId(id).textContent ?? "null");
/** @type {Config} */
const config = json("config");
/** @type {Snapshot} */
const snapshot = json("snapshot");
/** When `config.now` was true, nearly: the browser's clock may be wrong by hours. */
const startedAt = performance.now();

/** @type {Clock} */
const clock = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => window.setTimeout(callback, ms),
  clearTimeout: (id) => window.clearTimeout(/** @type {number} */ (id)),
};
const owner = config.user?.name ?? "";
const kept = new Kept(() => localStorage, owner);
const keptByTab = new Kept(() => sessionStorage, owner);
if (owner) kept.adopt(new Kept(() => localStorage), ["draft:", "outbox:"]);
const isVisible = () => document.visibilityState === "visible";
const isOnline = () => navigator.onLine;

// ---------------------------------------------------------------- model

const conversation = new Conversation();
conversation.merge(snapshot.runs);
const diagnostics = new Diagnostics(clock);
const outbox = new Outbox(kept, config.session_id);
const proof = new Proof(conversation, sha256(window.crypto.subtle), (run) =>
  room.heal(run),
);
const looked = new Looked(kept);

// ---------------------------------------------------------------- net

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
/** @type {Socket} */
const socket = new Socket({
  url: `${scheme}//${location.host}${config.ws_path}`,
  WebSocket,
  clock,
  random: Math.random,
  heartbeat: config.heartbeat_interval * 1000,
  isVisible,
  isOnline,
  report: diagnostics.report,
  onOpen: () => room.opened(),
  onMessage: (message) => room.received(message),
});
/** @type {Room} */
const room = new Room({
  socket,
  conversation,
  outbox,
  clock,
  report: diagnostics.report,
  onSession: showSession,
  onError: (error) => toasts.say(error.message),
});
const api = new Api(config.urls.sessions, fetch.bind(window), csrfToken);
const sessions = new Sessions({
  api,
  clock,
  kept: keptByTab,
  isVisible,
  say: (text, offer) => toasts.say(text, offer),
  onRemoved: (id, title) => {
    if (id !== config.session_id) return;
    sessions.undoOnNextPage(id, title);
    location.assign("/");
  },
});

function csrfToken() {
  return /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? "";
}

// ---------------------------------------------------------------- intents

/** @type {Intents} */
const intents = {
  send(message) {
    const client_id = crypto.randomUUID?.() ?? randomId();
    const item = { message, client_id, at: clock.now(), ...composer.options };
    if (!outbox.put(item)) {
      toasts.say("Too many messages wait to be sent. Wait until some are.");
      return false;
    }
    looked.expect(sessionId);
    rememberAddress();
    transcript.toEnd();
    room.flush();
    return true;
  },
  stop(run) {
    const prompt = conversation.get(run);
    if (!room.stop(run)) {
      toasts.say("There is no connection. It will be stopped when that is back.");
    } else if (prompt?.status === "queued") {
      composer.offer(prompt.prompt);
    }
    socket.doubt(); // if the line is dead, find out now
  },
  edit(run) {
    composer.offer(conversation.get(run)?.prompt ?? "");
  },
  retry(run) {
    if (!room.retry(run))
      toasts.say("There is no connection. Try again when it is back.");
    else transcript.toEnd();
  },
  withdraw(clientId) {
    const item = outbox.find(clientId);
    outbox.remove(clientId);
    if (item) composer.offer(item.message);
  },
  resend(clientId) {
    const item = outbox.find(clientId);
    if (!item) return;
    const { error: _error, ...again } = item;
    outbox.put(again);
    room.flush();
  },
  loadEarlier: () => room.loadEarlier(),
  reconnect: () => socket.connect("asked"),
  copyStep(run, step) {
    const found = conversation.get(run)?.steps.find((each) => each.step === step);
    intents.copyText(found?.content ?? "");
  },
  copyAnswer(run) {
    const steps = conversation.get(run)?.steps ?? [];
    const answers = steps.filter((step) => step.type === "final_answer");
    intents.copyText(answers.map((step) => step.content).join("\n\n"));
  },
  copyText(text) {
    const copied = navigator.clipboard?.writeText(text) ?? Promise.reject();
    copied.then(
      () => toasts.say("Copied."),
      () => toasts.say("The browser did not allow copying."),
    );
  },
};

/** Where randomUUID is missing (plain http): 128 random bits. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The session gets its address with its first message, so that a reload finds it. */
function rememberAddress() {
  const address = `${config.urls.chat}${config.session_id}`;
  if (location.pathname !== address) history.replaceState(null, "", address);
}

/** @param {Partial<Session>} session */
function showSession({ title }) {
  if (title === undefined) return;
  setText(byId("title"), title || "New chat");
  pageTitle.set(title);
}

// ---------------------------------------------------------------- view

const painter = new Painter(
  (callback) => requestAnimationFrame(callback),
  () => performance.now(),
);
/** @param {Panel<any>} panel */
const requestPaint = (panel) => painter.request(panel);
const toasts = new Toasts(byId("toasts"), clock);
const announcer = new Announcer(byId("announcer"), conversation, clock);
const pageTitle = new PageTitle(conversation);
const { session_id: sessionId } = config;

const composer = new Composer({
  conversation,
  intents,
  kept,
  sessionId,
  isNew: () => location.pathname === config.urls.new_chat,
  agents: config.agents,
});

const transcript = new TranscriptPanel();
transcript.mount(byId("transcript"), {
  conversation,
  outbox: outbox.items,
  connection: socket.connection,
  intents,
  imagePage: { url: config.urls.image, csrfToken },
  requestPaint,
  kept,
  keptByTab,
  sessionId,
  clock,
  serverNow: () => config.now + (performance.now() - startedAt) / 1000,
  now: () => performance.now(),
  scroller: byId("scroller"),
  newBelow: byId("new-below"),
  empty: byId("empty"),
});

const sessionsPanel = new SessionsPanel();
sessionsPanel.mount(byId("sessions"), {
  state: sessions.state,
  intents: {
    search: (query) => sessions.search(query),
    showArchive: (isArchived) => sessions.showArchive(isArchived),
    more: () => sessions.more(),
    change: (id, fields) => {
      sessions.change(id, fields);
      if (id === sessionId && fields.title) showSession({ title: fields.title });
    },
    remove: (id) => sessions.remove(id),
  },
  requestPaint,
  looked,
  sessionId,
  chatUrl: config.urls.chat,
  now: clock.now,
});

const diagnosticsPanel = new DiagnosticsPanel();
diagnosticsPanel.mount(byId("diagnostics"), {
  diagnostics,
  connection: socket.connection,
  proof: proof.state,
  requestPaint,
  copyText: intents.copyText,
  sessionId,
});

new ConnectionLine(byId("connection"), {
  connection: socket.connection,
  proof: proof.state,
  isOnline,
  clock,
  intents,
  loginUrl: config.login_url,
});

const side = sidebar();
const panel = sidePanel(() => diagnosticsPanel.update());
const showHelp = help();
themeButton(new Kept(() => localStorage));
if (snapshot.session) showSession(snapshot.session);

byId("empty").addEventListener("click", ({ target }) => {
  const button = target instanceof Element ? target.closest("[data-prompt]") : null;
  if (button instanceof HTMLElement) intents.send(button.dataset.prompt ?? "");
});

listenForKeys(
  {
    "?": showHelp,
    "/": () => {
      side.dismiss();
      composer.focus();
    },
    n: () => location.assign("/"),
    s: () => {
      side.open();
      sessionsPanel.focus();
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
  letterKeys(kept),
);

/** Esc closes what covers the transcript; with nothing to close it stops the answer. */
function leave() {
  if (side.dismiss() || panel.dismiss()) return;
  const { active } = conversation;
  if (active) intents.stop(active.run);
}

// ---------------------------------------------------------------- go

conversation.subscribe((run) => announcer.changed(run));
conversation.subscribe((number) => {
  proof.check(number);
  const run = conversation.get(number);
  if (run && (run.seq <= 2 || run.status === "finished")) sessions.refresh();
});
for (const run of conversation.runs) proof.check(run.run);
sessions.state.subscribe(({ rows }) => {
  const row = rows.find((each) => each.session_id === sessionId);
  if (row && isVisible()) looked.note(row);
});

window.addEventListener("online", () => socket.wake("online"));
window.addEventListener("offline", () => socket.doubt());
window.addEventListener("storage", ({ key }) => {
  if (!outbox.concerns(key)) return;
  outbox.refresh();
  room.flush();
});
document.addEventListener("visibilitychange", () => {
  if (!isVisible()) return;
  socket.wake("visible");
  sessions.load();
});
// A page restored from the back/forward cache has a dead socket.
window.addEventListener(
  "pageshow",
  ({ persisted }) => persisted && socket.wake("restored"),
);

socket.connect("start");
sessions.start();

// What was said in a chat that never got to the server is in no list of chats.
const [elsewhere] = outbox.elsewhere();
if (elsewhere) {
  toasts.say("A message waits to be sent in another chat.", {
    label: "Open",
    act: () => location.assign(`${config.urls.chat}${elsewhere}`),
  });
}
