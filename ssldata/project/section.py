"""The base class of the sections of the project file, and types of their values."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

#: Names become names of folders and Zarr groups.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


#: Names are joined to longer ones, which a disk must hold.
_LONGEST = 100


def _plain_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            "a name is letters, digits, '.', '_' and '-', and starts with a letter or digit"
        )
    if len(value) > _LONGEST:
        raise ValueError(f"a name has at most {_LONGEST} characters, this one {len(value)}")
    if value.lower() == "zarr.json":
        raise ValueError("every folder of a store has a file of this name; choose another")
    return value


Name = Annotated[str, AfterValidator(_plain_name)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _strict_numbers(schema: Any) -> None:
    """Let a schema take no text, and no true or false, for a number."""
    if isinstance(schema, dict):
        if schema.get("type") in {"int", "float"}:
            schema["strict"] = True
        for part in schema.values():
            _strict_numbers(part)
    elif isinstance(schema, (list, tuple)):
        for part in schema:
            _strict_numbers(part)


class Section(BaseModel):
    """A mapping of the project file; unknown keys are refused.

    Numbers may stand where text is expected (a contig called 4), but not the other way round.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        _strict_numbers(schema)
        return schema
