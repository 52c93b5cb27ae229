"""The base of all settings: immutable, strict about types, closed to unknown keys."""

from pydantic import BaseModel, ConfigDict


class StrictSettings(BaseModel):
    """Settings read from a configuration file; a typo or a wrong type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
