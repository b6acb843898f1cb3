"""What the site counts of itself, for Prometheus: `health` answers with it at /metrics.

Each process counts what it does. With several processes behind one port, `make serve`
names a folder (PROMETHEUS_MULTIPROC_DIR) in which all of them count, so that whichever
is asked tells of all. Nothing is counted per token: that would be a tenth of its cost.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 120),
)
_EVENTS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)

RUNS_ENDED: Final = Counter(
    "site_runs_ended", "Runs that ended in this process.", ["agent", "reason"]
)
TOKENS: Final = Counter(
    "site_tokens", "Tokens of runs that ended, as model servers count.", ["direction"]
)
TOOL_CALLS: Final = Counter(
    "site_tool_calls", "Tool calls by how they ended.", ["status"]
)
FIRST_TEXT_SECONDS: Final = Histogram(
    "site_first_text_seconds",
    "From a question that need not wait to the first text of its answer, committed.",
    buckets=_SECONDS,
)
DELIVERY_SECONDS: Final = Histogram(
    "site_delivery_seconds",
    "From what an agent said to its publication: the first of each run and flush.",
    buckets=_SECONDS,
)
FLUSH_SECONDS: Final = Histogram(
    "site_flush_seconds", "One transaction of the journal.", buckets=_SECONDS
)
FLUSH_EVENTS: Final = Histogram(
    "site_flush_events", "Events in one transaction of the journal.", buckets=_EVENTS
)
TAKEOVERS: Final = Counter("site_takeovers", "Runs taken over from dead processes.")
HANDOVERS: Final = Counter("site_handovers", "Runs handed over when a process ended.")
LOG_READS: Final = Counter("site_log_reads", "Reads of the log for viewers.")
FANOUT: Final = Counter(
    "site_fanout_messages", "Messages for other processes.", ["outcome"]
)
ERRORS: Final = Counter("site_errors", "Errors of what the site needs.", ["part"])
RUNNING: Final = Gauge(
    "site_driven_runs", "Runs driven now.", multiprocess_mode="livesum"
)
SOCKETS: Final = Gauge(
    "site_sockets", "Open sockets, some seconds ago.", multiprocess_mode="livesum"
)
VIEWERS: Final = Gauge(
    "site_viewers",
    "Viewers by state, some seconds ago.",
    ["state"],
    multiprocess_mode="livesum",
)
OUTBOX_CHARS: Final = Gauge(
    "site_outbox_chars",
    "What waits for slow viewers, some seconds ago.",
    multiprocess_mode="livesum",
)
