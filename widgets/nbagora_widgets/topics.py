"""The topic view: lite topics, the records of one of them, groups, fork and send."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, ClassVar

import traitlets
from pydantic import TypeAdapter

from nbagora_lab.inspect.topics import TopicLook
from nbagora_lab.inspect.topicview import (
    Browse,
    Fork,
    Look,
    Payload,
    Pick,
    Send,
    Show,
    TopicCommand,
    TopicsSnapshot,
)
from nbagora_widgets.esm import bundle, style
from nbagora_widgets.live import LiveView
from nbagora_widgets.source import TopicSource
from nbagora_widgets.table import topics_html, topics_text

__all__ = ["TopicView"]


class TopicView(LiveView):
    """A live view of topics; `%topic view`.

    Beside the live view it shows itself as plain tables in HTML and in text, for readers without a kernel or scripts.

    Args:
        source: Where the topics come from; each view needs one of its own.
        topic: Full name of the topic whose records to show at first.
        parent: The parent whose lite topics to list; by default that of `topic`, or ``sessions``.
        prefix: How the names of those begin.
        group: The group as which to see them.
        rate: Snapshots a second at most.
    """

    _esm = bundle("topics")
    _css = style("topics")
    _commands: ClassVar[TypeAdapter[Any]] = TypeAdapter(TopicCommand)
    _stored = ("snapshot", "payload")
    _latest: TopicsSnapshot

    payload = traitlets.Dict(help="the record that is looked at, as JSON; empty for none").tag(sync=True)

    def __init__(
        self,
        source: TopicSource,
        *,
        topic: str | None = None,
        parent: str = "",
        prefix: str = "",
        group: str | None = None,
        rate: float = 10.0,
    ) -> None:
        self._topics = source
        if topic is not None and not parent:
            parent = topic.partition("/")[0]
        self._look = TopicLook(parent, prefix, group, topic=topic)  # the service thread's from here on
        super().__init__(source, rate=rate)

    def __repr__(self) -> str:
        shown = f"{self._latest.topic}, " if self._latest.topic else ""
        return f"<TopicView of {self._latest.lab}, {shown}seq {self._latest.seq}>"

    def _stands_for(self) -> dict[str, str]:
        picked = Payload.model_validate(self.payload) if self.payload else None
        return {"text/plain": topics_text(self._latest, picked), "text/html": topics_html(self._latest, picked)}

    def _take(self) -> TopicsSnapshot:
        return self._topics.topics(self._look)

    def _obey(self, command: TopicCommand) -> Future[object] | None:
        match command:
            case Browse():
                self._look = self._look._replace(
                    parent=command.parent,
                    prefix=command.prefix,
                    group=command.group,
                    state=command.state,
                    after=command.after,
                )
                if self._look.topic is not None and self._look.topic.partition("/")[0] != command.parent:
                    self._show(None)
            case Show():
                self._show(command.topic)
            case Look():
                offset = command.offset or 0
                if command.time is not None and self._look.topic is not None:
                    offset = self._topics.seek(self._look.topic, command.time)
                self._look = self._look._replace(offset=offset, follow=command.follow, asked=command.request)
            case Pick():
                self._keep(
                    "payload", None if command.offset is None else self._topics.payload(command.topic, command.offset)
                )
                return None
            case Fork():
                return self._topics.fork(command.topic, command.to, command.at)
            case Send():
                return self._topics.send(command.topic, command.body, type=command.type, media=command.media)
        self._refresh()
        return None

    def _show(self, topic: str | None) -> None:
        """Shows another topic, and its parent's page if that was another's."""
        self._keep("payload", None)
        self._look = self._look._replace(topic=topic, offset=0, follow=True, asked=0)
        parent, slash, _ = (topic or "").partition("/")
        if slash and parent != self._latest.parent:
            self._look = self._look._replace(prefix="", group=None, state=None, after="")
        if slash:
            self._look = self._look._replace(parent=parent)
