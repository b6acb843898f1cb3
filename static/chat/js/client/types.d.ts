/** Shapes of the wire and of the client. Import with `@import { … } from "./types.js"`. */

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
  | "cut"
  | "stopped"
  | "failed"
  | "max_iterations"
  | "server_lost"
  | "withdrawn";

export type CutCause = "length" | "filter" | "ended";

export interface Usage {
  input_tokens: number;
  output_tokens: number;
}

export interface Failure {
  code: string;
  message: string;
  retryable: boolean;
}

/** How far an open step has come: `done` of `total`, and a text for people. */
export interface Progress {
  done?: number;
  total?: number;
  text?: string;
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
  /** Who speaks, where it is not the run's agent. */
  agent?: string;
  /** The step inside which this one is. */
  parent?: number;
  /** While it is open. */
  progress?: Progress;
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
  cause?: CutCause;
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
    | { kind: "run_released"; timestamp: number }
    | {
        kind: "step_started";
        step: number;
        type: StepType;
        iteration: number;
        timestamp: number;
        tool_name?: string;
        call_id?: string;
        agent?: string;
        parent?: number;
      }
    | { kind: "step_delta"; step: number; text: string }
    | { kind: "step_replaced"; step: number; type?: StepType; text?: string }
    | {
        kind: "step_progress";
        step: number;
        done?: number;
        total?: number;
        text?: string;
      }
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
        epoch?: number;
        usage?: Usage;
        error?: Failure;
        cause?: CutCause;
      }
  );

export type EventOf<K extends RunEvent["kind"]> = Extract<RunEvent, { kind: K }>;

export interface Session {
  session_id: string;
  title: string;
  agent_name: string;
  /** What everybody is to know, as long as it is so. */
  notice?: { text: string; level: "info" | "warning" } | null;
  [more: string]: unknown;
}

export interface Snapshot {
  session: Session | null;
  runs: Run[];
  earlier: boolean;
  /** Of the `subscribe` that it answers. */
  ref?: number;
}

export interface ServerError extends Failure {
  retry_after?: number;
  client_id?: string;
  /** Of the `subscribe` that was refused. */
  ref?: number;
}

export type ServerMessage =
  | { type: "connected"; data: Record<string, unknown> }
  | { type: "snapshot"; data: Snapshot }
  | { type: "history"; data: { runs: Run[]; earlier: boolean } }
  | { type: "events"; data: { run: number; events: RunEvent[] } }
  | { type: "accepted"; data: { client_id: string; run: number } }
  | { type: "session"; data: Partial<Session> }
  | { type: "notice"; data: { text: string; level: "info" | "warning" } }
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
  | {
      type: "subscribe";
      payload: {
        protocol: 2;
        seen: Record<string, [number, number]>;
        ref: number;
      };
    }
  | { type: "history"; payload: { before: number; limit: number } }
  | { type: "ping"; payload: { timestamp: number } };

/** The socket: open or not, and why. */
export type SocketState = "disconnected" | "connecting" | "connected";

export interface Connection {
  state: SocketState;
  code: number;
  reason: string;
  /** When the next attempt is due (clock milliseconds); null when none is. */
  retryAt: number | null;
  /** True when coming back by itself is pointless: sign in, or give up. */
  final: boolean;
  /** Connected, says the socket, but a question to the server has no answer yet. */
  inDoubt: boolean;
}

/** Whether the session's log is followed. */
export interface Joining {
  isJoined: boolean;
  /** When a join that was refused is tried again (clock milliseconds). */
  retryAt: number | null;
}

/**
 * What a person should know about the connection.
 *
 * idle: not started · connecting: no socket yet · joining: catching up · live: all there
 * is, is here · doubt: it may be broken · waiting: lost, to be tried again at `retryAt` ·
 * offline: the same, and the browser says that there is no network · ended: for good,
 * by `code`.
 */
export interface Line {
  state:
    | "idle"
    | "connecting"
    | "joining"
    | "live"
    | "doubt"
    | "waiting"
    | "offline"
    | "ended";
  /** The close code of the last socket; 0 while there is none. */
  code: number;
  retryAt: number | null;
}

/** A connection that was lost, for a policy to judge. */
export interface Loss {
  /** How many attempts in a row have failed before. */
  attempt: number;
  /** The close code. */
  code: number;
  isOnline: boolean;
  isVisible: boolean;
  /** Uniform in [0, 1). */
  random: () => number;
}

/** Milliseconds until the next attempt; null: no more, until `wake` or `connect`. */
export type ReconnectPolicy = (loss: Loss) => number | null;

/** Time, as an argument. */
export interface Clock {
  now(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(id: unknown): void;
}

/** What is needed of a WebSocket. */
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

/** A message that was asked, until the run that answers it is there. */
export interface OutboxItem extends ChatPayload {
  /** When it was asked (clock milliseconds). */
  at: number;
  /** Refused: it is sent again only when asked to. */
  error?: Refusal;
  /** Refused for now: it is sent again by itself. Not stored. */
  delay?: Refusal;
  /** The server has it; its run is yet to come. Not stored. */
  isAccepted?: boolean;
}

/** Why a message was not taken: the wire's error code and the server's words. */
export interface Refusal {
  code: string;
  message: string;
}

/** Something to be told, as a code; `message` is the server's own words, if any. */
export interface Notice {
  code: string;
  message?: string;
  /** Of the session that it is about. */
  session_id?: string;
  title?: string;
}

export interface Readable<T> {
  get(): T;
  /** The listener is called at once, and then at every change. */
  subscribe(listener: (value: T) => void): () => void;
}

export interface Writable<T> extends Readable<T> {
  set(value: T): void;
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

/** What can be changed of a session. */
export interface SessionChange {
  title?: string;
  pinned?: boolean;
  archived?: boolean;
}

/** The list of sessions. */
export interface SessionsState {
  rows: SessionRow[];
  hasMore: boolean;
  /** Whether the archive is shown. */
  isArchived: boolean;
  query: string;
  /** Why the list could not be loaded; null: it was. */
  error: Notice | null;
  isLoaded: boolean;
}
