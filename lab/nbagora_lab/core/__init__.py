"""The ground that every other room stands on: errors, settings, time, ids, the service loop and the record.

Nothing here knows a topic, an agent or a protocol. Time, ids and randomness enter the house here and nowhere else.
"""
