import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { fullJitter } from "../../static/chat/js/client/reconnect.js";
import { Socket } from "../../static/chat/js/client/socket.js";
import { FakeClock, FakeServer } from "./fakes.js";

/** @type {FakeClock} */
let clock;
/** @type {FakeServer} */
let server;
/** @type {Socket} */
let socket;
let isVisible = true;
let isOnline = true;
/** @type {string[]} */
let states = [];

beforeEach(() => {
  clock = new FakeClock();
  server = new FakeServer();
  server.opensAtOnce = false;
  isVisible = isOnline = true;
  states = [];
  socket = new Socket({
    url: "ws://here",
    WebSocket: server.WebSocket,
    clock,
    random: () => 0.5,
    heartbeat: 30_000,
    reconnect: fullJitter,
    isVisible: () => isVisible,
    isOnline: () => isOnline,
    report: () => {},
    onOpen: () => {},
    onMessage: () => {},
  });
  socket.connection.subscribe(({ state }) => states.push(state));
  socket.connect();
});

const hello = () => server.send("connected", {});

test("goes through its three states", () => {
  server.open();
  assert.deepEqual(states, ["disconnected", "connecting", "connected"]);
});

test("says why it was lost and when it will be back, and comes back", () => {
  server.open();
  hello();
  server.closeConnection(1012, "restart");
  assert.deepEqual(socket.connection.get(), {
    state: "disconnected",
    code: 1012,
    reason: "restart",
    retryAt: 125,
    final: false,
    inDoubt: false,
  });
  clock.tick(124);
  assert.equal(server.sockets.length, 1);
  clock.tick(1);
  assert.equal(server.sockets.length, 2);
});

test("waits longer each time, and from the start again once a frame has come", () => {
  const waits = [];
  for (let n = 0; n < 9; n += 1) {
    server.closeConnection(1006);
    const { retryAt } = socket.connection.get();
    waits.push((retryAt ?? 0) - clock.now());
    clock.tick(10_000);
  }
  assert.deepEqual(waits, [125, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  server.open();
  hello();
  server.closeConnection(1006);
  assert.equal((socket.connection.get().retryAt ?? 0) - clock.now(), 125);
});

test("an open that is closed before a frame came does not count as well", () => {
  for (let n = 0; n < 3; n += 1) {
    server.open();
    server.closeConnection(4503);
    clock.tick(1000);
  }
  server.closeConnection(1006);
  assert.equal((socket.connection.get().retryAt ?? 0) - clock.now(), 1000);
});

for (const code of [4400, 4401, 4403, 4404]) {
  test(`${code} is final`, () => {
    server.open();
    server.closeConnection(code);
    assert.equal(socket.connection.get().final, true);
    clock.tick(100_000);
    socket.wake();
    assert.equal(server.sockets.length, 1);
  });
}

test("4429 waits at least 5 s", () => {
  server.open();
  server.closeConnection(4429);
  clock.tick(5000);
  assert.equal(server.sockets.length, 1);
  clock.tick(5000);
  assert.equal(server.sockets.length, 2);
});

test("offline it tries now and then, and comes back at once", () => {
  server.open();
  isOnline = false;
  server.closeConnection(1006);
  clock.tick(19_999);
  assert.equal(server.sockets.length, 1);
  isOnline = true;
  socket.wake("online");
  assert.equal(server.sockets.length, 2);
});

test("a page nobody sees stops trying after a while, and tries when seen", () => {
  isVisible = false;
  for (let n = 0; n < 30; n += 1) {
    server.closeConnection(1006);
    clock.tick(30_000);
  }
  const tried = server.sockets.length;
  assert.ok(tried < 12, `${tried}`);
  socket.wake("visible");
  assert.equal(server.sockets.length, tried + 1);
});

test("a silent line is dropped 10 s after the ping and built anew", () => {
  server.open();
  server.on.ping = () => {};
  clock.tick(30_000);
  assert.equal(server.commands("ping").length, 1);
  clock.tick(10_000);
  assert.equal(socket.connection.get().state, "disconnected");
  assert.ok(server.socket.isClosed);
  clock.tick(125);
  assert.equal(server.sockets.length, 2);
});

test("what an old line still says is not heard", () => {
  server.open();
  const old = server.socket;
  const { onmessage, onclose } = old;
  server.closeConnection(1006);
  clock.tick(125);
  server.open();
  onmessage?.({ data: "{}" });
  onclose?.({ code: 4401, reason: "" });
  assert.equal(socket.connection.get().state, "connected");
});

test("a line that does not open in 15 s is given up", () => {
  clock.tick(15_000);
  assert.equal(socket.connection.get().state, "disconnected");
});

test("nothing is sent while there is no line", () => {
  assert.equal(socket.send({ type: "retry", payload: { run: 1 } }), false);
});

test("an unreadable frame harms nothing", () => {
  server.open();
  for (const data of ["", "{", "[]", "null", '{"type":1}', new Uint8Array(2)]) {
    server.socket.onmessage?.({ data });
  }
  assert.equal(socket.connection.get().state, "connected");
});

test("a server on this machine is found though the browser says offline", () => {
  server.open();
  isOnline = false;
  server.closeConnection(1012);
  clock.tick(20_000);
  assert.equal(server.sockets.length, 2);
});
