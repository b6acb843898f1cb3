import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeEach, test } from "node:test";
import { ChatClient } from "../../static/chat/js/client/chat_client.js";
import { fiveTries } from "../../static/chat/js/client/reconnect.js";
import { created, FakeClock, FakeServer, fakeStorage, finishedRun } from "./fakes.js";

/** @import { ClientOptions } from "../../static/chat/js/client/chat_client.js" */
/** @import { RunEvent } from "../../static/chat/js/client/types.js" */

const DOCS = readFileSync(
  path.join(import.meta.dirname, "..", "..", "docs", "client.md"),
  "utf8",
);

/** @type {FakeClock} */
let clock;
/** @type {FakeServer} */
let server;
/** @type {ChatClient} */
let client;
let isOnline = true;
/** @type {[string, any][]} */
let told = [];

const EVENTS = [
  "connected",
  "disconnected",
  "reasoning_start",
  "reasoning_step",
  "response",
  "interrupted",
  "reasoning_complete",
  "error",
  "reconnecting",
  "reconnect_failed",
  "token",
  "notice",
];

/** @param {Partial<ClientOptions>} [options] */
function build(options = {}) {
  let ids = 0;
  told = [];
  const built = new ChatClient({
    url: "ws://here/ws/chat/s",
    sessionId: "s",
    WebSocket: server.WebSocket,
    clock,
    random: () => 0.5,
    createId: () => {
      ids += 1;
      return `id-${ids}`;
    },
    storage: fakeStorage(),
    tabStorage: fakeStorage(),
    isVisible: () => true,
    isOnline: () => isOnline,
    digest: null,
    api: { url: "", fetch: () => Promise.reject(new TypeError()), csrfToken: () => "" },
    ...options,
  });
  for (const event of EVENTS) built.on(event, (data) => told.push([event, data]));
  return built;
}

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer();
  server.opensAtOnce = false;
  isOnline = true;
  client = build();
});

const connect = () => {
  client.connect();
  server.open();
};
const state = () => client.line.get().state;
/** @param {string[]} names */
const events = (...names) => told.filter(([name]) => names.includes(name));

const story = ({ enable_reasoning = true } = {}) =>
  /** @type {RunEvent[]} */ ([
    { ...created("q"), enable_reasoning },
    { seq: 2, kind: "run_started", epoch: 1, timestamp: 1 },
    {
      seq: 3,
      kind: "step_started",
      step: 0,
      type: "final_answer",
      iteration: 1,
      timestamp: 2,
    },
    { seq: 4, kind: "step_delta", step: 0, text: "Hello" },
    { seq: 5, kind: "step_delta", step: 0, text: ", you" },
    {
      seq: 6,
      kind: "step_finished",
      step: 0,
      status: "ok",
      duration_ms: 3,
      digest: "d",
    },
    { seq: 7, kind: "run_finished", reason: "answered", duration_ms: 4 },
  ]);

// What is said of the line

test("the line is live only when it has caught up", () => {
  assert.equal(state(), "idle");
  server.on.subscribe = () => {};
  client.connect();
  assert.equal(state(), "connecting");
  server.open();
  assert.equal(state(), "joining");
  server.send("snapshot", { session: null, runs: [], earlier: false });
  assert.equal(state(), "live");
});

test("a server that refuses the join leaves the line catching up, not live", () => {
  server.on.subscribe = () =>
    server.send("error", { code: "internal", message: "Away.", retryable: true });
  connect();
  assert.equal(state(), "joining");
  assert.ok((client.line.get().retryAt ?? 0) > clock.now());
  assert.deepEqual(events("notice", "connected"), []);
  server.on = {};
  clock.tick(10_000);
  assert.equal(state(), "live");
});

test("a network that is gone is doubted at once, and believed after 10 s", () => {
  connect();
  server.on.ping = () => {};
  isOnline = false;
  client.doubt();
  assert.equal(state(), "doubt");
  clock.tick(10_000);
  assert.equal(state(), "offline");
});

test("a doubt that an answer dispels was none", () => {
  connect();
  server.on.ping = () => {};
  client.doubt();
  assert.equal(state(), "doubt");
  server.send("pong", {});
  assert.equal(state(), "live");
});

test("a request of the list that gets no answer casts doubt on the line", async () => {
  connect();
  server.on.ping = () => {};
  await client.sessions.load();
  assert.equal(state(), "doubt");
  assert.equal(client.sessions.state.get().error?.code, "unreachable");
});

test("a silent line is in doubt after 2 s, and lost after 10", () => {
  connect();
  server.on.ping = () => {};
  clock.tick(32_000);
  assert.equal(state(), "doubt");
  clock.tick(8_000);
  assert.equal(state(), "waiting");
});

test("what ends for good says by which code", () => {
  connect();
  server.closeConnection(4401);
  assert.deepEqual(client.line.get(), { state: "ended", code: 4401, retryAt: null });
  assert.deepEqual(events("connected", "disconnected"), [
    ["connected", { session_id: "s" }],
    ["disconnected", { code: 4401 }],
  ]);
});

test("with the reference system's policy it tries five times and says so", () => {
  client = build({ reconnect: fiveTries });
  connect();
  server.accepts = false;
  server.closeConnection(1006);
  for (const seconds of [2, 4, 6, 8, 10]) {
    clock.tick(seconds * 1000);
    server.open();
  }
  assert.deepEqual(
    events("reconnecting").map(([, { delay }]) => delay),
    [2000, 4000, 6000, 8000, 10_000],
  );
  assert.equal(events("reconnect_failed").length, 1);
  assert.equal(client.line.get().retryAt, null);
  clock.tick(100_000);
  assert.equal(server.sockets.length, 6);
  server.accepts = true;
  client.connect();
  server.open();
  assert.equal(state(), "live");
});

test("a gap is caught up with; nobody is told of a new connection", () => {
  connect();
  server.log(1, story().slice(0, 3));
  server.isJoined = false;
  server.log(1, story().slice(3, 4));
  server.isJoined = true;
  server.log(1, story().slice(4));
  assert.equal(state(), "live");
  assert.equal(events("connected").length, 1);
});

// Events

test("a run is told in the words of the reference system", () => {
  connect();
  for (const event of story()) server.log(1, [event]);
  assert.deepEqual(told.slice(1), [
    [
      "reasoning_start",
      { run: 1, agent: "researcher", message: "q", enable_reasoning: true },
    ],
    ["token", { run: 1, step: 0, type: "final_answer", at: 0, text: "Hello" }],
    ["token", { run: 1, step: 0, type: "final_answer", at: 5, text: ", you" }],
    [
      "reasoning_step",
      {
        run: 1,
        step: 0,
        type: "final_answer",
        iteration: 1,
        content: "Hello, you",
        timestamp: 2,
        duration_ms: 3,
      },
    ],
    ["reasoning_complete", { run: 1, reason: "answered" }],
  ]);
});

test("however the line breaks, each is told once", () => {
  for (let at = 1; at < story().length; at += 1) {
    server = new FakeServer();
    server.opensAtOnce = false;
    client = build();
    connect();
    server.log(1, story().slice(0, at));
    server.closeConnection(1006);
    server.log(1, story().slice(at));
    clock.tick(1_000);
    server.open();
    const names = told.map(([name]) => name).filter((name) => /^reason/.test(name));
    assert.deepEqual(names, [
      "reasoning_start",
      "reasoning_step",
      "reasoning_complete",
    ]);
    const text = events("token").map(([, token]) => token.text);
    assert.equal(text.join(""), "Hello, you");
  }
});

test("a run that began and ended while the line was down is told", () => {
  connect();
  server.closeConnection(1006);
  server.log(1, story());
  clock.tick(1_000);
  server.open();
  assert.equal(events("reasoning_complete").length, 1);
  assert.equal(events("token")[0]?.[1].text, "Hello, you");
});

test("history is not told", () => {
  server.logs.set(1, story());
  server.logs.set(2, story().slice(0, 4));
  connect();
  assert.deepEqual(
    told.map(([name]) => name),
    ["connected"],
  );
  server.log(2, story().slice(4));
  assert.deepEqual(
    events("token").map(([, { run, at, text }]) => [run, at, text]),
    [[2, 5, ", you"]],
  );
});

test("a step that is written anew begins at 0 again", () => {
  connect();
  server.log(1, story().slice(0, 5));
  server.log(1, [
    {
      seq: 6,
      kind: "step_finished",
      step: 0,
      status: "discarded",
      duration_ms: 1,
      digest: "",
    },
    { seq: 7, kind: "run_started", epoch: 2, timestamp: 5 },
    {
      seq: 8,
      kind: "step_started",
      step: 0,
      type: "final_answer",
      iteration: 1,
      timestamp: 6,
    },
    { seq: 9, kind: "step_delta", step: 0, text: "Hello, you all" },
  ]);
  assert.deepEqual(
    events("token").map(([, { at, text }]) => [at, text]),
    [
      [0, "Hello, you"],
      [0, "Hello, you all"],
    ],
  );
});

test("without reasoning the answer is told as a response", () => {
  connect();
  server.log(1, story({ enable_reasoning: false }));
  assert.deepEqual(events("response", "reasoning_step"), [
    ["response", { run: 1, content: "Hello, you" }],
  ]);
});

test("a stop and a failure are told before the end", () => {
  connect();
  const error = { code: "model_error", message: "No.", retryable: false };
  const end = { seq: 3, kind: /** @type {const} */ ("run_finished"), duration_ms: 1 };
  server.log(1, [...story().slice(0, 2), { ...end, reason: "stopped" }]);
  server.log(2, [...story().slice(0, 2), { ...end, reason: "failed", error }]);
  assert.deepEqual(events("interrupted", "error", "reasoning_complete"), [
    ["interrupted", { run: 1 }],
    ["reasoning_complete", { run: 1, reason: "stopped" }],
    ["error", { run: 2, ...error }],
    ["reasoning_complete", { run: 2, reason: "failed" }],
  ]);
});

test("a handler that was taken away hears nothing", () => {
  let heard = 0;
  const stop = client.on("connected", () => {
    heard += 1;
  });
  stop();
  connect();
  assert.equal(heard, 0);
});

// Verbs

test("what is asked is pending until its run is there", () => {
  connect();
  server.on.chat = ({ client_id }) => server.send("accepted", { client_id, run: 1 });
  assert.ok(client.ask("why?", { agent_name: "a" }));
  assert.equal(client.pending.get()[0]?.isAccepted, true);
  server.log(1, [created("why?", "id-1")]);
  assert.equal(client.pending.get().length, 0);
  assert.equal(server.commands("chat")[0].payload.agent_name, "a");
});

test("a full outbox says so", () => {
  for (let n = 0; n < 20; n += 1) assert.ok(client.ask(`${n}`));
  assert.equal(client.ask("more"), false);
  assert.deepEqual(events("notice"), [["notice", { code: "outbox_full" }]]);
});

test("what waits can be taken back: a message, or a run", () => {
  assert.ok(client.ask("one"));
  assert.equal(client.withdraw("id-1"), "one");
  assert.equal(client.withdraw("id-1"), "");
  connect();
  server.log(1, [created("two")]);
  assert.equal(client.withdraw(1), "two");
  assert.equal(server.commands("interrupt").length, 1);
  server.log(1, story().slice(1, 2));
  assert.equal(client.withdraw(1), "");
  assert.equal(client.edit(1), "two");
});

test("a refused message is sent again when asked to", () => {
  connect();
  server.on.chat = ({ client_id }) =>
    server.send("error", {
      code: "bad_message",
      message: "No.",
      retryable: false,
      client_id,
    });
  client.ask("one");
  assert.equal(client.pending.get()[0]?.error?.code, "bad_message");
  server.on = {};
  client.resend("id-1");
  assert.equal(client.pending.get().length, 0);
});

test("stop stops what is being answered; without a line it says that it waits", () => {
  connect();
  client.stop();
  assert.equal(server.commands("interrupt").length, 0);
  server.log(1, story().slice(0, 4));
  client.stop();
  assert.deepEqual(server.commands("interrupt")[0].payload, { run: 1, seen: 4 });
  server.closeConnection(1006);
  client.stop();
  assert.deepEqual(events("notice"), [["notice", { code: "stop_waits" }]]);
  assert.equal(client.retry(1), false);
  assert.equal(events("notice").at(-1)?.[1].code, "no_line");
});

test("closed, it does nothing any more", () => {
  connect();
  client.sessions.start();
  server.on.subscribe = () => {};
  client.close();
  clock.tick(1_000_000);
  assert.equal(clock.pending, 0);
  assert.equal(server.sockets.length, 1);
  assert.equal(state(), "ended");
});

test("a snapshot of the page's is held from the start", () => {
  const session = { session_id: "s", title: "T", agent_name: "a" };
  client = build({ snapshot: { session, runs: [finishedRun(3)], earlier: true } });
  assert.equal(client.session.get().title, "T");
  assert.equal(client.runs.first, 3);
  connect();
  assert.deepEqual(server.commands("subscribe")[0].payload.seen, { 3: [0, 9] });
});

test("the page on the client has all events and notices", () => {
  for (const event of [...EVENTS, "run", "line", "session", "asked"]) {
    assert.ok(DOCS.includes(`\`${event}\``), event);
  }
});
