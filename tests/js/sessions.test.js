import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Api } from "../../static/chat/js/client/api.js";
import { ReadMarks } from "../../static/chat/js/client/read_marks.js";
import { Sessions } from "../../static/chat/js/client/sessions.js";
import { FakeClock, fakeStorage, settled } from "./fakes.js";

/** @import { Notice, SessionChange, SessionRow } from "../../static/chat/js/client/types.js" */

/** @type {FakeClock} */
let clock;
/** @type {SessionRow[]} as the server has them */
let stored = [];
/** @type {{ method: string, path: string }[]} */
let requests = [];
/** @type {Notice[]} */
let notices = [];
/** @type {[string, SessionChange][]} */
let changes = [];
let unreachable = 0;
/** How the next requests are answered; null: as usual. @type {Response | Error | null} */
let answer = null;
/** @type {Sessions} */
let sessions;

/** @param {number} n @returns {SessionRow} */
const row = (n) => ({
  session_id: `s${n}`,
  title: `chat ${n}`,
  agent_name: "a",
  pinned: false,
  archived: false,
  timestamp: 10_000 - n,
  status: "idle",
});

/** The server's half of the list. @param {string} url @param {any} options */
async function server(url, { method }) {
  const path = url.replace("/api/sessions", "");
  requests.push({ method, path });
  if (answer instanceof Error) throw answer;
  if (answer) return answer.clone();
  if (method !== "GET") return new Response(JSON.stringify(row(0)));
  const query = new URLSearchParams(path);
  const [from, limit] = [Number(query.get("before")), Number(query.get("limit"))];
  const next = from + limit < stored.length ? String(from + limit) : null;
  return new Response(
    JSON.stringify({ sessions: stored.slice(from, from + limit), next }),
  );
}

beforeEach(() => {
  clock = new FakeClock();
  stored = Array.from({ length: 130 }, (_, n) => row(n));
  requests = [];
  notices = [];
  changes = [];
  unreachable = 0;
  answer = null;
  sessions = new Sessions({
    api: new Api("/api/sessions", /** @type {any} */ (server), () => "token"),
    clock,
    tabStorage: fakeStorage(),
    readMarks: new ReadMarks(fakeStorage()),
    isVisible: () => true,
    notify: (notice) => notices.push(notice),
    onUnreachable: () => {
      unreachable += 1;
    },
    onChanged: (id, change) => changes.push([id, change]),
  });
});

const rows = () => sessions.state.get().rows;
const titles = () => rows().map(({ title }) => title);

test("what somebody has scrolled to stays after a change, a run's end, and time", async () => {
  await sessions.load();
  assert.equal(rows().length, 50);
  await sessions.more();
  await sessions.more();
  assert.equal(rows().length, 130);
  await sessions.change("s120", { pinned: true });
  assert.equal(rows().length, 130);
  sessions.start();
  await settled();
  sessions.refresh();
  clock.tick(250);
  await settled();
  assert.equal(rows().length, 130);
});

test("what runs below the first fifty is kept up to date", async () => {
  sessions.start();
  await settled();
  await sessions.more();
  stored[70] = { ...row(70), status: "running" };
  clock.tick(15_000);
  await settled();
  assert.equal(rows()[70]?.status, "running");
  assert.equal(rows().length, 100);
});

test("more than the server gives at once comes in several pages", async () => {
  stored = Array.from({ length: 720 }, (_, n) => row(n));
  await sessions.load();
  while (sessions.state.get().hasMore) await sessions.more();
  requests = [];
  await sessions.load();
  assert.equal(rows().length, 720);
  assert.equal(requests.length, 2);
});

test("a chat that moved to the front between two pages is there once", async () => {
  await sessions.load();
  stored = [row(200), ...stored];
  await sessions.more();
  const ids = rows().map(({ session_id }) => session_id);
  assert.equal(new Set(ids).size, ids.length);
});

test("a list that shrank below what was shown is no reason to ask for ever", async () => {
  await sessions.load();
  await sessions.more();
  stored = stored.slice(0, 3);
  await sessions.load();
  assert.equal(rows().length, 3);
  assert.equal(sessions.state.get().hasMore, false);
});

test("another search begins with the first fifty", async () => {
  await sessions.load();
  await sessions.more();
  sessions.search("x");
  clock.tick(250);
  await settled();
  assert.equal(rows().length, 50);
});

test("a change is shown at once, and taken back if it is refused", async () => {
  await sessions.load();
  const refusal = { error: { code: "bad_message", message: "No." } };
  answer = new Response(JSON.stringify(refusal), { status: 400 });
  const change = sessions.change("s3", { title: "new", pinned: true });
  assert.equal(titles()[3], "new");
  await change;
  assert.deepEqual(changes, [
    ["s3", { title: "new", pinned: true }],
    ["s3", { title: "chat 3", pinned: false }],
  ]);
  assert.deepEqual(notices, [{ code: "bad_message", message: "No." }]);
  answer = null;
  await sessions.load();
  assert.equal(titles()[3], "chat 3");
});

test("a deletion is told of, and can be told of on the next page", async () => {
  await sessions.load();
  assert.ok(await sessions.remove("s2"));
  const notice = { code: "session_deleted", session_id: "s2", title: "chat 2" };
  assert.deepEqual(notices, [notice]);
  sessions.tellOfDeletionLater("s2", "chat 2");
  sessions.start();
  assert.deepEqual(notices, [notice, notice]);
});

for (const [name, wrong, code] of /** @type {[string, any, string][]} */ ([
  ["no answer", new TypeError("net"), "unreachable"],
  ["a proxy's page", new Response("<html>", { status: 502 }), "unreadable"],
  ["a page that says it is fine", new Response("<html>"), "unreadable"],
  ["null", new Response("null"), "unreadable"],
])) {
  test(`${name} instead of the list is said, and the list stays`, async () => {
    await sessions.load();
    answer = wrong;
    await sessions.load();
    assert.equal(sessions.state.get().error?.code, code);
    assert.equal(rows().length, 50);
    assert.equal(unreachable, code === "unreachable" ? 1 : 0);
    answer = null;
    await sessions.load();
    assert.equal(sessions.state.get().error, null);
  });
}

test("an answer that came too late is none", async () => {
  const late = sessions.load();
  sessions.showArchive(true);
  await late;
  await settled();
  assert.equal(sessions.state.get().isArchived, true);
  assert.equal(rows().length, 50);
});
