// All it takes to talk to an agent and to watch it work: docs/client.md.
import {
  ChatClient,
  fiveTries,
  inBrowser,
  listenToBrowser,
} from "../js/client/index.js";

const browser = inBrowser(window);
const sessionId = browser.createId();
const client = new ChatClient({
  ...browser,
  sessionId,
  url: new URL(`../../../ws/chat/${sessionId}`, import.meta.url).href.replace(
    "http",
    "ws",
  ),
  reconnect: fiveTries,
});

const line = /** @type {HTMLElement} */ (document.querySelector("#line"));
const said = /** @type {HTMLElement} */ (document.querySelector("#said"));
const form = /** @type {HTMLFormElement} */ (document.querySelector("form"));

client.line.subscribe(({ state }) => line.replaceChildren(state));
client.on("reasoning_start", ({ message }) => said.append(`You: ${message}\n`));
client.on("reasoning_step", ({ type, content }) =>
  said.append(`${type}: ${content}\n`),
);
client.on("reasoning_complete", ({ reason }) => said.append(`(${reason})\n`));
client.on("error", ({ message }) => said.append(`Error: ${message}\n`));

form.addEventListener("submit", (event) => {
  event.preventDefault();
  client.ask(String(new FormData(form).get("message")));
  form.reset();
});

listenToBrowser(window, client);
client.connect();
