"""Read-only projections: records in, what people look at out.

`fold` makes sessions and tasks of a session topic's records, `directory` says which tasks there are, `tasks` makes the
snapshots that views and tables show, `model` and `status` are their shapes. Everything here can be thrown away and
made again from the topics.
"""
