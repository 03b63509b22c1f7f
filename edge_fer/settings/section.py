"""The base of all sections of the settings."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """One section of the settings: validated, and immutable afterwards."""

    file_names: ClassVar[frozenset[str]] = frozenset()
    """Settings that may name a file, whose name may be any bytes; all other text can be encoded as UTF-8."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _check_text(cls, value: Any, info: ValidationInfo) -> Any:
        if info.field_name in cls.file_names or not isinstance(value, str):
            return value
        if not value.isascii() and value.encode(errors="replace").decode() != value:
            raise ValueError("expected text in UTF-8, found bytes that are none")
        return value
