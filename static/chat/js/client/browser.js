/**
 * What a ChatClient needs from a browser, taken from its window.
 *
 * @import { ChatClient, ClientOptions } from "./chat_client.js"
 */

import { sha256 } from "./proof.js";
import { JsonStorage } from "./storage.js";

/**
 * All of a client's options but `url`, `sessionId` and what has a default.
 * @param {Window & typeof globalThis} window
 * @param {object} [more]
 * @param {string} [more.owner] whose things the browser keeps: the user's name, "" for a
 *   guest
 * @param {string} [more.sessionsUrl]
 * @param {string} [more.csrfCookie]
 * @returns {Omit<ClientOptions, "url" | "sessionId">}
 */
export function inBrowser(
  window,
  { owner = "", sessionsUrl = "/api/sessions", csrfCookie = "csrftoken" } = {},
) {
  const { crypto, document, navigator } = window;
  return {
    WebSocket: window.WebSocket,
    clock: {
      now: () => Date.now(),
      setTimeout: (callback, ms) => window.setTimeout(callback, ms),
      clearTimeout: (id) => window.clearTimeout(/** @type {number} */ (id)),
    },
    random: Math.random,
    createId: () => crypto.randomUUID?.() ?? randomId(crypto),
    storage: new JsonStorage(() => window.localStorage, owner),
    tabStorage: new JsonStorage(() => window.sessionStorage, owner),
    isVisible: () => document.visibilityState === "visible",
    isOnline: () => navigator.onLine,
    digest: sha256(crypto.subtle),
    api: {
      url: sessionsUrl,
      fetch: window.fetch.bind(window),
      csrfToken: () => cookie(document, csrfCookie),
    },
  };
}

/**
 * @param {Document} document
 * @param {string} name
 */
function cookie({ cookie }, name) {
  const found = cookie.split("; ").find((each) => each.startsWith(`${name}=`));
  return found?.slice(name.length + 1) ?? "";
}

/**
 * Where randomUUID is missing (plain http): 128 random bits.
 * @param {Crypto} crypto
 */
function randomId(crypto) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Tell a client what the window tells: network, visibility, storage, back from the cache.
 * @param {Window} window
 * @param {ChatClient} client
 */
export function listenToBrowser(window, client) {
  window.addEventListener("online", () => client.wake("online"));
  window.addEventListener("offline", () => client.doubt());
  window.addEventListener("storage", ({ key }) => client.storageChanged(key));
  window.document.addEventListener("visibilitychange", () => {
    if (window.document.visibilityState === "visible") client.wake("visible");
  });
  // A page restored from the back/forward cache has a dead socket.
  window.addEventListener("pageshow", ({ persisted }) => {
    if (persisted) client.wake("restored");
  });
}
