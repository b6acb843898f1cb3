import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Conversation } from "../../static/chat/js/client/conversation.js";
import { Outbox } from "../../static/chat/js/client/outbox.js";
import { fullJitter } from "../../static/chat/js/client/reconnect.js";
import { Room } from "../../static/chat/js/client/room.js";
import { Socket } from "../../static/chat/js/client/socket.js";
import { fold } from "../../static/chat/js/client/transcript.js";
import {
  created,
  FakeClock,
  FakeServer,
  fakeStorage,
  finishedRun,
  seeded,
} from "./fakes.js";

/** @import { RunEvent } from "../../static/chat/js/client/types.js" */

/** @type {FakeClock} */
let clock;
/** @type {FakeServer} */
let server;
/** @type {Conversation} */
let conversation;
/** @type {Outbox} */
let outbox;
/** @type {Socket} */
let socket;
/** @type {Room} */
let room;
/** @type {Record<string, number>} */
let counts = {};
/** @type {string[]} */
let errors = [];

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer();
  server.opensAtOnce = false;
  conversation = new Conversation();
  outbox = new Outbox(fakeStorage(), "s");
  counts = {};
  errors = [];
  const report = (/** @type {string} */ kind) => {
    counts[kind] = (counts[kind] ?? 0) + 1;
  };
  socket = new Socket({
    url: "ws://here",
    WebSocket: server.WebSocket,
    clock,
    random: () => 0.5,
    heartbeat: 30_000,
    reconnect: fullJitter,
    isVisible: () => true,
    isOnline: () => true,
    report,
    onOpen: () => room.opened(),
    onMessage: (message) => room.received(message),
  });
  room = new Room({
    socket,
    conversation,
    outbox,
    clock,
    random: () => 0.5,
    report,
    onSession: () => {},
    onError: (error) => errors.push(error.message),
    onNotice: (text) => errors.push(text),
  });
});

const connect = () => {
  socket.connect();
  server.open();
};
/** @param {number} number */
const stored = (number) => fold(number, server.logs.get(number) ?? []);
/** @param {string} id */
const say = (id) => {
  outbox.put({ client_id: id, message: `message ${id}`, at: clock.now() });
  room.flush();
};

/** @returns {RunEvent[]} */
const story = () => [
  created("q"),
  { seq: 2, kind: "run_started", epoch: 1, timestamp: 1 },
  {
    seq: 3,
    kind: "step_started",
    step: 0,
    type: "final_answer",
    iteration: 1,
    timestamp: 1,
  },
  { seq: 4, kind: "step_delta", step: 0, text: "Hello" },
  { seq: 5, kind: "step_delta", step: 0, text: ", " },
  { seq: 6, kind: "step_delta", step: 0, text: "world" },
  { seq: 7, kind: "step_finished", step: 0, status: "ok", duration_ms: 3, digest: "d" },
  { seq: 8, kind: "run_finished", reason: "answered", duration_ms: 4 },
];

test("joins with what it has", () => {
  conversation.merge([finishedRun(1)]);
  connect();
  const [subscribe] = server.commands("subscribe");
  assert.deepEqual(subscribe.payload, { protocol: 2, seen: { 1: [0, 9] }, ref: 1 });
});

test("applies events in order and drops doubles", () => {
  connect();
  for (const event of story()) {
    server.log(1, [event]);
    server.send("events", { run: 1, events: [event] });
  }
  assert.deepEqual(conversation.get(1), stored(1));
  assert.equal(counts.doubles, 8);
});

test("events before the snapshot wait for it", () => {
  server.on.subscribe = () => {};
  connect();
  const [first, second] = story();
  server.send("events", { run: 1, events: [second] });
  assert.equal(conversation.get(1), undefined);
  server.send("snapshot", {
    session: null,
    runs: [fold(1, [/** @type {RunEvent} */ (first)])],
    earlier: false,
  });
  assert.equal(conversation.get(1)?.status, "running");
});

test("a gap makes it join again, and heals", () => {
  connect();
  const events = story();
  server.log(1, events.slice(0, 3));
  server.isJoined = false;
  server.log(1, events.slice(3, 5));
  server.isJoined = true;
  server.log(1, events.slice(5));
  assert.equal(counts.gap, 1);
  assert.deepEqual(conversation.get(1), stored(1));
});

test("a gap that joining does not heal makes it fetch the run whole", () => {
  connect();
  const events = story();
  server.log(1, events.slice(0, 3));
  server.on.subscribe = ({ seen }) => {
    // This server has lost what is between.
    if ("1" in seen) {
      server.send("snapshot", { session: null, runs: [], earlier: false });
      server.send("events", { run: 1, events: events.slice(5, 6) });
    } else {
      server.send("snapshot", {
        session: null,
        runs: [fold(1, events)],
        earlier: false,
      });
    }
  };
  server.send("events", { run: 1, events: events.slice(5, 6) });
  assert.equal(conversation.get(1)?.status, "finished");
  assert.ok(server.commands("subscribe").length < 6);
});

test("however the line drops, the transcript ends as the log", () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = seeded(seed);
    connect();
    const number = server.logs.size + 1;
    for (const event of story()) badly(random, () => server.log(number, [event]));
    reconnectAfter(() => {});
    assert.deepEqual(conversation.get(number), stored(number), `seed ${seed}`);
  }
});

/**
 * Do it on a line that drops, or loses a frame, or neither.
 * @param {() => number} random
 * @param {() => void} act
 */
function badly(random, act) {
  const luck = random();
  if (luck < 0.3) reconnectAfter(act);
  else {
    server.isJoined = luck > 0.45;
    act();
    server.isJoined = true;
  }
}

/** @param {() => void} act */
function reconnectAfter(act) {
  server.closeConnection(1006);
  act();
  clock.tick(20_000);
  server.open();
}

test("runs missed while away are fetched, holes too", () => {
  conversation.merge([finishedRun(1)]);
  server.on.subscribe = () =>
    server.send("snapshot", {
      session: null,
      runs: [60, 61].map(finishedRun),
      earlier: true,
    });
  server.on.history = ({ before, limit }) => {
    const runs = [];
    for (let run = Math.max(1, before - limit); run < before; run += 1) {
      runs.push(finishedRun(run));
    }
    server.send("history", { runs, earlier: before > 1 });
  };
  connect();
  assert.equal(conversation.runs.length, 61);
  assert.equal(conversation.hole, null);
});

test("earlier runs come when asked for, one question at a time", () => {
  conversation.merge([finishedRun(50)]);
  server.on.history = () => {};
  connect();
  room.loadEarlier();
  room.loadEarlier();
  assert.deepEqual(
    server.commands("history").map(({ payload }) => payload),
    [{ before: 50, limit: 20 }],
  );
  clock.tick(15_000);
  room.loadEarlier();
  assert.equal(server.commands("history").length, 2);
});

test("runs before ours in a snapshot are left for scrolling", () => {
  conversation.merge([finishedRun(5)]);
  server.on.subscribe = () =>
    server.send("snapshot", { session: null, runs: [finishedRun(4)], earlier: true });
  connect();
  assert.equal(conversation.get(4), undefined);
});

test("messages go out in order, each after the last was accepted", () => {
  say("a");
  say("b");
  assert.equal(server.received.length, 0);
  server.on.chat = () => {};
  connect();
  assert.deepEqual(
    server.commands("chat").map(({ payload }) => payload.client_id),
    ["a"],
  );
  server.send("accepted", { client_id: "a", run: 1 });
  assert.deepEqual(
    server.commands("chat").map(({ payload }) => payload.client_id),
    ["a", "b"],
  );
});

test("a message is sent again on a new line, and counts once", () => {
  const accept = server._chat;
  server.on.chat = (payload) => {
    server.on = {};
    accept.call(server, payload);
  };
  connect();
  server.send = () => {}; // its answer is lost
  say("a");
  Reflect.deleteProperty(server, "send");
  assert.equal(outbox.items.get().length, 1);
  server.closeConnection(1006);
  clock.tick(125);
  server.open();
  assert.equal(outbox.items.get().length, 0);
  assert.equal(server.logs.size, 1);
});

test("an answer that does not come is asked for again", () => {
  server.on.chat = () => {};
  connect();
  say("a");
  clock.tick(15_000);
  assert.equal(server.commands("chat").length, 2);
});

test("seeing one's own message is as good as having it accepted", () => {
  server.on.chat = () => {};
  connect();
  say("a");
  server.log(1, [created("message a", "a")]);
  assert.equal(outbox.items.get().length, 0);
});

test("a refused message stays with its reason; the next one goes", () => {
  connect();
  server.on.chat = ({ client_id }) => {
    if (client_id === "b") return server._chat({ client_id, message: "" });
    const data = { code: "bad_message", message: "No.", retryable: false, client_id };
    server.send("error", data);
  };
  say("a");
  say("b");
  assert.deepEqual(
    outbox.items.get().map(({ client_id, error }) => [client_id, error?.message]),
    [["a", "No."]],
  );
});

test("told to slow down, it waits as long as it was told", () => {
  connect();
  server.on.chat = ({ client_id }) => {
    const data = { code: "rate_limited", message: "Slow.", retryable: true };
    server.send("error", { ...data, retry_after: 3, client_id });
  };
  say("a");
  server.on = {};
  assert.equal(outbox.items.get()[0]?.delay?.message, "Slow.");
  clock.tick(2999);
  assert.equal(outbox.items.get().length, 1);
  clock.tick(1);
  assert.equal(outbox.items.get().length, 0);
});

test("Stop says what was seen", () => {
  connect();
  server.log(1, story().slice(0, 5));
  room.stop(1);
  assert.deepEqual(server.commands("interrupt")[0].payload, { run: 1, seen: 5 });
});

test("what is proved wrong is fetched afresh", () => {
  connect();
  server.log(1, story());
  const run = conversation.get(1);
  assert.ok(run?.steps[0]);
  run.steps[0].content = "forged";
  room.heal(1);
  assert.deepEqual(conversation.get(1), stored(1));
});

test("a run to be stopped is stopped though the line broke just then", () => {
  connect();
  server.log(1, story().slice(0, 4));
  server.send("events", { run: 1, events: story().slice(0, 4) });
  server.on.interrupt = () => {};
  assert.ok(room.stop(1));
  server.closeConnection(1006);
  clock.tick(500);
  server.open();
  assert.deepEqual(
    server.commands("interrupt").map(({ payload }) => payload),
    [
      { run: 1, seen: 4 },
      { run: 1, seen: 4 },
    ],
  );
  server.send("events", { run: 1, events: story().slice(4) });
  server.closeConnection(1006);
  clock.tick(500);
  server.open();
  assert.equal(server.commands("interrupt").length, 2);
});

test("a retry pressed twice is one", () => {
  connect();
  conversation.merge([finishedRun(1)]);
  server.on.retry = () => {};
  assert.ok(room.retry(1));
  assert.ok(room.retry(1));
  assert.equal(server.commands("retry").length, 1);
  server.send("events", { run: 2, events: [created("q")] });
  assert.ok(room.retry(1));
  assert.equal(server.commands("retry").length, 2);
});

test("the oldest run comes back after it was fetched afresh", () => {
  conversation.merge([finishedRun(3), finishedRun(4)]);
  connect();
  server.logs.set(3, []);
  server.on.subscribe = () =>
    server.send("snapshot", { session: null, runs: [finishedRun(2), finishedRun(3)] });
  room.heal(3);
  assert.deepEqual(
    conversation.runs.map(({ run }) => run),
    [3, 4],
  );
});

test("refused for now, a message goes again by itself, before what waits after it", () => {
  connect();
  let refusals = 3;
  server.on.chat = (payload) => {
    refusals -= 1;
    if (refusals < 0) return server._chat(payload);
    const data = { code: "queue_full", message: "Full.", retryable: true };
    server.send("error", { ...data, client_id: payload.client_id });
  };
  say("a");
  say("b");
  assert.deepEqual(
    outbox.items.get().map(({ error, delay }) => [error, delay?.code]),
    [
      [undefined, "queue_full"],
      [undefined, undefined],
    ],
  );
  for (let n = 0; n < 3; n += 1) clock.tick(20_000);
  assert.equal(outbox.items.get().length, 0);
  assert.equal(conversation.get(1)?.client_id, "a");
});

test("a message stays until its run is there, though it was accepted before", () => {
  connect();
  server.on.chat = ({ client_id }) => server.send("accepted", { client_id, run: 1 });
  say("a");
  assert.deepEqual(
    outbox.items.get().map(({ isAccepted }) => isAccepted),
    [true],
  );
  server.log(1, [created("message a", "a")]);
  assert.equal(outbox.items.get().length, 0);
});

// Joining

const isJoined = () => room.state.get().isJoined;
const joins = () => server.commands("subscribe").length;
const away = { code: "internal", message: "The database is away.", retryable: true };

test("it has joined when the snapshot has come, and not before", () => {
  server.on.subscribe = () => {};
  connect();
  assert.equal(isJoined(), false);
  server.send("snapshot", { session: null, runs: [], earlier: false });
  assert.equal(isJoined(), true);
});

for (const [name, answer] of Object.entries({
  named: (/** @type {{ ref: number }} */ { ref }) =>
    server.send("error", { ...away, ref }),
  unnamed: () => server.send("error", away),
})) {
  test(`a join that is refused (${name}) is tried again, ever more seldom`, () => {
    server.on.subscribe = answer;
    connect();
    assert.equal(isJoined(), false);
    assert.equal(room.state.get().retryAt, 625);
    clock.tick(624);
    assert.equal(joins(), 1);
    clock.tick(1);
    assert.equal(joins(), 2);
    assert.equal((room.state.get().retryAt ?? 0) - clock.now(), 750);
    server.on = {};
    clock.tick(750);
    assert.equal(isJoined(), true);
    assert.deepEqual(errors, []);
  });
}

test("told to join later, it does it then", () => {
  server.on.subscribe = ({ ref }) =>
    server.send("error", { ...away, code: "rate_limited", retry_after: 7, ref });
  connect();
  server.on = {};
  clock.tick(6_999);
  assert.equal(joins(), 1);
  clock.tick(1);
  assert.equal(isJoined(), true);
});

test("a join without an answer is given up after 15 s, and tried again", () => {
  server.on.subscribe = () => {};
  connect();
  clock.tick(14_999);
  assert.equal(joins(), 1);
  server.log(1, story());
  server.on = {};
  clock.tick(1_000);
  assert.equal(joins(), 2);
  assert.deepEqual(conversation.get(1), stored(1));
});

test("what is said before a refused join's successor is not lost", () => {
  server.on.subscribe = ({ ref }) => server.send("error", { ...away, ref });
  connect();
  server.log(1, story().slice(0, 4));
  server.send("events", { run: 1, events: story().slice(0, 4) });
  server.on = {};
  clock.tick(1_000);
  server.log(1, story().slice(4));
  assert.deepEqual(conversation.get(1), stored(1));
});

test("the answer to an earlier join is none", () => {
  server.on.subscribe = () => {};
  connect();
  room.heal(1); // joins again
  const late = { ...finishedRun(1), seq: 3 };
  server.send("snapshot", { session: null, runs: [late], earlier: false, ref: 1 });
  assert.equal(isJoined(), false);
  const runs = [finishedRun(1)];
  server.send("snapshot", { session: null, runs, earlier: false, ref: 2 });
  assert.equal(conversation.get(1)?.seq, 9);
  server.send("snapshot", { session: null, runs: [late], earlier: false, ref: 2 });
  assert.equal(conversation.get(1)?.seq, 9);
});

test("a join is over with its line; the next line's is another", () => {
  server.on.subscribe = ({ ref }) => server.send("error", { ...away, ref });
  connect();
  socket.close();
  room.closed();
  clock.tick(100_000);
  assert.equal(joins(), 1);
  assert.equal(clock.pending, 0);
});

test("a run that the log has lost a part of is replaced by what there is", () => {
  conversation.merge([{ ...finishedRun(1), seq: 20, prompt: "held" }]);
  const restored = { ...finishedRun(1), epoch: 2, seq: 6, prompt: "restored" };
  server.on.subscribe = () =>
    server.send("snapshot", { session: null, runs: [restored], earlier: false });
  connect();
  assert.deepEqual(conversation.get(1), restored);
  server.send("events", {
    run: 1,
    events: [{ seq: 7, kind: "run_started", epoch: 3, timestamp: 1 }],
  });
  assert.equal(conversation.get(1)?.epoch, 3);
});
