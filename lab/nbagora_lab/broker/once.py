"""An effect outside the broker, exactly once: which record was applied is stored in the effect's own transaction.

A record is handed out at least once; a consumer that dies between its effect and its ack is handed it again. Where the
effect is a write to a database, the database can remember that itself. For an effect within the broker, `Consumer.ack`
with ``send`` is enough.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from nbagora_lab.broker.delivery import Delivery

__all__ = ["Once"]


class Once:
    """Applies deliveries to an SQLite database, each once.

    Args:
        connection: The database; it gets a table ``nbagora_applied``. Used from the thread that it belongs to.
        group: Name of the group, so that others may apply the same records.

    Example:
        >>> once = Once(connection, "workers")
        >>> for delivery in consumer.receive():
        ...     with once.apply(delivery) as new:
        ...         if new:
        ...             connection.execute("UPDATE account SET sum = sum + 1")
        ...     consumer.ack(delivery)
    """

    def __init__(self, connection: sqlite3.Connection, group: str) -> None:
        self._connection = connection
        self._group = group
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS nbagora_applied (grp TEXT, topic TEXT, place INTEGER, time INTEGER, "
                "PRIMARY KEY (grp, topic, place, time)) WITHOUT ROWID"
            )

    @contextlib.contextmanager
    def apply(self, delivery: Delivery) -> Iterator[bool]:
        """One transaction, committed at the end of its ``with`` and rolled back by what is raised in it.

        Yields:
            Whether the record is new; if not, its effect is there already.
        """
        time = round(delivery.record.time * 1e6)  # a topic that expired may have begun anew, at offset 0
        key = self._group, delivery.topic, delivery.offset, time
        with self._connection:
            cursor = self._connection.execute("INSERT OR IGNORE INTO nbagora_applied VALUES (?, ?, ?, ?)", key)
            yield cursor.rowcount == 1

    def forget(self, topic: str, before: int) -> int:
        """Lets go of what is said of records before an offset, such as the group's progress; returns their number."""
        with self._connection:
            return self._connection.execute(
                "DELETE FROM nbagora_applied WHERE grp = ? AND topic = ? AND place < ?", (self._group, topic, before)
            ).rowcount
