/**
 * What was said and not yet accepted; survives reload, and is shared by the tabs of a
 * browser. Each message has a key of its own, so that two tabs never overwrite each
 * other. Bounded: a full outbox refuses.
 *
 * @import { KeyValue, OutboxItem, Readable, Writable } from "../types.js"
 */

import { writable } from "../model/store.js";

export const OUTBOX_LIMIT = 20;

export class Outbox {
  #storage;
  #prefix;
  /** @type {Writable<OutboxItem[]>} */
  #items;

  /**
   * @param {KeyValue} storage
   * @param {string} sessionId
   */
  constructor(storage, sessionId) {
    this.#storage = storage;
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
    this.#save(item);
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
    this.#storage.removeItem(this.#prefix + clientId);
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
    return key === null || key.startsWith(this.#prefix);
  }

  /** @param {OutboxItem} item */
  #save(item) {
    try {
      this.#storage.setItem(this.#prefix + item.client_id, JSON.stringify(item));
    } catch {
      // Storage is full or forbidden: the message lives as long as the page.
    }
  }

  /** @returns {OutboxItem[]} */
  #read() {
    const found = [];
    for (let index = 0; index < this.#storage.length; index += 1) {
      const key = this.#storage.key(index);
      if (key?.startsWith(this.#prefix)) found.push(parse(this.#storage.getItem(key)));
    }
    return found.filter((item) => item !== null).sort((a, b) => a.at - b.at);
  }
}

/**
 * @param {string | null} text
 * @returns {OutboxItem | null}
 */
function parse(text) {
  try {
    const item = JSON.parse(text ?? "null");
    return typeof item?.message === "string" ? item : null;
  } catch {
    return null;
  }
}
