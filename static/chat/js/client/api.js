/**
 * The sessions over HTTP: JSON, same origin, with the CSRF token.
 *
 * @import { SessionChange, SessionRow } from "./types.js"
 */

/**
 * An answer that is not the wished one. `code`: the server's, or `unreachable` where there
 * was no answer at all, or `unreadable`; `message`: the server's words for people, if any.
 */
export class ApiError extends Error {
  /**
   * @param {number} status 0: no answer at all
   * @param {string} code
   * @param {string} [message]
   */
  constructor(status, code, message = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class Api {
  #base;
  #fetch;
  #token;

  /**
   * @param {string} base address of the sessions
   * @param {typeof fetch} fetch
   * @param {() => string} token the CSRF token
   */
  constructor(base, fetch, token) {
    this.#base = base;
    this.#fetch = fetch;
    this.#token = token;
  }

  /**
   * @param {object} query
   * @param {string} query.q words to be found
   * @param {boolean} query.archived
   * @param {number} query.limit at most 500
   * @param {string | null} query.before the cursor of the page before; null: the first
   * @returns {Promise<{ sessions: SessionRow[], next: string | null }>}
   */
  list({ q, archived, limit, before }) {
    const query = new URLSearchParams({ q, archived: archived ? "1" : "0" });
    query.set("limit", String(limit));
    if (before) query.set("before", before);
    return this.#call("GET", `?${query}`);
  }

  /**
   * @param {string} id
   * @param {SessionChange} change
   * @returns {Promise<SessionRow>}
   */
  change(id, change) {
    return this.#call("PATCH", `/${id}`, change);
  }

  /**
   * A new session from a log that was exported as JSON.
   * @param {Blob} file
   * @returns {Promise<SessionRow>}
   */
  bring(file) {
    return this.#call("POST", "", file);
  }

  /** @param {string} id @returns {Promise<unknown>} */
  remove(id) {
    return this.#call("DELETE", `/${id}`);
  }

  /** @param {string} id @returns {Promise<unknown>} */
  restore(id) {
    return this.#call("POST", `/${id}/restore`);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async #call(method, path, body) {
    const answer = await this.#ask(method, path, body);
    const data = parse(answer.text);
    if (answer.ok && (data !== null || answer.text === "")) return data;
    const { code, message } = data?.error ?? { code: "unreadable" };
    throw new ApiError(answer.status, code, message);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   */
  async #ask(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json", "X-CSRFToken": this.#token() };
    if (body) headers["Content-Type"] = "application/json";
    const options = {
      method,
      headers,
      credentials: /** @type {const} */ ("same-origin"),
    };
    try {
      const answer = await this.#fetch(
        this.#base + path,
        body ? { ...options, body: textOf(body) } : options,
      );
      return { ok: answer.ok, status: answer.status, text: await answer.text() };
    } catch {
      throw new ApiError(0, "unreachable");
    }
  }
}

/** @param {object} body */
function textOf(body) {
  return body instanceof Blob ? body : JSON.stringify(body);
}

/** @param {string} text @returns {any} */
function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}
