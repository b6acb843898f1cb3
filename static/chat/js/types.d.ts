/** Shapes of the page. Import with `@import { … } from "../types.js"`. */

export interface Agent {
  name: string;
  description: string;
}

/** What the server puts into the page. */
export interface Config {
  session_id: string;
  agents: Agent[];
  agent_name: string;
  model: { name: string; builtin: boolean } | null;
  ws_path: string;
  user: { name: string } | null;
  login_url: string;
  new: boolean;
  urls: { new_chat: string; sessions: string; chat: string; image: string };
  csrf_cookie: string;
  heartbeat_interval: number;
  /** The server's time, in Unix seconds. */
  now: number;
}

/** One thing to do about a notice. */
export interface Offer {
  label: string;
  act: () => void;
  /** Where the keyboard was is gone: it goes to the offer. */
  isFocused?: boolean;
}
