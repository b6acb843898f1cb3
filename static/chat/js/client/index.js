/** The client, for those who build on it: docs/client.md. */

export { inBrowser, listenToBrowser } from "./browser.js";
export { ChatClient } from "./chat_client.js";
export { CLOSE } from "./protocol.js";
export { fiveTries, fullJitter } from "./reconnect.js";
export { JsonStorage } from "./storage.js";
