/**
 * What was asked, until the run that answers it is there. It survives a reload until the
 * server has it, and is shared by the tabs of a browser. Each message has a key of its
 * own, so that two tabs never overwrite each other. Bounded: a full outbox refuses.
 *
 * @import { OutboxItem, Readable, Refusal, Writable } from "./types.js"
 * @import { JsonStorage } from "./storage.js"
 */

import { writable } from "./store.js";

export const OUTBOX_LIMIT = 20;

export class Outbox {
  #storage;
  #prefix;
  /** @type {Writable<OutboxItem[]>} */
  #items;

  /**
   * @param {JsonStorage} storage
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

  /** The message to be sent next, if any. */
  get next() {
    return this.#items.get().find((item) => !item.error && !item.isAccepted);
  }

  /**
   * Keep a message until its run is there; false if the outbox is full.
   * @param {OutboxItem} item
   */
  put(item) {
    if (this.isFull && !this.find(item.client_id)) return false;
    const { delay: _delay, isAccepted, ...stored } = item;
    this.#storage.set(this.#prefix + item.client_id, isAccepted ? null : stored);
    const rest = this.#items.get().filter((old) => old.client_id !== item.client_id);
    this.#items.set([...rest, item].sort((a, b) => a.at - b.at));
    return true;
  }

  /** @param {string} clientId */
  find(clientId) {
    return this.#items.get().find((item) => item.client_id === clientId);
  }

  /**
   * The server has it: it need not survive a reload, but is shown until its run is.
   * @param {string} clientId
   */
  accept(clientId) {
    this.#change(clientId, ({ error: _error, delay: _delay, ...item }) => ({
      ...item,
      isAccepted: true,
    }));
  }

  /**
   * Its run is there, or it was taken back.
   * @param {string} clientId
   */
  remove(clientId) {
    if (!this.find(clientId)) return;
    this.#storage.set(this.#prefix + clientId, null);
    this.#items.set(this.#items.get().filter((item) => item.client_id !== clientId));
  }

  /**
   * Refused: keep it, say why, and send it again only when asked.
   * @param {string} clientId
   * @param {Refusal} error
   */
  refuse(clientId, error) {
    this.#change(clientId, ({ delay: _delay, ...item }) => ({ ...item, error }));
  }

  /**
   * Refused for now: it waits, and says why.
   * @param {string} clientId
   * @param {Refusal} delay
   */
  delay(clientId, delay) {
    this.#change(clientId, (item) => ({ ...item, delay }));
  }

  /** Another tab changed the storage. */
  refresh() {
    const accepted = this.#items.get().filter((item) => item.isAccepted);
    this.#items.set([...accepted, ...this.#read()].sort((a, b) => a.at - b.at));
  }

  /** @param {string | null} key of a storage event; null: everything was cleared */
  concerns(key) {
    return key === null || key.includes(this.#prefix);
  }

  /** Other sessions that have messages waiting. */
  elsewhere() {
    const keys = this.#storage.keys("outbox:").filter((key) => !this.concerns(key));
    return [...new Set(keys.map((key) => key.split(":")[1] ?? ""))];
  }

  /**
   * Take what waits in another session out of the storage; oldest first.
   * @param {string} sessionId
   * @returns {string[]} the messages
   */
  takeFrom(sessionId) {
    const keys = this.#storage.keys(`outbox:${sessionId}:`);
    const items = keys.map((key) => this.#storage.get(key));
    for (const key of keys) this.#storage.set(key, null);
    const messages = items.filter((item) => typeof item?.message === "string");
    return messages.sort((a, b) => a.at - b.at).map(({ message }) => message);
  }

  /**
   * @param {string} clientId
   * @param {(item: OutboxItem) => OutboxItem} change
   */
  #change(clientId, change) {
    const item = this.find(clientId);
    if (item) this.put(change(item));
  }

  /** @returns {OutboxItem[]} */
  #read() {
    return this.#storage
      .keys(this.#prefix)
      .map((key) => this.#storage.get(key))
      .filter((item) => typeof item?.message === "string")
      .sort((a, b) => a.at - b.at);
  }
}
