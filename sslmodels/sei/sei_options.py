"""Where the weights of Sei are that a model begins with, and what it depends on. No Keras."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssldata.base.cache_folder import file_digest
from ssldata.base.errors import ConfigError, FetchError, MissingInputError
from sslmodels.sei.sei_checkpoint import SUFFIXES, sei_files

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class SeiOptions:
    """The section ``training.sei`` of a project file.

    Attributes
    ----------
    folder
        Folder of the weights, or their file.
    pretrained
        Load the weights; False starts from random ones (tests, controls).
    sha256
        File name → checksum the file must have.
    """

    folder: Path | None = None
    pretrained: bool = True
    sha256: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> tuple[Path, ...]:
        """Return the files to load, none for random weights.

        Raises
        ------
        ConfigError
            No folder is named, or a checksum is malformed or of a file that is not used.
        MissingInputError
            The folder holds no weights.
        """
        if not self.pretrained:
            if self.folder is not None or self.sha256:
                raise ConfigError(
                    "training.sei: pretrained is false, but weights are named; remove one of the "
                    "two"
                )
            return ()
        if self.folder is None:
            raise ConfigError(
                "training.sei.folder: the model fsei begins with Sei's weights; name the folder or "
                "the file of them (docs/sei.md says where they are had), or set pretrained: false"
            )
        # The head is no part of the model.
        files = sei_files(self.folder)[:1]
        for name, value in self.sha256.items():
            if not _SHA256.fullmatch(value):
                raise ConfigError(
                    f"training.sei.sha256: checksum of {name}: expected 64 hexadecimal digits"
                )
            if name not in [path.name for path in files]:
                raise ConfigError(
                    f"training.sei.sha256: no file {name} is used; used is {files[0].name}"
                )
        return files

    def missing(self) -> Path | None:
        """Return the file of weights that is expected and not there, None if nothing is missing.

        Raises
        ------
        ConfigError
            As :meth:`files`.
        """
        try:
            self.files()
        except MissingInputError:
            assert self.folder is not None
            is_file = self.folder.suffix in SUFFIXES and not self.folder.is_dir()
            return self.folder if is_file else self.folder / "sei.pth"
        return None

    def identity(self) -> dict[str, Any]:
        """Return what a trained model depends on, as JSON-able values: checksums, not locations.

        Raises
        ------
        ConfigError, MissingInputError
            As :meth:`files`.
        FetchError
            A file has another checksum than expected.
        """
        digests = {path.name: file_digest(path) for path in self.files()}
        for name, found in digests.items():
            wanted = self.sha256.get(name, found)
            if wanted != found:
                raise FetchError(
                    f"{self.folder}: {name}: expected sha256 {wanted}, found {found}; the file is "
                    "damaged or a different one: download it again"
                )
        return {"files": digests}
