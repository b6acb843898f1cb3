/** Shapes only. Import with `@import { … } from "../types.js"`. */

export type StepType =
  | "thought"
  | "tool_use"
  | "tool_result"
  | "final_answer"
  | "error";
export type StepStatus = "running" | "ok" | "error" | "stopped" | "discarded";
export type RunStatus = "queued" | "running" | "finished";
export type Reason =
  | "answered"
  | "stopped"
  | "failed"
  | "max_iterations"
  | "server_lost"
  | "withdrawn";

export interface Usage {
  input_tokens: number;
  output_tokens: number;
}

export interface Failure {
  code: string;
  message: string;
  retryable: boolean;
}

/** A step as snapshots show it, and as the page keeps it. */
export interface Step {
  step: number;
  type: StepType;
  iteration: number;
  content: string;
  status: StepStatus;
  timestamp: number;
  duration_ms?: number;
  tool_name?: string;
  call_id?: string;
  tool_input?: Record<string, unknown>;
  digest?: string;
}

/** A run as snapshots show it: the fold of its log through `seq`. */
export interface Run {
  run: number;
  status: RunStatus;
  seq: number;
  epoch: number;
  prompt: string;
  agent_name: string;
  enable_reasoning: boolean;
  timestamp: number;
  steps: Step[];
  client_id?: string;
  reason?: Reason;
  duration_ms?: number;
  usage?: Usage;
  error?: Failure;
}

interface Numbered {
  seq: number;
  first?: number;
}

export type RunEvent = Numbered &
  (
    | {
        kind: "run_created";
        prompt: string;
        agent_name: string;
        enable_reasoning: boolean;
        timestamp: number;
        client_id?: string;
      }
    | { kind: "run_started"; epoch: number; timestamp: number }
    | {
        kind: "step_started";
        step: number;
        type: StepType;
        iteration: number;
        timestamp: number;
        tool_name?: string;
        call_id?: string;
      }
    | { kind: "step_delta"; step: number; text: string }
    | { kind: "step_replaced"; step: number; type?: StepType; text?: string }
    | {
        kind: "step_finished";
        step: number;
        status: Exclude<StepStatus, "running">;
        duration_ms: number;
        digest: string;
        tool_input?: Record<string, unknown>;
      }
    | {
        kind: "run_finished";
        reason: Reason;
        duration_ms: number;
        usage?: Usage;
        error?: Failure;
      }
  );

export type EventOf<K extends RunEvent["kind"]> = Extract<RunEvent, { kind: K }>;

export interface Session {
  session_id: string;
  title: string;
  agent_name: string;
  [more: string]: unknown;
}

export interface Snapshot {
  session: Session | null;
  runs: Run[];
  earlier: boolean;
}

export interface ServerError extends Failure {
  retry_after?: number;
  client_id?: string;
}

export type ServerMessage =
  | { type: "connected"; data: Record<string, unknown> }
  | { type: "snapshot"; data: Snapshot }
  | { type: "history"; data: { runs: Run[]; earlier: boolean } }
  | { type: "events"; data: { run: number; events: RunEvent[] } }
  | { type: "accepted"; data: { client_id: string; run: number } }
  | { type: "session"; data: Partial<Session> }
  | { type: "error"; data: ServerError }
  | { type: "pong"; data: { timestamp?: unknown } };

export interface ChatPayload {
  message: string;
  agent_name?: string;
  enable_reasoning?: boolean;
  client_id: string;
}

export type Command =
  | { type: "chat"; payload: ChatPayload }
  | { type: "interrupt"; payload: { run?: number; seen?: number } }
  | { type: "retry"; payload: { run: number } }
  | { type: "subscribe"; payload: { protocol: 2; seen: Record<string, number> } }
  | { type: "history"; payload: { before: number; limit: number } }
  | { type: "ping"; payload: { timestamp: number } };

/** Where the connection stands, and why. */
export type SocketState = "disconnected" | "connecting" | "connected";

export interface Connection {
  state: SocketState;
  code: number;
  reason: string;
  /** When the next attempt is due (clock milliseconds); null when none is. */
  retryAt: number | null;
  /** True when coming back by itself is pointless: sign in, or give up. */
  final: boolean;
}

/** Time, as an argument. */
export interface Clock {
  now(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(id: unknown): void;
}

/** What the net code needs of a WebSocket. */
export interface WireSocket {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}
export type WireSocketClass = new (url: string) => WireSocket;

/** Tells diagnostics what happened; never changes what happens. */
export type Report = (kind: string, detail?: Record<string, unknown>) => void;

/** A message said and not yet accepted. */
export interface OutboxItem extends ChatPayload {
  at: number;
  error?: string;
}

export interface Readable<T> {
  get(): T;
  subscribe(listener: (value: T) => void): () => void;
}

export interface Writable<T> extends Readable<T> {
  set(value: T): void;
}

/** One thing to do about a notice. */
export interface Offer {
  label: string;
  act: () => void;
  /** Where the keyboard was is gone: it goes to the offer. */
  isFocused?: boolean;
}

export interface Agent {
  name: string;
  description: string;
}

export interface Config {
  session_id: string;
  agents: Agent[];
  agent_name: string;
  model: { name: string; builtin: boolean };
  ws_path: string;
  user: { name: string } | null;
  login_url: string;
  signed_in: boolean;
  new: boolean;
  urls: { new_chat: string; sessions: string; chat: string; image: string };
  heartbeat_interval: number;
  /** The server's time, in Unix seconds. */
  now: number;
}

export interface SessionRow {
  session_id: string;
  title: string;
  agent_name: string;
  pinned: boolean;
  archived: boolean;
  timestamp: number;
  status: "idle" | "running" | "queued";
  reason?: Reason | null;
  /** When its last run ended, in Unix seconds. */
  finished?: number | null;
}

/** What the list of sessions shows. */
export interface SessionsState {
  rows: SessionRow[];
  hasMore: boolean;
  /** Whether the archive is shown. */
  isArchived: boolean;
  query: string;
  error: string;
  isLoaded: boolean;
}

/** What a person can ask for; `main` hands each to whom it concerns. */
export interface Intents {
  /** False: not taken, keep it. */
  send(message: string): boolean;
  stop(run: number): void;
  edit(run: number): void;
  retry(run: number): void;
  withdraw(clientId: string): void;
  resend(clientId: string): void;
  loadEarlier(): void;
  reconnect(): void;
  copyStep(run: number, step: number): void;
  copyAnswer(run: number): void;
  copyText(text: string): void;
}

/** A panel is a file: it says its title and mounts into an element it is given. */
export interface Panel<Needs> {
  title: string;
  mount(root: HTMLElement, needs: Needs): void;
  update(): void;
  unmount(): void;
}
