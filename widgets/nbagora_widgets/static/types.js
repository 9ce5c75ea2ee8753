// Made from nbagora_lab/inspect/model.py by `python -m nbagora_widgets.jsdoc`. Do not edit.

/**
 * Answers a task that asked for input.
 * @typedef {object} Answer
 * @property {number} request
 * @property {"answer"} do
 * @property {string} task_id
 * @property {string} text
 */

/**
 * A view is shown no longer.
 * @typedef {object} Bye
 * @property {number} request
 * @property {"bye"} do
 * @property {string} view
 */

/**
 * Asks for a task to be cancelled.
 * @typedef {object} Cancel
 * @property {number} request
 * @property {"cancel"} do
 * @property {string} task_id
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
 * A view is shown, and wants snapshots.
 * @typedef {object} Hello
 * @property {number} request
 * @property {"hello"} do
 * @property {string} view
 */

/**
 * A `LabError` for a view: the same two lines.
 * @typedef {object} Problem
 * @property {string} name
 * @property {string} what
 * @property {string} hint
 */

/**
 * The answer to a command.
 * @typedef {object} Reply
 * @property {number} reply
 * @property {Problem | null} problem
 */

/**
 * Asks for a task's events; None for nobody's.
 * @typedef {object} Select
 * @property {number} request
 * @property {"select"} do
 * @property {string | null} task_id
 */

/**
 * The selected task.
 * @typedef {object} TaskDetail
 * @property {TaskRow} row
 * @property {string} topic
 * @property {EventRow[]} events
 * @property {number} skipped
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

export {};
