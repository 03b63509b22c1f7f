"""Write docs/settings.md from the settings' JSON Schema; `test_settings_docs.py` compares.

Run by `make settings-docs`: python -m tools.settings_docs
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_fer.settings import ENVIRONMENT_PREFIX, Settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

HEAD = """\
<!-- Written by `make settings-docs` from edge_fer/settings; changes belong there. -->

# Settings

Every setting has a default; a settings file holds only what differs from it:

```yaml
capture:
  source: /dev/video0
publish:
  mqtt:
    host: broker.local
```

`edge-fer run --config FILE` reads it. A setting may also come from the environment or from a flag of the command line.
A flag has priority over the environment, the environment over the file, and the file over the defaults. In the
environment the value is written as in YAML:

```sh
EDGE_FER_PUBLISH__MQTT__HOST=broker.local edge-fer run --config FILE --camera 0
```

| Command | What it does |
|---|---|
| `edge-fer config show` | prints all settings in force, ready to be saved as a settings file |
| `edge-fer config check --config FILE` | checks a file, the networks that it names, and tries each sink once |
| `edge-fer config schema` | prints the settings' JSON Schema, which editors use for completion |

A service reads its settings from `/etc/edge-fer/config.yaml`; see [install.md](install.md). Pictures have their origin
at the top left; scores, confidences and overlaps are from 0 to 1.
"""

COLUMNS = "| Setting | Values | Default | Meaning |\n|---|---|---|---|"


def settings_page() -> str:
    """The content of docs/settings.md."""
    schema = Settings.model_json_schema()
    return HEAD + "\n" + "\n\n".join(sections(schema, schema, ())) + "\n"


def sections(schema: dict[str, Any], section: dict[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    """A heading and a table for a section, then the same for each section within it.

    Args:
        schema: the schema of all settings, with the sections' definitions.
        section: the schema of this section.
        names: where it stands, such as `("publish", "mqtt")`.
    """
    rows, inner = [], []
    for name, field in section["properties"].items():
        place = (*names, name)
        if "$ref" in field:
            inner.append((place, schema["$defs"][field["$ref"].rpartition("/")[2]]))
            continue
        variable = ENVIRONMENT_PREFIX + "__".join(place).upper()
        default = json.dumps(field["default"], ensure_ascii=False).strip('"')
        cells = (f"`{name}`<br>`{variable}`", values(field), f"`{default}`", field["description"])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    title, about = (f"`{'.'.join(names)}`", section["description"]) if names else ("General", "Outside any section.")
    yield "\n\n".join([f"## {title}", about, "\n".join([COLUMNS, *rows])])
    for place, found in inner:
        yield from sections(schema, found, place)


def values(field: dict[str, Any]) -> str:
    """What a setting may be, in words."""
    if "anyOf" in field:
        return ", or ".join(dict.fromkeys(values(choice) for choice in field["anyOf"]))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in field.get("enum", [field.get("const")]))
    kind = field["type"]
    if kind == "array":
        if "prefixItems" in field:
            return f"list of {len(field['prefixItems'])}, each a {values(field['prefixItems'][0])}"
        return f"list of {values(field['items'])}"
    if kind == "object":
        return f"mapping of names to {values(field['additionalProperties'])}"
    words = {"string": "path" if field.get("format") == "path" else "text", "boolean": "`true` or `false`"}
    return words.get(kind, kind if kind == "null" else f"{kind}{bounds(field)}")


def bounds(field: dict[str, Any]) -> str:
    """The range of a number, in words."""
    words = {
        "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"
    }  # fmt: skip
    found = [f"{word} {field[key]:,}" for key, word in words.items() if key in field]
    return "".join(f", {text}" for text in found)


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
