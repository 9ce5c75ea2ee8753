"""The JavaScript that ships: its types are those of the models, and it is one module that loads nothing."""

import re

import pytest

from nbagora_lab.inspect import lanesview, model, registryview, topicview
from nbagora_widgets import esm
from nbagora_widgets.jsdoc import TYPES, types

MODULES = sorted(path.stem for path in esm.STATIC.glob("*.js"))
STYLES = sorted(path.stem for path in esm.STATIC.glob("*.css"))
TASKS = ("TaskRow", "TaskDetail", "EventRow", "TasksSnapshot", "Reply", "Problem", "Cancel", "Answer")
LANES = ("LaneRow", "StepRow", "StepDetail", "LanesSnapshot", "ShowStep", "Rerun")
TOPICS = ("TopicRow", "RecordRow", "TopicDetail", "GroupRow", "LeaseRow", "TopicsSnapshot", "Payload", "Look", "Send")

REGISTRY = ("FoundRow", "Facet", "ThingDetail", "VersionRow", "EndpointRow", "ChangeRow", "RegistrySnapshot", "Point")


def test_the_types_are_those_of_the_models():
    assert TYPES.read_text(encoding="utf-8") == types(), "run python -m nbagora_widgets.jsdoc"


def test_every_field_of_a_model_is_in_its_typedef():
    text = types()
    homes = {model: TASKS, topicview: TOPICS, registryview: REGISTRY, lanesview: LANES}
    for home, name in ((home, name) for home, names in homes.items() for name in names):
        typedef = re.search(rf"@typedef {{object}} {name}\n(.*?)\*/", text, re.DOTALL).group(1)
        shape = getattr(home, name)
        fields = {*shape.model_fields, *shape.model_computed_fields}
        assert set(re.findall(r"@property {.*?} (\w+)", typedef)) == fields


@pytest.mark.parametrize("view", ["tasks", "topics", "registry", "flow"])
def test_a_bundle_has_each_module_once_and_no_import(view):
    text = esm.bundle(view)
    assert text.count("export class Link") == 1
    assert text.count("export default") == 1
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    assert text.index("export function h(") < text.index("export default")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_short_and_builds_no_markup_from_texts(name):
    text = (esm.STATIC / f"{name}.js").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300 or name == "types"
    for banned in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "import("):
        assert banned not in re.sub(r"import\(\"\./types\.js\"\)", "", text)
    assert set(re.findall(r"https?://[^\"\s]+", text)) <= {"http://www.w3.org/2000/svg"}  # a name, never loaded


def test_the_modules_of_a_bundle_share_no_name():
    for view in ("tasks", "topics", "registry", "flow"):
        names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", esm.bundle(view), re.MULTILINE)
        assert len(names) > 20
        assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", STYLES)
def test_a_style_loads_nothing_and_takes_its_colours_from_the_theme(name):
    text = (esm.STATIC / f"{name}.css").read_text(encoding="utf-8")
    assert "url(" not in text
    assert "@import" not in text
    for line in text.splitlines():
        if re.search(r"#[0-9a-f]{3,6}\b", line):  # a fixed colour is a fallback, or black and white on the brand's
            assert re.search(r"var\(--jp-[\w-]+, #[0-9a-f]{6}\)|#000\)|color: #fff;", line), line
    assert ("prefers-reduced-motion" in text) == ("animation" in text)
