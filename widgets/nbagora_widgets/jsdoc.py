"""The views' types for JavaScript, from the models: ``python -m nbagora_widgets.jsdoc`` writes ``static/types.js``.

The models are the one home of each shape; a test fails where the file is not what this makes of them.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from nbagora_lab.inspect import lanesview, model, registryview, topicview
from nbagora_widgets.esm import STATIC

__all__ = ["TYPES", "types"]

TYPES = STATIC / "types.js"
"""The file that `types` is the text of."""

_HEAD = """\
// Made from the models of nbagora_lab/inspect by `python -m nbagora_widgets.jsdoc`. Do not edit.
"""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[1])
    if "const" in schema:
        return f'"{schema["const"]}"'
    if "enum" in schema:
        return " | ".join(f'"{each}"' for each in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"{_type(schema['items'])}[]"
    simple = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}
    return simple[schema["type"]]


def types() -> str:
    """The text of ``types.js``: one JSDoc typedef for each public model of the views' modules."""
    named = (getattr(module, name) for module in (lanesview, model, registryview, topicview) for name in module.__all__)
    bases = (model.Command, model.Snapshot)
    shapes = [each for each in named if isinstance(each, type) and issubclass(each, BaseModel) and each not in bases]
    _, schema = models_json_schema([(each, "serialization") for each in shapes])
    text = _HEAD
    for name, shape in schema["$defs"].items():
        title = shape.get("description", "").partition("\n")[0]
        text += f"\n/**\n * {title}\n * @typedef {{object}} {name}\n"
        for field, about in shape["properties"].items():
            text += f" * @property {{{_type(about)}}} {field}\n"
        text += " */\n"
    return text + "\nexport {};\n"


if __name__ == "__main__":
    TYPES.write_text(types(), encoding="utf-8")
