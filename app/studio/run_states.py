"""What the states of a run are called, and the signs for them."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.i18n import Message, _

STATES: Mapping[str, Message] = {
    "running": _("Running"),
    "done": _("Done"),
    "failed": _("Failed"),
    "stopped": _("Stopped"),
}
ICONS: Mapping[str, str] = {
    "running": ":material/progress_activity:",
    "done": ":material/check_circle:",
    "failed": ":material/error:",
    "stopped": ":material/stop_circle:",
}
SIGNS: Mapping[str, str] = {"running": "▶", "done": "✓", "failed": "✗", "stopped": "■"}
