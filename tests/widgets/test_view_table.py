"""Where no live view can be, the same rows are there as a plain table."""

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from fake_lab import FakeTasks
from nbagora_lab.inspect.model import STOPPED, TasksSnapshot
from nbagora_widgets.table import tasks_html, tasks_text
from nbagora_widgets.tasks import TaskView

HOSTILE = '<img src=x onerror="alert(1)">&amp;</td></table><script>alert(2)</script>'


class Tables(HTMLParser):
    """What a reader of the HTML sees: tags by name, and cells by row."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.rows, self.text = set(), [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.text = ""

    def handle_data(self, data):
        if self.text is not None:
            self.text += data

    def handle_endtag(self, tag):
        if tag in {"td", "th"}:
            self.rows[-1].append(self.text)
            self.text = None


def snapshot(selected=None, **task):
    source = FakeTasks()
    source.add("t1", **task)
    return source.tasks(selected=selected, agent=None, state=None, limit=200)


def test_a_row_has_the_columns_of_the_live_view():
    heads, row = Tables(tasks_html(snapshot(text="Sunny in 北京", state="INPUT_REQUIRED", question="周五?"))).rows
    assert heads == ["State", "Agent", "Task", "Last words", "Events", "Updated"]
    assert row[:5] == ["input required", "weather", "t1", "周五?", "1"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row[5])


@given(st.text(max_size=60))
def test_any_text_is_a_text_and_no_markup(text):
    shot = snapshot(selected="t1", agent=HOSTILE + text, text=HOSTILE + text, state=HOSTILE)
    tables = Tables(tasks_html(shot))
    assert tables.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert len(tables.rows) == 4
    assert tables.rows[1][3] == shot.rows[0].text


def test_the_events_of_the_selected_task_follow():
    source = FakeTasks()
    source.add("t1")
    for _ in range(250):
        source.change("t1", "artifact", event_text="a chunk")
    html = tasks_html(source.tasks(selected="t1", agent=None, state=None, limit=200))
    assert "Events of task t1, without the first 51" in html
    assert len(Tables(html).rows) == 2 + 1 + 200


def test_the_caption_says_how_many_there_are_and_of_which_lab():
    shot = snapshot()
    assert "<caption>1 task (http://127.0.0.1:1)</caption>" in tasks_html(shot)
    more = shot.model_copy(update={"total": 1234, "lab": STOPPED})
    assert "<caption>1 newest of 1,234 tasks (the lab is not running)</caption>" in tasks_html(more)


def test_text_columns_stand_below_each_other_also_in_chinese():
    source = FakeTasks()
    source.add("t1", agent="天气")
    source.add("t2", agent="weather", text="a\nb " + "c" * 100)
    title, heads, *rows = tasks_text(source.tasks(selected=None, agent=None, state=None, limit=200)).splitlines()
    assert title == "2 tasks (http://127.0.0.1:1)"
    assert heads.index("Task") == rows[0].index("t2")
    assert rows[1].index("t1") == heads.index("Task") - 2  # two characters of double width before it
    assert "a b ccc" in rows[0]
    assert max(map(len, rows)) < 120


def test_text_stops_at_twenty_rows_and_says_how_many_there_are():
    source = FakeTasks()
    for number in range(50):
        source.add(f"t{number}")
    text = tasks_text(source.tasks(selected=None, agent=None, state=None, limit=200))
    assert len(text.splitlines()) == 22
    assert text.startswith("50 tasks")


def test_no_tasks_is_a_table_too():
    shot = TasksSnapshot(seq=0, lab="http://127.0.0.1:1")
    assert tasks_text(shot) == "0 tasks (http://127.0.0.1:1)"
    assert Tables(tasks_html(shot)).rows == [["State", "Agent", "Task", "Last words", "Events", "Updated"]]


def test_a_view_shows_itself_live_as_html_and_as_text():
    class Source(FakeTasks):
        def soon(self, function):
            function()

        def every(self, seconds, function):
            return lambda: None

    source = Source()
    source.add("t1", text="Sunny")
    view = TaskView(source)
    source.change("t1", text="Sunny in 北京")  # since the view was made: what is shown is of now
    data, _ = view._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == view.model_id
    assert "Sunny in 北京" in data["text/html"]
    assert "Sunny in 北京" in data["text/plain"]
    view.close()
