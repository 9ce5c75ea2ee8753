"""The engine on Apache RocketMQ 5.5 or later: lite topics on a cluster that outlives and outgrows a machine.

`log` is the log, on three things: `sender` (the official client, through `official`, which guards its defects),
`cluster` (administration and reads by offset, over `remoting`) and `feed` (what is written, as it is written). Nothing
is imported before a lab asks for this engine.
"""
