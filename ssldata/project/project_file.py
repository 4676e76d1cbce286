"""The project file: one YAML file, checked completely before any work starts.

Every key except the inputs has a default. Unknown keys, wrong values and contradictions are
reported in one line that names the key, the file and what is allowed (:class:`ConfigError`).
Relative paths are relative to the folder of the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator

from ssldata.base.errors import ConfigError
from ssldata.base.files import expanded, real_path
from ssldata.base.yaml_text import dump, line_of, parse, read_text
from ssldata.project.genome_list import read_registry
from ssldata.project.section import Fraction, Name, Section
from ssldata.project.sequences_section import LabelledSequences
from ssldata.project.training_section import (
    HOMOLOGOUS,
    REGIMES,
    WITHOUT_HOMOLOGUES,
    Training,
)

S = TypeVar("S", bound=Section)

#: Name of the store of a joint project, and of a run with an output per experiment.
JOINT = "joint"


class Reference(Section):
    """The labelled genome."""

    name: Name = Field(description="Name of the assembly, for example sacCer3.")
    sequence: Path = Field(description="FASTA or 2bit, plain or packed.")
    aliases: dict[str, str] = Field(
        default_factory=dict,
        description="Other names of contigs, alias: name, used to read peaks and chains "
        "(chr4 in the peaks where the genome has chrIV).",
    )
    sizes: Path | None = Field(
        default=None,
        description="Contigs and their lengths (chrom.sizes), for the estimates of `plan` while "
        "the sequence is missing.",
    )


class MotifEntry(Section, title="Motif"):
    """The known motif of an experiment, for the baseline pwm."""

    file: Path = Field(description="MEME file, for example of JASPAR.")
    name: Annotated[str, Field(min_length=1)] = Field(
        description="Name of the motif in it, for example MA0363.1."
    )


class Experiment(Section):
    """One set of peaks measured in the labelled genome, or one table of labelled sequences."""

    name: Name = Field(description="For example the transcription factor.")
    peaks: Path | None = Field(
        default=None, description="BED or narrowPeak, plain or packed. Or `sequences`."
    )
    sequences: LabelledSequences | None = Field(
        default=None, description="A table of sequences with labels, in place of `peaks`."
    )
    width: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="Replace every peak by this many bases around its summit (narrowPeak column "
        "10, else the middle of the interval). Needed when peaks are summits of 1 b.",
    )
    motif: MotifEntry | None = Field(
        default=None, description="A known motif of the factor; the baseline pwm scans with it."
    )

    @model_validator(mode="after")
    def _one_kind_of_labels(self) -> Experiment:
        if (self.peaks is None) == (self.sequences is None):
            raise ValueError(
                "an experiment has 'peaks' or 'sequences'"
                + ("; the key 'peaks' is missing" if self.peaks is None else ", not both")
            )
        if self.sequences is not None and self.width is not None:
            raise ValueError("'width' goes with 'peaks'; sequences have windows.size bases")
        return self


class GenomeEntry(Section, title="Genome"):
    """A related genome that peaks are lifted to."""

    name: Name = Field(description="Name of the assembly; names its group in every store.")
    sequence: Path = Field(description="FASTA or 2bit, plain or packed.")
    chain: Path = Field(description="UCSC chain file from the reference to this genome.")
    distance: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Substitutions per site from the reference, if known."
    )
    aliases: dict[str, str] = Field(
        default_factory=dict,
        description="Contig names of the chain that differ from the sequence, alias: name.",
    )


class Windows(Section):
    """How genomes are cut into rows."""

    size: Annotated[int, Field(gt=0)] = Field(default=200, description="Width of a bin in bases.")
    context: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="Bases stored per row, centred on the bin (default: the bin itself).",
    )
    min_overlap: Fraction = Field(
        default=0.5,
        description="A bin is positive when MORE than this fraction of it is covered by peaks.",
    )
    mode: Literal["rebin", "lift-bins"] = Field(
        default="rebin",
        description="rebin: tile the target against the lifted peaks; lift-bins: lift every "
        "positive bin and centre a window on the result.",
    )
    exclude: list[str] = Field(
        default=["*_*", "chrM", "chrMT", "MT", "chrY", "Y"],
        description="Contigs of the reference to leave out (shell patterns).",
    )
    exclude_target: list[str] = Field(
        default_factory=list, description="Contigs of target genomes to leave out (shell patterns)."
    )
    n_policy: Literal["drop", "keep"] = Field(
        default="drop",
        description="drop: leave out rows with any N in the stored sequence; keep: store N as four "
        "zeros.",
    )
    partial_in_test: bool = Field(
        default=True,
        description="Keep bins that peaks cover too little to be positive as negatives of the "
        "validation and test sets (as training negatives: negatives.half_covered).",
    )

    @property
    def stored(self) -> int:
        """Bases stored per row."""
        return self.context or self.size

    @property
    def padding(self) -> int:
        """Bases stored on each side of the bin."""
        return (self.stored - self.size) // 2

    @model_validator(mode="after")
    def _context_holds_bin(self) -> Windows:
        if self.context is not None and (
            self.context < self.size or (self.context - self.size) % 2
        ):
            raise ValueError(
                f"context ({self.context}) must be size ({self.size}) plus an even number of bases"
            )
        return self


class Liftover(Section):
    """How intervals are lifted."""

    mode: Literal["blocks", "ucsc", "ucsc-multiple"] = Field(
        default="ucsc-multiple",
        description="ucsc-multiple: every locus that the UCSC tool finds with -multiple, merged; "
        "one must be left (as in the paper). blocks: the same of every aligned block. ucsc: the "
        "one region that the tool finds without -multiple.",
    )
    gap: Annotated[int, Field(ge=1)] = Field(
        default=20,
        description="Loci, or aligned blocks, less than this many bases apart are merged.",
    )
    min_aligned: Fraction = Field(
        default=0.0,
        description="blocks: smallest fraction of the interval that must be aligned.",
    )
    min_match: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.1,
        description="ucsc modes: smallest fraction of the interval that a chain must cover "
        "(-minMatch).",
    )
    compat: Literal["v491", "v492"] = Field(
        default="v492", description="The UCSC release that ucsc-multiple reproduces."
    )


class Split(Section):
    """Which source intervals are for training, validation and test."""

    test: list[str] = Field(
        description="Contigs of the reference held out for the test; one at least."
    )
    validation: list[str] = Field(
        default_factory=list, description="Contigs for validation; empty: a fraction of the loci."
    )
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="Used when no validation contig is named."
    )
    seed: int = Field(default=0, description="Seed for drawing the validation fraction.")

    @model_validator(mode="after")
    def _disjoint(self) -> Split:
        both = sorted(set(self.test) & set(self.validation))
        if both:
            raise ValueError(f"contigs {', '.join(both)} are in both test and validation")
        return self


class Negatives(Section):
    """Rows with label 0."""

    pool: Annotated[int, Field(gt=0)] = Field(
        default=2_000_000, description="Largest number of training negatives kept in the store."
    )
    ratio: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="Negatives per positive drawn in training."
    )
    source: Literal["reference", "lifted", "both"] = Field(
        default="reference",
        description="Negatives of pre-training: from the reference (as in the paper), lifted to "
        "the target genomes (other loci in each, six times as many as an epoch needs), or half and "
        "half; see docs/trust-shortcut.md.",
    )
    half_covered: Literal["leave-out", "negative"] = Field(
        default="leave-out",
        description="Training bins that peaks cover too little to be positive: leave-out, neither "
        "positive nor negative; negative, like any other bin that is not positive (as in the "
        "paper).",
    )
    redraw: bool = Field(
        default=False, description="Draw new negatives every epoch instead of once per fit."
    )
    seed: int = Field(default=0, description="Seed for drawing negatives in training.")


class StoreSection(Section, title="Store"):
    """Where and how rows are stored."""

    path: Path = Field(default=Path("store"), description="Folder of <experiment>.zarr.")
    joint: bool = Field(
        default=False, description="One joint.zarr with a label column per experiment."
    )
    codes: bool = Field(
        default=True,
        description="Also store base codes: a quarter of the memory traffic when they are read.",
    )
    seed: int = Field(
        default=0, description="Seed of the row permutation and of the negative pool."
    )


class Project(Section):
    """The project file."""

    name: Name = Field(description="Name of the project, for reports and stores.")
    reference: Reference = Field(description="Not needed where experiments are sequences.")
    experiments: list[Experiment] = Field(min_length=1)
    genomes: list[GenomeEntry] = Field(
        default_factory=list,
        description="Or `registry: FILE`: a file with such a list, which projects can share and "
        "`crosslabel store add` keeps up to date.",
    )
    sources: Path | None = Field(
        default=None, description="Table of public files for `crosslabel fetch`."
    )
    windows: Windows = Field(default_factory=Windows)
    liftover: Liftover = Field(default_factory=Liftover)
    split: Split = Field(
        description="Where experiments are sequences, only with `splits: {by: chromosomes}`."
    )
    negatives: Negatives = Field(default_factory=Negatives)
    store: StoreSection = Field(default_factory=StoreSection)
    training: Training = Field(default_factory=Training)

    _file: Path | None = PrivateAttr(default=None)
    _genomes_file: Path | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path | None:
        """The YAML file this was read from."""
        return self._file

    @property
    def genomes_file(self) -> Path | None:
        """The file that lists the genomes: the registry, or the project file itself."""
        return self._genomes_file

    @property
    def of_sequences(self) -> bool:
        """Whether its experiments are tables of sequences, not peaks in a genome."""
        return self.experiments[0].sequences is not None

    @model_validator(mode="before")
    @classmethod
    def _sequences_need_no_genome(cls, value: Any) -> Any:
        """Fill in what a project of sequences may leave out."""
        if tables := _tables_of(value):
            genome = {"name": "sequences", "sequence": tables[0]}
            value = {"reference": genome, "split": {"test": []}, **value}
            training = value.get("training") or {}
            if isinstance(training, dict):
                value["training"] = {"regimes": ["sl"], **training}
        return value

    def _check_sequences(self) -> None:
        """Refuse what sequences cannot have."""
        if any((e.sequences is not None) != self.of_sequences for e in self.experiments):
            raise ValueError("experiments: all have 'peaks', or all have 'sequences'")
        by_contig = [
            e
            for e in self.experiments
            if e.sequences is None or e.sequences.splits.by == "chromosomes"
        ]
        if by_contig and not self.split.test:
            raise ValueError("split.test: names no contig; one at least is held out for the test")
        if not self.of_sequences:
            return
        if reason := self.refused_regimes(self.training.regimes):
            raise ValueError(f"training.regimes: {reason}")
        if self.training.sweeps.iterations or self.training.sweeps.noise_sd:
            raise ValueError(
                "training.sweeps: iterations and noise_sd are of ssl-ns, which needs homologues; "
                "sequences have none"
            )
        if self.genomes:
            raise ValueError(
                "genomes: sequences are lifted to no other genome; remove them, or give the "
                "experiments as peaks"
            )
        for experiment in self.experiments:
            table = experiment.sequences
            if table is not None and "pad" in table.fit and self.windows.n_policy == "drop":
                raise ValueError(
                    f"experiments: {experiment.name!r} is padded with N (fit: {table.fit}), which "
                    "needs windows.n_policy keep"
                )
        first = self.experiments[0].sequences
        same = first.model_dump(exclude={"label"}) if first is not None else {}
        if self.store.joint and any(
            e.sequences is None or e.sequences.model_dump(exclude={"label"}) != same
            for e in self.experiments
        ):
            raise ValueError(
                "store.joint: in a joint store of sequences all experiments have the same "
                "'sequences' but for 'label'"
            )

    @model_validator(mode="after")
    def _consistent(self) -> Project:
        self._check_sequences()
        for what, names in (
            ("experiments", [e.name for e in self.experiments]),
            ("genomes", [g.name for g in self.genomes]),
        ):
            seen: set[str] = set()
            for name in names:
                # Names become folders; two that differ only in case collide on some disks.
                if name.lower() in seen:
                    raise ValueError(f"{what}: the name {name!r} is used twice")
                seen.add(name.lower())
        if self.reference.name in {g.name for g in self.genomes}:
            raise ValueError(f"genomes: {self.reference.name!r} is the reference itself")
        if "reference" in {g.name for g in self.genomes}:
            raise ValueError(
                "genomes: 'reference' means the labelled genome everywhere; choose another name"
            )
        known = {e.name for e in self.experiments}
        for name in self.training.experiments:
            if name not in known:
                raise ValueError(
                    f"training.experiments: {name!r} is not an experiment; "
                    f"there are {', '.join(sorted(known))}"
                )
        if self.training.outputs != "each" and not self.store.joint:
            raise ValueError(
                f"training.outputs: {self.training.outputs!r} needs one store of all experiments; "
                "set store.joint to true"
            )
        if self.store.joint and JOINT in {name.lower() for name in known}:
            raise ValueError(
                f"experiments: in a joint store {JOINT!r} names the run of all outputs; "
                "rename the experiment"
            )
        far = [g.name for g in self.genomes if g.distance is None]
        if self.training.sampling.genomes == "distance" and far:
            raise ValueError(
                f"training.sampling.genomes: 'distance' needs the distance of every genome; "
                f"missing: {', '.join(far)}"
            )
        if not self.genomes and not self.of_sequences:
            homologous = [r for r in self.training.regimes if r in HOMOLOGOUS]
            if homologous:
                raise ValueError(
                    f"training.regimes: {', '.join(homologous)} need at least one genome "
                    "under 'genomes'"
                )
        return self

    def refused_regimes(self, regimes: Sequence[str]) -> str:
        """Return why regimes cannot be trained on sequences; empty: they can."""
        if not self.of_sequences:
            return ""
        refused = HOMOLOGOUS - WITHOUT_HOMOLOGUES
        if homologous := [name for name in regimes if name in refused]:
            return (
                f"{', '.join(homologous)} need homologues, which sequences do not have; choose "
                f"among {', '.join(name for name in REGIMES if name not in refused)}"
            )
        if "two-stage" in regimes and self.training.two_stage_steps == "ssl":
            return (
                "two-stage counts homologues, which sequences do not have, unless "
                "training.two_stage_steps is own"
            )
        return ""

    def experiment(self, name: str) -> Experiment:
        """Return one experiment by name, or raise a :class:`ConfigError` that lists them."""
        for experiment in self.experiments:
            if experiment.name == name:
                return experiment
        raise ConfigError(
            f"{self._file or 'project'}: no experiment {name!r}; there are "
            + ", ".join(e.name for e in self.experiments)
        )

    def trained_experiments(self) -> list[str]:
        """Return the names of the experiments the grid trains."""
        return list(self.training.experiments) or [e.name for e in self.experiments]

    def cells(self) -> list[str]:
        """Return the names the grid trains under: experiments, and the run of all outputs."""
        each, joint = self.trained_experiments(), [JOINT]
        return {"each": each, "joint": joint, "both": [*each, *joint]}[self.training.outputs]

    def is_joint(self, cell: str) -> bool:
        """Return whether a name of the grid is that of the run with an output per experiment."""
        return self.store.joint and cell == JOINT

    def outputs_of(self, cell: str) -> list[str]:
        """Return the experiments that are the outputs of a run.

        Raises
        ------
        ConfigError
            `cell` is neither an experiment nor, in a joint project, the run of all outputs.
        """
        if self.is_joint(cell):
            return self.trained_experiments()
        return [self.experiment(cell).name]

    def store_path(self, experiment: str) -> Path:
        """Return the path of the store that holds an experiment, or all outputs of a run."""
        self.outputs_of(experiment)
        return self.store.path / f"{JOINT if self.store.joint else experiment}.zarr"


def _tables_of(value: Any) -> list[Any]:
    """Return the files of an unchecked project whose experiments are all sequences; else []."""
    experiments = value.get("experiments") if isinstance(value, dict) else None
    if not isinstance(experiments, list):
        return []
    sections = [e.get("sequences") if isinstance(e, dict) else None for e in experiments]
    files = [s.get("file") for s in sections if isinstance(s, dict)]
    return files if len(files) == len(experiments) and all(files) else []


def _absolute(project: Project, path: Path) -> Project:
    """Resolve every relative path of a project against the folder of its file."""
    folder = path.resolve().parent

    def walk(value: Any) -> Any:
        if isinstance(value, Path):
            try:
                value = expanded(value)
            except ConfigError as exc:
                raise ConfigError(f"{path}: {exc}") from None
            return value if value.is_absolute() else real_path(folder / value)
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        return float(value) if isinstance(value, float) else value  # not as it was written

    return Project.model_validate(walk(project.model_dump()))


def _section_of(
    location: Iterable[str | int], top: type[BaseModel] | None
) -> type[BaseModel] | None:
    """Return the section class that holds the key at `location` in the section `top`."""
    section = top
    is_name = False  # of a section in a mapping of sections
    for part in location:
        if isinstance(part, int) or is_name:
            is_name = False
            continue
        if section is None or part not in section.model_fields:
            return None
        annotation = section.model_fields[part].annotation
        section, is_name = None, get_origin(annotation) is dict
        for candidate in (annotation, *get_args(annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                section = candidate
    return section


def _dotted(location: Iterable[str | int]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text or "(top level)"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def explain(error: ValidationError, where: str, section: type[BaseModel] = Project) -> str:
    """Return pydantic's report about a section as one line: key, file, what is allowed."""
    first = error.errors(include_url=False)[0]
    location = first["loc"]
    key = _dotted(location)
    kind = first["type"]
    rest = error.error_count() - 1
    more = f" (and {rest} more)" if rest else ""
    if kind == "extra_forbidden":
        holder = _section_of(location[:-1], section)
        known = list(holder.model_fields) if holder else []
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        if near:
            return f"{where}: unknown key {key!r}; did you mean {near[0]!r}?{more}"
        return f"{where}: unknown key {key!r}; allowed here: {', '.join(known) or 'nothing'}{more}"
    if kind == "missing":
        return f"{where}: key {key!r} is missing{more}"
    message = first["msg"].removeprefix("Value error, ")
    if kind == "literal_error":
        expected = first.get("ctx", {}).get("expected", "")
        return f"{where}: key {key!r} is {_shown(first['input'])}; allowed: {expected}{more}"
    if kind == "value_error":
        return (
            f"{where}: {message}{more}"
            if key == "(top level)"
            else f"{where}: key {key!r}: {message}{more}"
        )
    found = _shown(first["input"])
    return f"{where}: key {key!r} is {found}: {message[0].lower()}{message[1:]}{more}"


def checked(section: type[S], value: Any, where: str) -> S:
    """Return a section made from plain values.

    Raises
    ------
    ConfigError
        A key is unknown, missing or wrong; the message begins with `where`.
    """
    try:
        return section.model_validate(value)
    except ValidationError as exc:
        raise ConfigError(explain(exc, where, section)) from exc


def checked_in(
    path: Path, text: str, section: type[S], value: Any, *, within: tuple[str | int, ...] = ()
) -> S:
    """Return a section that stands in a file, at `within`; errors name the line.

    Parameters
    ----------
    path, text
        The file and its text.
    section, value
        What is made, and of which plain values.
    within
        Keys and positions that lead to the value in the file.

    Raises
    ------
    ConfigError
        As of :func:`checked`.
    """
    try:
        return section.model_validate(value)
    except ValidationError as exc:
        line = line_of(path, text, (*within, *exc.errors(include_url=False)[0]["loc"]))
        where = f"{path}, line {line}" if line else str(path)
        raise ConfigError(explain(exc, where, section)) from exc


def load_project(path: Path | str) -> Project:
    """Read and check a project file.

    Parameters
    ----------
    path
        The YAML file, or a folder that holds ``project.yaml``.

    Returns
    -------
    Project
        With every path absolute.

    Raises
    ------
    MissingInputError
        No such file.
    ConfigError
        The file is not YAML, or a key is unknown, missing, wrong or contradicts another.
    """
    path = expanded(path)
    if path.is_dir():
        path = path / "project.yaml"
    missing = "no such project file; `crosslabel init DIR` writes a commented one"
    text = read_text(path, missing=missing)
    raw = parse(path, text)
    if not isinstance(raw, dict):
        found = "nothing" if raw is None else type(raw).__name__
        raise ConfigError(f"{path}: expected a mapping of keys, found {found}")
    genomes_file = path.resolve()
    if isinstance(raw.get("genomes"), dict):
        genomes_file, raw["genomes"] = _registered(raw["genomes"], path)
    project = _absolute(checked_in(path, text, Project, raw), path)
    project._file, project._genomes_file = path.resolve(), genomes_file
    return project


def _registered(value: dict[Any, Any], path: Path) -> tuple[Path, list[Any]]:
    """Read ``genomes: {registry: FILE}``; return the file and its checked entries."""
    if list(value) != ["registry"] or not isinstance(value["registry"], str):
        raise ConfigError(f"{path}: key 'genomes' is a list of genomes, or registry: FILE")
    file = (path.resolve().parent / expanded(value["registry"])).resolve()
    entries = read_registry(file)
    text = read_text(file)
    for number, entry in enumerate(entries):
        checked_in(file, text, GenomeEntry, entry, within=(number,))
    return file, entries


def dump_project(project: Project) -> str:
    """Return the resolved project as YAML text, defaults included."""
    return dump(project.model_dump(mode="json"))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the project file (draft 2020-12)."""
    schema = Project.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "crosslabel project file"
    # A list, or {registry: FILE}, which load_project replaces with the list in that file.
    schema["properties"]["genomes"] |= {
        "type": ["array", "object"],
        "properties": {"registry": {"type": "string", "format": "path"}},
        "additionalProperties": False,
    }
    return schema
