"""The base class of the sections of the project file, and types of their values."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: Names become names of folders and Zarr groups.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _plain_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            "a name is letters, digits, '.', '_' and '-', and starts with a letter or digit"
        )
    return value


Name = Annotated[str, AfterValidator(_plain_name)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A mapping of the project file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
