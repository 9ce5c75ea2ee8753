"""The views: live tables of what the lab does, as anywidgets over read-only snapshots.

A view is one Python class and one JavaScript module in ``static/``. It knows its source by a small protocol, gets
whole snapshots, sends commands, and leaves a plain table where there is no kernel or no script.
"""

from __future__ import annotations

from nbagora_widgets.lanes import LanesView
from nbagora_widgets.live import LiveView, flush_all, living, stop_all
from nbagora_widgets.registry import RegistryView
from nbagora_widgets.source import LanesSource, LiveSource, RegistrySource, TaskSource, TopicSource
from nbagora_widgets.tasks import TaskView
from nbagora_widgets.topics import TopicView

__all__ = [
    "LanesSource",
    "LanesView",
    "LiveSource",
    "LiveView",
    "RegistrySource",
    "RegistryView",
    "TaskSource",
    "TaskView",
    "TopicSource",
    "TopicView",
    "flush_all",
    "living",
    "stop_all",
]
