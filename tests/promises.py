"""What must hold in the end, whatever happened: checks that several tests share."""

from __future__ import annotations

from uuid import UUID

from chat.store.events import events_in
from chat.wire.protocol import encode
from chat.wire.transcript import digest, fold, view
from tests.client import Viewer
from tests.servers import Site


def stored(site: Site, session_id: UUID) -> dict[int, str]:
    """What the log holds, folded, as JSON text by run; steps' rows must agree."""
    on_sqlite = site.settings["DATABASE_URL"].startswith("sqlite")
    runs = site.rows(
        "SELECT id, number FROM chat_run WHERE session_id = ? ORDER BY number",
        session_id.hex if on_sqlite else session_id,
    )
    result = {}
    for run_id, number in runs:
        steps = site.rows(
            "SELECT step, content, digest FROM chat_step WHERE run_id = ?"
            " ORDER BY step",
            run_id,
        )
        rows = site.rows(
            "SELECT seq, payload, merged FROM chat_event WHERE run_id = ? ORDER BY seq",
            run_id,
        )
        # The fold raises where an event is missing.
        contents = {step: content for step, content, _ in steps}
        state = fold(number, events_in(rows, contents))
        if state.status == "finished":
            shown = [(s.step, s.content, s.digest) for s in state.steps.values()]
            assert shown == [tuple(step) for step in steps]
            assert all(digest(content) == said for _, content, said in shown)
        result[number] = encode(view(state)).decode()
    return result


async def both_show_the_log(site: Site, *viewers: Viewer) -> None:
    """Every viewer's transcript is the log's, byte for byte."""
    for viewer in viewers:
        assert viewer.transcript() == stored(site, viewer.session_id)
