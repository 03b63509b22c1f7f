"""What is known of weights besides their numbers: which weights they were trained from, and notes for their card."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_fer.common.text import first_line, first_problem
from edge_fer.errors import ConfigError
from edge_fer.inference.manifest import ClassifierSpec, ModelSpec

NOT_STATED = "not stated"


class Origin(BaseModel):
    """What training went on from; it stays with the weights until they are exported.

    Attributes:
        source: where the weights come from.
        licence: licence of the weights that training began with, which holds for the result, too.
        abstain_below: confidence below which labels of the first network were guesses; None: not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    licence: str
    abstain_below: float | None = None


def origin_of(name: str, spec: ModelSpec) -> Origin:
    """The origin of weights that are trained further from a deployed classifier.

    Args:
        name: name of the classifier in the manifest.
        spec: its entry there.
    """
    return Origin(
        source=f"trained further from {name} ({spec.source})",
        licence=spec.licence,
        abstain_below=(spec.abstain_below if isinstance(spec, ClassifierSpec) else 0) or None,
    )


class Provenance(BaseModel):
    """What the card states about the weights beside measurements: a YAML file.

    Attributes:
        source: where the weights come from.
        licence: licence of the weights.
        about_weights: a paragraph on them.
        training_data: a paragraph on what they were trained on.
        limits: a paragraph on what they must not be trusted with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = NOT_STATED
    licence: str = NOT_STATED
    about_weights: str = ""
    training_data: str = ""
    limits: str = ""

    def over(self, origin: Origin | None) -> Provenance:
        """The same, with source and licence of the origin where this states none."""
        if origin is None:
            return self
        known = {"source": origin.source, "licence": origin.licence}
        return Provenance.model_validate(known | self.model_dump(exclude_unset=True))


def read_provenance(path: Path) -> Provenance:
    """Read what a card should state about the weights.

    Raises:
        ConfigError: when the file cannot be read or has other keys.
    """
    try:
        return Provenance.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"expected a YAML file about the weights at {path}, found: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected YAML in {path}, found: {first_line(error)}") from error
    except ValidationError as error:
        where, what = first_problem(error)
        known = ", ".join(Provenance.model_fields)
        raise ConfigError(f"expected the keys {known} in {path}, found at `{where}`: {what}") from error
