"""A2A, straight on the log: agents' threads append events, the doors only read.

`wire` writes the protocol's JSON, `live` is a task's writing side, `tasklog` holds contexts and tasks on session
topics, `handler` the operations, `doors`, `security` and `server` what HTTP sees, `cards` what an agent says of itself,
`client` a client that resumes, and `direct` one for agents of the same process. Protocol: A2A 1.0
(https://a2a-protocol.org), with the 0.3 face of the official SDK.
"""
