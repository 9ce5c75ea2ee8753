"""The runtime: everything of nbagora that knows neither IPython nor widgets.

Rooms, from the top down; each may import only those below it: `lab` (wires all), `scenarios`, `agents`, `a2a`,
`inspect`, `registry`, `broker`, `core`.
"""
