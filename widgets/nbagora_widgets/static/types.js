// Made from the models of nbagora_lab/inspect by `python -m nbagora_widgets.jsdoc`. Do not edit.

/**
 * Answers a task that asked for input.
 * @typedef {object} Answer
 * @property {number} request
 * @property {"answer"} do
 * @property {string} task_id
 * @property {string} text
 */

/**
 * An artifact of the selected task.
 * @typedef {object} ArtifactRow
 * @property {string} id
 * @property {string} name
 * @property {PartRow[]} parts
 */

/**
 * An attribute of a record that is set.
 * @typedef {object} Attribute
 * @property {string} name
 * @property {string} value
 */

/**
 * Asks for a page of lite topics: a parent's, by prefix, as a group sees them, past a name.
 * @typedef {object} Browse
 * @property {number} request
 * @property {"browse"} do
 * @property {string} parent
 * @property {string} prefix
 * @property {string | null} group
 * @property {string | null} state
 * @property {string} after
 */

/**
 * A view is shown no longer.
 * @typedef {object} Bye
 * @property {number} request
 * @property {"bye"} do
 * @property {string} view
 */

/**
 * A task of the selected one's trace.
 * @typedef {object} CallRow
 * @property {string} id
 * @property {string} agent
 * @property {string} state
 * @property {number} depth
 */

/**
 * Asks for a task to be cancelled.
 * @typedef {object} Cancel
 * @property {number} request
 * @property {"cancel"} do
 * @property {string} task_id
 */

/**
 * A change of the registry.
 * @typedef {object} ChangeRow
 * @property {number} revision
 * @property {number} time
 * @property {string} type
 * @property {string} name
 * @property {string} version
 * @property {string} text
 * @property {string} who
 */

/**
 * Asks for one thing's versions and endpoints; None for none's.
 * @typedef {object} Choose
 * @property {number} request
 * @property {"choose"} do
 * @property {string | null} name
 */

/**
 * Asks where two versions of the chosen thing differ; empty for no comparison.
 * @typedef {object} Compare
 * @property {number} request
 * @property {"compare"} do
 * @property {string} before
 * @property {string} after
 */

/**
 * Where the cards of two versions differ.
 * @typedef {object} Difference
 * @property {string} before
 * @property {string} after
 * @property {string[]} lines
 * @property {number} more
 */

/**
 * A place where a version answers.
 * @typedef {object} EndpointRow
 * @property {string} id
 * @property {string} version
 * @property {string} url
 * @property {string} transport
 * @property {string} state
 * @property {string} reason
 * @property {number} weight
 * @property {string} zone
 * @property {number} expires
 */

/**
 * One event of a task.
 * @typedef {object} EventRow
 * @property {number} offset
 * @property {number} generation
 * @property {string} kind
 * @property {string} state
 * @property {string} text
 * @property {number} time
 * @property {boolean} checked
 * @property {string[]} problems
 */

/**
 * A filter that would narrow the search.
 * @typedef {object} Facet
 * @property {string} field
 * @property {FacetValue[]} values
 */

/**
 * One value of a filter, and how many of what is found have it.
 * @typedef {object} FacetValue
 * @property {string} value
 * @property {number} count
 * @property {boolean} chosen
 */

/**
 * Asks for the tasks of one agent, in one state; None for all.
 * @typedef {object} Filter
 * @property {number} request
 * @property {"filter"} do
 * @property {string | null} agent
 * @property {string | null} state
 */

/**
 * Makes a new topic of a topic's records up to and including an offset.
 * @typedef {object} Fork
 * @property {number} request
 * @property {"fork"} do
 * @property {string} topic
 * @property {number} at
 * @property {string} to
 */

/**
 * One thing that a search found.
 * @typedef {object} FoundRow
 * @property {string} name
 * @property {string} version
 * @property {string} description
 * @property {string} health
 * @property {number} endpoints
 * @property {string} why
 */

/**
 * One group of the parent, and where it stands on the topic that is shown.
 * @typedef {object} GroupRow
 * @property {string} group
 * @property {string} mode
 * @property {number} clients
 * @property {number} ready
 * @property {string} held
 * @property {number} leased
 * @property {LeaseRow[]} leases
 * @property {number} received
 * @property {number} acked
 * @property {number} redelivered
 * @property {number} dead
 * @property {number | null} committed
 * @property {number} lag
 * @property {number} attempts
 * @property {string} state
 * @property {LeaseRow | null} lock
 */

/**
 * A view is shown, and wants snapshots.
 * @typedef {object} Hello
 * @property {number} request
 * @property {"hello"} do
 * @property {string} view
 */

/**
 * Asks for one event of a task as the protocol's message; None for none.
 * @typedef {object} Inspect
 * @property {number} request
 * @property {"inspect"} do
 * @property {string} task_id
 * @property {number | null} offset
 */

/**
 * A label, and the version that it points at.
 * @typedef {object} LabelRow
 * @property {string} label
 * @property {string} version
 */

/**
 * One who did something: an agent, or a member of a flow.
 * @typedef {object} LaneRow
 * @property {string} name
 * @property {string} kind
 * @property {number} steps
 */

/**
 * What the lanes of one task show.
 * @typedef {object} LanesSnapshot
 * @property {number} seq
 * @property {string} lab
 * @property {string} task
 * @property {string} agent
 * @property {string} state
 * @property {number} length
 * @property {LaneRow[]} lanes
 * @property {StepRow[]} steps
 * @property {number} skipped
 * @property {number} tokens
 * @property {number | null} cost
 * @property {StepDetail | null} selected
 */

/**
 * A lease that is out: while it holds, its topic is locked for the group.
 * @typedef {object} LeaseRow
 * @property {string} topic
 * @property {string} client
 * @property {number} first
 * @property {number} records
 * @property {number} expires
 */

/**
 * Asks for the window from an offset or a time on, or for one that goes with the newest records.
 * @typedef {object} Look
 * @property {number} request
 * @property {"look"} do
 * @property {number | null} offset
 * @property {number | null} time
 * @property {boolean} follow
 */

/**
 * A parent topic.
 * @typedef {object} ParentRow
 * @property {string} name
 * @property {string} type
 * @property {number | null} ttl
 */

/**
 * A part of an artifact, as it is shown.
 * @typedef {object} PartRow
 * @property {string} kind
 * @property {string} text
 * @property {string} media
 * @property {string} name
 * @property {boolean} cut
 */

/**
 * A record as it is looked at.
 * @typedef {object} Payload
 * @property {string} topic
 * @property {number} created
 * @property {number} offset
 * @property {string} kind
 * @property {string} text
 * @property {string} media
 * @property {number} size
 * @property {boolean} cut
 * @property {Attribute[]} attributes
 */

/**
 * Asks for a record's body; None for none.
 * @typedef {object} Pick
 * @property {number} request
 * @property {"pick"} do
 * @property {string} topic
 * @property {number | null} offset
 */

/**
 * Points a label of the chosen thing at a version.
 * @typedef {object} Point
 * @property {number} request
 * @property {"point"} do
 * @property {string} name
 * @property {string} label
 * @property {string} version
 */

/**
 * A `LabError` for a view: the same two lines.
 * @typedef {object} Problem
 * @property {string} name
 * @property {string} what
 * @property {string} hint
 */

/**
 * One record, as a line.
 * @typedef {object} RecordRow
 * @property {number} offset
 * @property {number} time
 * @property {string} type
 * @property {string} subject
 * @property {number} size
 * @property {string} text
 */

/**
 * What a registry view shows.
 * @typedef {object} RegistrySnapshot
 * @property {number} seq
 * @property {string} lab
 * @property {string} kind
 * @property {string} text
 * @property {string[]} filters
 * @property {number} total
 * @property {FoundRow[]} rows
 * @property {Facet[]} facets
 * @property {ThingDetail | null} selected
 * @property {ChangeRow[]} changes
 * @property {string} problem
 */

/**
 * The answer to a command.
 * @typedef {object} Reply
 * @property {number} reply
 * @property {Problem | null} problem
 */

/**
 * Asks for a fork at a step that goes on live from there.
 * @typedef {object} Rerun
 * @property {number} request
 * @property {"rerun"} do
 * @property {string} id
 * @property {string | null} output
 */

/**
 * Points a label back at the version that it pointed at before.
 * @typedef {object} RollBack
 * @property {number} request
 * @property {"roll-back"} do
 * @property {string} name
 * @property {string} label
 */

/**
 * Sends an agent a message; in a context, or in one of its own.
 * @typedef {object} Say
 * @property {number} request
 * @property {"say"} do
 * @property {string} agent
 * @property {string} text
 * @property {string} context_id
 */

/**
 * Asks for what fits words and filters.
 * @typedef {object} Search
 * @property {number} request
 * @property {"search"} do
 * @property {"agent" | "mcp" | "prompt"} kind
 * @property {string} text
 * @property {string[]} filters
 */

/**
 * Asks for a task's events; None for nobody's.
 * @typedef {object} Select
 * @property {number} request
 * @property {"select"} do
 * @property {string | null} task_id
 */

/**
 * Appends a record of text to a topic.
 * @typedef {object} Send
 * @property {number} request
 * @property {"send"} do
 * @property {string} topic
 * @property {string} body
 * @property {string} type
 * @property {"text/plain" | "application/json"} media
 */

/**
 * Asks for a topic's records, the newest ones at first; None for none.
 * @typedef {object} Show
 * @property {number} request
 * @property {"show"} do
 * @property {string | null} topic
 */

/**
 * Asks for the whole of a step; None for nobody's.
 * @typedef {object} ShowStep
 * @property {number} request
 * @property {"step"} do
 * @property {string | null} id
 */

/**
 * The step that is looked at, as long as it is.
 * @typedef {object} StepDetail
 * @property {string} id
 * @property {string} input
 * @property {string} output
 * @property {boolean} can_rerun
 */

/**
 * One step, or the whole of a task.
 * @typedef {object} StepRow
 * @property {string} id
 * @property {string} lane
 * @property {string} parent
 * @property {string} name
 * @property {string} kind
 * @property {string} pattern
 * @property {number} depth
 * @property {string} state
 * @property {number} began
 * @property {number} ended
 * @property {string} topic
 * @property {number} offset
 * @property {number} until
 * @property {number | null} seconds
 * @property {number} began_at
 * @property {number} tokens
 * @property {number} input_tokens
 * @property {number} output_tokens
 * @property {number | null} cost
 * @property {string} model
 * @property {string} input
 * @property {string} output
 */

/**
 * The selected task.
 * @typedef {object} TaskDetail
 * @property {TaskRow} row
 * @property {string} topic
 * @property {EventRow[]} events
 * @property {number} skipped
 * @property {ArtifactRow[]} artifacts
 * @property {CallRow[]} calls
 */

/**
 * One task, as a line of a table.
 * @typedef {object} TaskRow
 * @property {string} id
 * @property {string} context_id
 * @property {string} agent
 * @property {string} state
 * @property {string} text
 * @property {number} created
 * @property {number} updated
 * @property {number} events
 * @property {string} question
 * @property {string[]} choices
 * @property {boolean} open
 */

/**
 * What a task view shows.
 * @typedef {object} TasksSnapshot
 * @property {number} seq
 * @property {string} lab
 * @property {number} total
 * @property {TaskRow[]} rows
 * @property {TaskDetail | null} selected
 * @property {string | null} agent
 * @property {string | null} state
 */

/**
 * The thing that is looked at.
 * @typedef {object} ThingDetail
 * @property {string} name
 * @property {string} owner
 * @property {string} description
 * @property {string} rule
 * @property {LabelRow[]} labels
 * @property {VersionRow[]} versions
 * @property {EndpointRow[]} endpoints
 * @property {Difference | null} difference
 */

/**
 * The topic that is shown, and a window of its records.
 * @typedef {object} TopicDetail
 * @property {TopicRow} row
 * @property {number} opened
 * @property {number} start
 * @property {RecordRow[]} records
 * @property {boolean} follow
 * @property {number} asked
 */

/**
 * One lite topic.
 * @typedef {object} TopicRow
 * @property {string} topic
 * @property {string} lite
 * @property {string} ref
 * @property {number} first
 * @property {number} next
 * @property {number} created
 * @property {number} last_write
 * @property {string} forked_from
 * @property {string} state
 * @property {number | null} lag
 */

/**
 * What a topic view shows.
 * @typedef {object} TopicsSnapshot
 * @property {number} seq
 * @property {string} lab
 * @property {ParentRow[]} parents
 * @property {string} parent
 * @property {string} prefix
 * @property {string | null} group
 * @property {string | null} state
 * @property {string} after
 * @property {TopicRow[]} topics
 * @property {string} until
 * @property {GroupRow[]} groups
 * @property {string | null} topic
 * @property {TopicDetail | null} selected
 */

/**
 * A version of the thing that is looked at.
 * @typedef {object} VersionRow
 * @property {string} version
 * @property {string} state
 * @property {number} published
 * @property {string[]} labels
 * @property {number | null} share
 * @property {string} hash
 */

export {};
