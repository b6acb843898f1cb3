/**
 * What was said and not yet accepted; survives reload, and is shared by the tabs of a
 * browser. Each message has a key of its own, so that two tabs never overwrite each
 * other. Bounded: a full outbox refuses.
 *
 * @import { OutboxItem, Readable, Writable } from "../types.js"
 * @import { Kept } from "../model/kept.js"
 */

import { writable } from "../model/store.js";

export const OUTBOX_LIMIT = 20;

export class Outbox {
  #kept;
  #prefix;
  /** @type {Writable<OutboxItem[]>} */
  #items;

  /**
   * @param {Kept} kept
   * @param {string} sessionId
   */
  constructor(kept, sessionId) {
    this.#kept = kept;
    this.#prefix = `outbox:${sessionId}:`;
    this.#items = writable(this.#read());
  }

  /** @returns {Readable<OutboxItem[]>} oldest first */
  get items() {
    return this.#items;
  }

  get isFull() {
    return this.#items.get().length >= OUTBOX_LIMIT;
  }

  /**
   * Keep a message until it is accepted; false if the outbox is full.
   * @param {OutboxItem} item
   */
  put(item) {
    if (this.isFull && !this.find(item.client_id)) return false;
    const rest = this.#items.get().filter((old) => old.client_id !== item.client_id);
    this.#kept.set(this.#prefix + item.client_id, item);
    this.#items.set([...rest, item].sort((a, b) => a.at - b.at));
    return true;
  }

  /** @param {string} clientId */
  find(clientId) {
    return this.#items.get().find((item) => item.client_id === clientId);
  }

  /**
   * Accepted, or taken back.
   * @param {string} clientId
   */
  remove(clientId) {
    if (!this.find(clientId)) return;
    this.#kept.set(this.#prefix + clientId, null);
    this.#items.set(this.#items.get().filter((item) => item.client_id !== clientId));
  }

  /**
   * Refused: keep it, say why, and send it again only when asked.
   * @param {string} clientId
   * @param {string} error
   */
  refuse(clientId, error) {
    const item = this.find(clientId);
    if (item) this.put({ ...item, error });
  }

  /** Another tab changed the storage. */
  refresh() {
    this.#items.set(this.#read());
  }

  /** @param {string | null} key of a storage event; null: everything was cleared */
  concerns(key) {
    return key === null || key.includes(this.#prefix);
  }

  /** Other sessions that have messages waiting. */
  elsewhere() {
    const keys = this.#kept.keys("outbox:").filter((key) => !this.concerns(key));
    return [...new Set(keys.map((key) => key.split(":")[1] ?? ""))];
  }

  /** @returns {OutboxItem[]} */
  #read() {
    return this.#kept
      .keys(this.#prefix)
      .map((key) => this.#kept.get(key))
      .filter((item) => typeof item?.message === "string")
      .sort((a, b) => a.at - b.at);
  }
}
