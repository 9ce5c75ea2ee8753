"""The task view mounted on a page over a mock model, its source of snapshots, and what it sent."""

from pydantic import TypeAdapter

from fake_lab import FakeTasks
from nbagora_lab.inspect.model import TaskCommand

__all__ = ["HOSTILE", "Mounted"]

COMMAND = TypeAdapter(TaskCommand)
HOSTILE = '<img src=x onerror="window.hit = 1"><script>window.hit = 2</script>"><b>x</b>'


class Mounted:
    """A view on a page, its source of snapshots, and what it sent."""

    def __init__(self, tab, server):
        self.tab, self.server = tab, server
        self.source = FakeTasks()
        self.filters = {"selected": None, "agent": None, "state": None, "limit": 200}

    def snapshot(self, **more):
        shot = self.source.tasks(**self.filters)
        chosen = {"agent": self.filters["agent"], "state": self.filters["state"]}
        return shot.model_copy(update=chosen | more).model_dump(mode="json")

    def mount(self, theme="light", **more):
        self.tab.goto(f"{self.server.url}/{theme}.html")
        self.tab.wait_for_function("window.ready")
        self.tab.evaluate("(snapshot) => mount(snapshot)", self.snapshot(**more))
        return self

    def show(self, **more):
        """Shows the source's tasks of now, and waits until they are painted."""
        self.tab.evaluate(
            "(snapshot) => (model.show(snapshot), new Promise((done) => requestAnimationFrame(() => done())))",
            self.snapshot(**more),
        )

    def select(self, task):
        self.filters["selected"] = task
        self.show()

    def sent(self, kind):
        """The commands of a kind that the view sent, as the kernel would read them."""
        commands = [COMMAND.validate_python(command) for command in self.tab.evaluate("model.sent")]
        return [command for command in commands if isinstance(command, kind)]

    def obeys(self, obeys):
        self.tab.evaluate("(obeys) => { model.obeys = obeys }", obeys)

    def reply(self, command, problem=None):
        self.tab.evaluate(
            "([command, problem]) => model.reply(command, problem)", [{"request": command.request}, problem]
        )

    def row(self, task):
        return self.tab.locator(f'tbody tr[data-key="{task}"]')

    def opener(self, task):
        return self.row(task).locator(".open")

    def events(self):
        return self.tab.locator(".feed li")

    def status(self):
        return self.tab.locator(".lab")
