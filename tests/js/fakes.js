/**
 * What the page's net code meets in tests: time, a storage, a socket and a server.
 *
 * FakeServer speaks the protocol over FakeWebSockets. Most common first:
 *   server.accepts = false              the next connections fail
 *   server.log(run, events)             events are stored, and sent to who has joined
 *   server.closeConnection(1006)        the line drops
 *   server.received                     commands, as decoded
 *   server.on.chat = (payload) => …     answer a command otherwise
 */

import { JsonStorage } from "../../static/chat/js/client/storage.js";
import { emptyRun, fold } from "../../static/chat/js/client/transcript.js";

/** Time that passes only when told to. */
export class FakeClock {
  time = 0;
  #next = 1;
  /** @type {Map<number, { due: number, callback: () => void }>} */
  #timers = new Map();

  now = () => this.time;

  /** @param {() => void} callback @param {number} ms */
  setTimeout = (callback, ms) => {
    const id = this.#next++;
    this.#timers.set(id, { due: this.time + ms, callback });
    return id;
  };

  /** @param {unknown} id */
  clearTimeout = (id) => {
    this.#timers.delete(/** @type {number} */ (id));
  };

  get pending() {
    return this.#timers.size;
  }

  /** Let time pass, running what falls due, in order. @param {number} ms */
  tick(ms) {
    const end = this.time + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.due <= end);
      const first = due.sort((a, b) => a[1].due - b[1].due || a[0] - b[0])[0];
      if (!first) break;
      this.#timers.delete(first[0]);
      this.time = Math.max(this.time, first[1].due);
      first[1].callback();
    }
    this.time = end;
  }

  /** The machine sleeps: time passes, timers do not run until `tick`. @param {number} ms */
  sleep(ms) {
    this.time += ms;
  }
}

/** A storage that is only a map. */
export class FakeStorage {
  /** @type {Map<string, string>} */
  map = new Map();
  get length() {
    return this.map.size;
  }
  /** @param {number} index */
  key(index) {
    return [...this.map.keys()][index] ?? null;
  }
  /** @param {string} key */
  getItem(key) {
    return this.map.get(key) ?? null;
  }
  /** @param {string} key @param {string} value */
  setItem(key, value) {
    this.map.set(key, value);
  }
  /** @param {string} key */
  removeItem(key) {
    this.map.delete(key);
  }
}

/**
 * A browser's storage, as the page has it.
 * @param {Record<string, string>} [items]
 */
export function fakeStorage(items = {}) {
  const storage = new FakeStorage();
  storage.map = new Map(Object.entries(items));
  return new JsonStorage(() => /** @type {any} */ (storage));
}

/** A WebSocket whose other end is a FakeServer. */
export class FakeWebSocket {
  /** @type {((event: any) => void) | null} */
  onopen = null;
  /** @type {((event: any) => void) | null} */
  onmessage = null;
  /** @type {((event: any) => void) | null} */
  onclose = null;
  isClosed = false;

  /** @param {FakeServer} server */
  constructor(server) {
    this.server = server;
  }

  /** @param {string} text */
  send(text) {
    if (!this.isClosed) this.server.receive(JSON.parse(text));
  }

  close() {
    this.isClosed = true;
  }
}

/** @import { Run, RunEvent } from "../../static/chat/js/client/types.js" */

export class FakeServer {
  accepts = true;
  /** Does it open by itself? Else call `open()`. */
  opensAtOnce = true;
  /** @type {any[]} */
  received = [];
  /** @type {FakeWebSocket[]} */
  sockets = [];
  /** @type {Map<number, RunEvent[]>} */
  logs = new Map();
  /** @type {Map<string, number>} */
  accepted = new Map();
  isJoined = false;
  /** @type {Record<string, (payload: any) => void>} */
  on = {};

  /** The class that the page's code is given. */
  get WebSocket() {
    const server = this;
    return /** @type {any} */ (
      class extends FakeWebSocket {
        constructor() {
          super(server);
          server.sockets.push(this);
          if (server.opensAtOnce) queueMicrotask(() => server.open());
        }
      }
    );
  }

  get socket() {
    return /** @type {FakeWebSocket} */ (this.sockets.at(-1));
  }

  open() {
    this.isJoined = false;
    if (this.accepts) this.socket.onopen?.({});
    else this.closeConnection(1006);
  }

  /** @param {number} code */
  closeConnection(code, reason = "") {
    const { socket } = this;
    socket.isClosed = true;
    this.isJoined = false;
    socket.onclose?.({ code, reason });
  }

  /** @param {string} type @param {unknown} data */
  send(type, data) {
    if (!this.socket?.isClosed) {
      this.socket?.onmessage?.({ data: JSON.stringify({ type, data }) });
    }
  }

  /** @param {string} type */
  commands(type) {
    return this.received.filter((command) => command.type === type);
  }

  /** @param {number} run @param {RunEvent[]} events */
  log(run, events) {
    this.logs.set(run, [...(this.logs.get(run) ?? []), ...events]);
    if (this.isJoined) this.send("events", { run, events });
  }

  /** @param {{ type: string, payload: any }} command */
  receive(command) {
    this.received.push(command);
    const handler =
      this.on[command.type] ?? /** @type {any} */ (this)[`_${command.type}`];
    handler?.call(this, command.payload);
  }

  /** @param {{ timestamp: unknown }} payload */
  _ping(payload) {
    this.send("pong", payload);
  }

  /** @param {{ seen: Record<string, [number, number]>, ref: number }} payload */
  _subscribe({ seen, ref }) {
    this.isJoined = true;
    const runs = [...this.logs].filter(([run]) => !(run in seen));
    const views = runs.map(([run, events]) => fold(run, events));
    this.send("snapshot", { session: null, runs: views, earlier: false, ref });
    for (const [run, events] of this.logs) {
      const missed = events.filter((event) => event.seq > (seen[run]?.[1] ?? Infinity));
      if (missed.length > 0) this.send("events", { run, events: missed });
    }
  }

  /** @param {{ client_id: string, message: string }} payload */
  _chat({ client_id, message }) {
    let run = this.accepted.get(client_id);
    if (run === undefined) {
      run = this.logs.size + 1;
      this.accepted.set(client_id, run);
      this.log(run, [created(message, client_id)]);
    }
    this.send("accepted", { client_id, run });
  }

  /** @param {{ before: number, limit: number }} payload */
  _history({ before, limit }) {
    const runs = [...this.logs].filter(([run]) => run < before).slice(-limit);
    const views = runs.map(([run, events]) => fold(run, events));
    this.send("history", { runs: views, earlier: false });
  }
}

/**
 * @param {string} prompt
 * @param {string} [client_id]
 * @returns {RunEvent}
 */
export function created(prompt, client_id) {
  const event = {
    seq: 1,
    kind: /** @type {const} */ ("run_created"),
    prompt,
    agent_name: "researcher",
    enable_reasoning: true,
    timestamp: 1,
  };
  return client_id ? { ...event, client_id } : event;
}

/** When all that was promised so far is done. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A finished run as the server shows it. @param {number} number @returns {Run} */
export function finishedRun(number) {
  return { ...emptyRun(number), seq: 9, status: "finished", reason: "answered" };
}

/** Chance with a seed: mulberry32. @param {number} seed */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
