"""The section ``training`` of the project file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from ssldata.project.section import Fraction, Name, Section
from ssldata.project.sweeps_section import Sweeps

Regime = Literal[
    "sl",
    "ssl",
    "ssl-ns",
    "two-stage",
    "homolog-sampling",
    "pretrain-only",
    "ssl-shuffled",
    "ssl-plus",
    "sl-plus",
    "ssl-committee",
    "sl-committee",
]
REGIMES: tuple[str, ...] = get_args(Regime)

#: What layers compute in; weights are float32.
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


def _one_message(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Replace pydantic's message for each member of the union by one sentence; 1 is ``one``."""
    try:
        return "one" if (found := validate(value)) == 1 else found
    except ValidationError:
        raise ValueError(f"{value!r}; expected one, all or a number of 1 or more") from None


def _no_doubtful_words(value: Any) -> Any:
    """Refuse words in options of models that other readers of YAML take for true or false."""
    if isinstance(value, str) and value.lower() in {"yes", "no", "on", "off", "true", "false"}:
        raise ValueError(f"{value!r} is text, not a truth value; write true or false")
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            _no_doubtful_words(item)
    return value


#: Models without a network that reports compare with; see docs/baselines.md.
BaselineKind = Literal["pwm", "motif", "kmer", "gkm"]


def _baselines(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Replace pydantic's message for each member of the union by one sentence."""
    try:
        found = validate(value)
    except ValidationError:
        raise ValueError(
            f"{value!r}; expected true, false or a list of {', '.join(get_args(BaselineKind))}"
        ) from None
    if isinstance(found, list) and len(set(found)) < len(found):
        raise ValueError("the same name is listed twice")
    return found


#: Devices that share each batch.
Devices = Annotated[
    Literal["one", "all"] | Annotated[int, Field(ge=1)], WrapValidator(_one_message)
]

#: Quantity on the validation rows that decides when to stop.
Monitor = Literal["val_loss", "val_aupr"]

BatchSize = Annotated[int, Field(gt=0)]
Epochs = Annotated[int, Field(gt=0)]
PlateauPatience = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]

#: What records runs beside their folders; each is an extra of the package.
Tracker = Literal["mlflow", "wandb"]

#: Regimes that need homologues, if only their number.
HOMOLOGOUS: frozenset[str] = frozenset(REGIMES) - {"sl", "two-stage"}
#: Of these, those that only count homologues, and without any make a pass over the labelled rows.
WITHOUT_HOMOLOGUES: frozenset[str] = frozenset({"sl-plus", "sl-committee"})


class Weighting(Section):
    """Weights of homologues in pre-training, without a teacher; see docs/training.md."""

    distance_scale: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="A homologue weighs exp(-distance / scale) of its genome (needs the genomes' "
        "`distance`); null: the same weight for all genomes.",
    )
    identity_power: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="A homologue weighs its share of identical bases to this power; 0: all the "
        "same.",
    )
    normalise: bool = Field(
        default=True,
        description="Divide by the mean, so that homologues together count as without weights and "
        "the balance of the classes stays.",
    )


class NoisyStudent(Section):
    """Options of the ssl-ns regime."""

    iterations: Annotated[int, Field(ge=1)] = Field(
        default=5, description="Students trained one after the other; each teaches the next."
    )
    noise_sd: Annotated[float, Field(ge=0)] = Field(
        default=0.1, description="Standard deviation of the noise added to the weights."
    )
    clip: bool = Field(default=True, description="Clip noisy weights to [0, 1].")
    redraw: bool = Field(default=True, description="Redraw the noise every epoch.")
    noise_on_negatives: bool = Field(
        default=False, description="Add the noise to the weights of negatives too."
    )
    student: Literal["fresh", "teacher"] = Field(
        default="fresh", description="Start each student from new weights or from its teacher."
    )
    calibration: Literal["none", "temperature", "platt"] = Field(
        default="none",
        description="Calibrate the teacher on the validation rows before its probabilities become "
        "weights: one parameter (temperature) or two (platt).",
    )


class HomologSampling(Section):
    """Options of the homolog-sampling regime (Duncan, Mitchell, Moses 2024)."""

    rate: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.7,
        description="How often a sequence is replaced by one drawn from itself and its "
        "homologues; the published optimum is between 0.5 and 0.9.",
    )
    steps: Literal["own", "ssl"] = Field(
        default="own",
        description="Steps per epoch, after which validation is scored: a pass over the loci "
        "(own), or as many as in ssl's pre-training (ssl). With few peaks, own soon exhausts "
        "patience.",
    )


class Plus(Section):
    """Options of ssl-plus, for few peaks, and of sl-plus; each part can be switched off."""

    ratio: Annotated[float, Field(gt=0)] = Field(
        default=5.0, description="Negatives per positive, in place of negatives.ratio."
    )
    redraw: bool = Field(default=True, description="Draw new negatives every epoch.")
    labelled: bool = Field(
        default=True, description="Pre-train on the labelled positives as well as the homologues."
    )
    one_per_locus: bool = Field(
        default=False,
        description="An epoch has one sequence per locus, drawn among its homologues.",
    )
    reverse_complement: bool = Field(
        default=True, description="Train on a random strand; average both in scoring."
    )
    finetune: bool = Field(default=True, description="Fine-tune on the labelled rows.")
    weighting: Weighting = Field(
        default_factory=Weighting, description="In place of training.weighting."
    )
    validation_negatives: Annotated[float, Field(gt=0)] = Field(
        default=50.0, description="In place of training.validation_negatives."
    )


class Augment(Section):
    """Random changes of training sequences, in every regime (EvoAug, Lee et al. 2023)."""

    reverse_complement: Fraction = Field(
        default=0.0, description="Share of sequences read from the other strand, in all phases."
    )
    mutation: Fraction = Field(default=0.0, description="Share of bases replaced.")
    insertion: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Longest random insertion in bases; 0: none."
    )
    deletion: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Longest deletion in bases; 0: none."
    )
    inversion: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Longest inverted segment in bases; 0: none."
    )
    translocation: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Longest segment moved to the other end, in bases; 0: none."
    )
    shift: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Furthest random shift to either side, in bases; the store must hold them "
        "beside what the model reads (windows.context).",
    )
    noise: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="Standard deviation of Gaussian noise added to the one-hot input.",
    )
    finetuning: bool = Field(
        default=False,
        description="Also in fine-tuning, which otherwise sees only the originals (except for "
        "reverse_complement).",
    )


class Lora(Section):
    """Low-rank adapters of DNABERT-2."""

    rank: Annotated[int, Field(ge=1)] = Field(default=8, description="Rank of the adapters.")
    alpha: Annotated[float, Field(gt=0)] = Field(
        default=32.0, description="Adapters are scaled by alpha / rank."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.05, description="On the input of the adapters."
    )
    targets: list[Literal["Wqkv", "attention.output.dense", "gated_layers", "wo"]] = Field(
        default=["Wqkv"], min_length=1, description="Layers that get adapters."
    )


class Dnabert2(Section):
    """Options of the model dnabert2; see docs/dnabert2.md."""

    folder: Path | None = Field(
        default=None, description="Folder with config.json, tokenizer.json and the weights."
    )
    url: str | None = Field(default=None, description="The same, as an http(s) address.")
    pretrained: bool = Field(default=True, description="False: start at random.")
    pooling: Literal["cls", "mean", "max"] = Field(
        default="cls", description="Output of the encoder that the head reads."
    )
    lora: Lora | None = Field(default_factory=Lora, description="null: train everything.")
    train_pooler: bool = Field(default=True, description="Train the pooler too (with cls).")
    tokens: Annotated[int, Field(ge=3)] | None = Field(
        default=None, description="Tokens per row; default: enough for real DNA."
    )
    sha256: dict[str, str] = Field(
        default_factory=dict, description="File name: expected checksum."
    )


class Sei(Section):
    """The weights that the model fsei begins with; see docs/sei.md."""

    folder: Path | None = Field(
        default=None, description="Folder with sei.pth or sei_trunk.pth, or one of these files."
    )
    pretrained: bool = Field(default=True, description="False: start at random.")
    sha256: dict[str, str] = Field(
        default_factory=dict, description="File name: expected checksum."
    )


class Sampling(Section):
    """How often rows are used in training; see docs/reading.md."""

    genomes: Literal["rows", "genomes", "distance"] = Field(
        default="rows",
        description="Rate of each genome in phases on homologues: all rows equally often; all "
        "genomes equally often; or rows less often the more distant their genome is (needs the "
        "genomes' `distance`). homolog-sampling has a rate of its own.",
    )
    halving: Annotated[float, Field(gt=0)] = Field(
        default=0.5,
        description="With `genomes: distance`: substitutions per site at which a row is used half "
        "as often as one at distance 0.",
    )
    one_per_locus: bool = Field(
        default=False,
        description="In phases on homologues an epoch has one row per locus, redrawn every epoch "
        "among its homologues; validation is scored as often as without.",
    )
    balance: Literal["batch", "none"] = Field(
        default="batch",
        description="batch: every batch has its share of positives (1 / (1 + ratio)) to within "
        "one row; none: classes are mixed at random. In every phase.",
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Sampling:
        if self.genomes == "genomes" and self.one_per_locus:
            raise ValueError(
                "genomes: genomes does not go with one_per_locus, which draws one row among the "
                "homologues of a locus; use rows or distance"
            )
        return self


class PerModel(Section):
    """How one model is fitted, whatever ``training`` says for all; null: as there.

    What neither sets is the model's own default (`crosslabel model list`), else the general one.
    """

    batch_size: BatchSize | None = Field(default=None, description="Rows per step.")
    epochs: Epochs | None = Field(default=None, description="At most, per phase.")
    patience: Epochs | None = Field(
        default=None, description="Epochs without a better validation loss before a phase stops."
    )
    plateau_patience: PlateauPatience | None = Field(
        default=None, description="Epochs without improvement before the rate is halved; 0: never."
    )
    monitor: Monitor | None = Field(default=None, description="val_loss or val_aupr.")
    learning_rate: Rate | None = Field(default=None, description="In sl and in pre-training.")
    finetune_learning_rate: Rate | None = Field(default=None, description="In fine-tuning.")


class Training(Section):
    """The grid ``crosslabel run`` trains, and how every fit is done."""

    experiments: list[Name] = Field(default_factory=list, description="Empty: all.")
    outputs: Literal["each", "joint", "both"] = Field(
        default="each",
        description="each: a run per experiment, of one output; joint: one run named joint, with "
        "an output per experiment (needs store.joint); both: all of these.",
    )
    models: list[str] = Field(
        default=["cnn-27k"],
        min_length=1,
        description="Names of `crosslabel model list`, or my_package.module:function.",
    )
    regimes: list[Regime] = Field(
        default=["sl", "ssl", "ssl-ns"],
        min_length=1,
        description="sl: labelled rows only; ssl: pre-trained on homologues; ssl-ns: noisy "
        "student, at five times the cost and on yeast hardly better, or worse with few peaks; "
        "two-stage: control that pre-trains on labelled rows; homolog-sampling: "
        "sequences replaced by homologues at random; pretrain-only: ssl without fine-tuning; "
        "ssl-shuffled: control, ssl whose labels are shuffled in pre-training; "
        "ssl-plus: recipe for few peaks; sl-plus: control, ssl-plus on labelled rows alone; "
        "ssl-committee: network of ssl-plus, motif, gapped k-mers and conservation, averaged over "
        "homologues; sl-committee: its control without homologues.",
    )
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(
        default=[0], min_length=1, description="One run each: initial weights, draws and order."
    )
    runs: Path = Field(default=Path("runs"), description="Folder of the run folders.")
    batch_size: BatchSize | None = Field(
        default=None, description="Rows per step. null: the model's own default, else 256."
    )
    epochs: Epochs | None = Field(
        default=None,
        description="At most, per phase. null: the model's own default, else 100.",
    )
    patience: Epochs | None = Field(
        default=None,
        description="Epochs without a better validation loss before a phase stops. null: the "
        "model's own default, else 8.",
    )
    plateau_patience: PlateauPatience | None = Field(
        default=None,
        description="Halve the learning rate after this many epochs without improvement; 0: "
        "never. null: the model's own default, else 0.",
    )
    monitor: Monitor | None = Field(
        default=None,
        description="Quantity on the validation rows that decides when to stop. null: the model's "
        "own default, else val_loss.",
    )
    learning_rate: Rate | None = Field(
        default=None,
        description="Learning rate of Adam, in sl and in pre-training. null: the model's own "
        "default, else 0.001.",
    )
    finetune_learning_rate: Rate | None = Field(
        default=None,
        description="Learning rate of Adam, in fine-tuning. null: the model's own default, else "
        "0.0005.",
    )
    per_model: dict[str, PerModel] = Field(
        default_factory=dict,
        description="Name of a model: the settings above for it alone, for example dnabert2: "
        "{learning_rate: 1.0e-4, epochs: 10}.",
    )
    validation_negatives: Annotated[float, Field(gt=0)] = Field(
        default=5.0, description="Validation negatives per validation positive."
    )
    two_stage_steps: Literal["own", "ssl"] = Field(
        default="ssl",
        description="Steps per epoch of the control's first stage: those of sl, or those of "
        "ssl's pre-training, in passes over the rows of sl.",
    )
    both_strands: bool = Field(
        default=False,
        description="Models score both strands and average; ssl-plus and sl-plus always do, with "
        "reverse_complement of ssl_plus.",
    )
    nearest: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Use the homologues of this many genomes only, nearest first (by distance, "
        "else in the order of the list).",
    )
    labelled_peaks: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Train on this many loci with peaks only, drawn by the seed, and their "
        "homologues.",
    )
    model_options: Annotated[dict[str, dict[str, Any]], AfterValidator(_no_doubtful_words)] = Field(
        default_factory=dict,
        description="Name of a model: its options, for example deep-cnn-64: {dilations: [1, 2]}; "
        "`crosslabel model list` lists them.",
    )
    sampling: Sampling = Field(default_factory=Sampling)
    weights: Name | None = Field(
        default=None,
        description="Published weights of the homologues in pre-training (`crosslabel weights "
        "publish`); ssl-ns computes its own.",
    )
    weighting: Weighting = Field(default_factory=Weighting)
    precision: Precision = Field(
        default="float32",
        description="mixed_float16 or mixed_bfloat16: layers compute in half precision, for GPUs; "
        "weights, probabilities and the saved model stay float32.",
    )
    jit_compile: bool = Field(
        default=False,
        description="Compile training steps with XLA; without TensorFlow's deterministic kernels.",
    )
    devices: Devices = Field(
        default="one",
        description="GPUs that share each batch: one, all or a number (of CPUs where there is no "
        "GPU).",
    )
    trackers: list[Tracker] = Field(
        default_factory=list,
        description="Also record runs with mlflow or wandb; each needs its extra.",
    )
    augment: Augment = Field(default_factory=Augment)
    noisy_student: NoisyStudent = Field(default_factory=NoisyStudent)
    homolog_sampling: HomologSampling = Field(default_factory=HomologSampling)
    ssl_plus: Plus = Field(default_factory=Plus)
    dnabert2: Dnabert2 = Field(default_factory=Dnabert2)
    sei: Sei = Field(default_factory=Sei)
    sweeps: Sweeps = Field(default_factory=Sweeps)
    baselines: Annotated[bool | list[BaselineKind], WrapValidator(_baselines)] = Field(
        default=True,
        description="Models without a network, for reports to compare with. true: all; or a list. "
        "pwm: scan with the motif of the experiment; motif: one found by EM; kmer: regression on "
        "6-mers; gkm: gapped k-mer SVM. All but pwm also with homologues, as motif+hom.",
    )
    published: Path | None = Field(
        default=None,
        description="CSV with columns experiment, model, regime, aupr and, if known, auroc that "
        "--report paper shows beside your own results.",
    )
    published_counts: Path | None = Field(
        default=None,
        description="CSV with columns experiment, positives, pseudo_labelled: shown beside your "
        "own counts, and used by `plan` while inputs are missing.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Training:
        for what in ("models", "regimes", "seeds", "trackers"):
            values = getattr(self, what)
            if len(set(values)) < len(values):
                raise ValueError(f"training.{what}: the same value is listed twice")
        for key, names in (("models", self.sweeps.models), ("per_model", self.sweeps.per_model)):
            for name in names:
                if name not in self.models:
                    raise ValueError(f"training.sweeps.{key}: {name!r} is not in training.models")
        if self.ssl_plus.one_per_locus and self.sampling.genomes == "genomes":
            raise ValueError(
                "training.sampling.genomes: 'genomes' does not go with ssl_plus.one_per_locus"
            )
        if self.jit_compile and self.devices != "one":
            raise ValueError(
                "training.jit_compile: TensorFlow does not compile steps that several devices "
                "share; use devices: one, or jit_compile: false"
            )
        return self
