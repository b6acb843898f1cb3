import "./page.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatClient } from "../../static/chat/js/client/chat_client.js";
import { FakeClock, FakeServer, fakeStorage } from "./fakes.js";

const { ConnectionLine } = await import("../../static/chat/js/view/connection.js");

/** A page that is live, with its line. */
async function stage() {
  const server = new FakeServer();
  const clock = new FakeClock();
  const client = new ChatClient({
    url: "ws://here/ws/chat/s",
    sessionId: "s",
    WebSocket: server.WebSocket,
    clock,
    random: () => 0.5,
    createId: () => "id",
    storage: fakeStorage(),
    tabStorage: fakeStorage(),
    isVisible: () => true,
    isOnline: () => true,
    digest: null,
    api: { url: "", fetch: () => Promise.reject(new TypeError()), csrfToken: () => "" },
  });
  const root = document.createElement("div");
  root.innerHTML = "<span data-text></span><span data-seconds></span>";
  root.append(Object.assign(document.createElement("button"), { className: "btn" }));
  new ConnectionLine(root, { client, clock, loginUrl: "/in", newChatUrl: "/" });
  client.connect();
  await Promise.resolve();
  const shown = () => [
    root.dataset.tone,
    root.querySelector("[data-text]")?.textContent,
  ];
  return { server, shown };
}

test("what everybody is to know stands in the line as long as it is so", async () => {
  const { server, shown } = await stage();
  assert.deepEqual(shown(), ["live", "Live"]);
  const notice = { text: "Waiting for a worker", level: "warning" };
  server.send("session", { session_id: "s", notice });
  assert.deepEqual(shown(), ["wait", "Waiting for a worker"]);
  server.send("session", { session_id: "s", title: "A title" });
  assert.deepEqual(shown(), ["wait", "Waiting for a worker"]);
  server.send("session", { session_id: "s", notice: null });
  assert.deepEqual(shown(), ["live", "Live"]);
});
