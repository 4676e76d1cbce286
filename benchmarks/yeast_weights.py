"""What weights of homologues and calibrated teachers add on yeast, without the test contigs.

The split is that of ``benchmarks/yeast_ablation.py``: chrIV and chrXV are excluded. Genomes: the
four *S. paradoxus* of the benchmark, all at one distance, so that homologues differ only by
identity; and these with two strains of *S. cerevisiae* itself, for weights by distance. Finished
cells are not repeated.

    python benchmarks/yeast_weights.py --data $CROSSLABEL_MIRROR --out /tmp/weights

Writes ``<out>/weights.csv`` (one row per run) after every cell and prints a table of means over
seeds, one column per factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from yeast_ablation import DEVELOPMENT, EXCLUDED
from yeast_project import (
    FACTORS,
    built,
    by_variant,
    command_line,
    parsed,
    project_text,
    run_cells,
    trained,
)

from ssldata.project.project_file import Project
from ssldata.project.training_section import Weighting

#: Strains of the labelled species, and substitutions per site from it: the Jukes-Cantor distance
#: of the mean identity of the homologues of Mcm1.
STRAINS = {"SK1": 0.006, "UWOPS034614": 0.008}
ITERATIONS = 2

#: Name → genomes, regime, options that differ from the defaults.
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ssl": ("four", "ssl", {}),
    "ssl, identity^4": ("four", "ssl", {"identity_power": 4.0}),
    "ssl, identity^16": ("four", "ssl", {"identity_power": 16.0}),
    "ssl-plus": ("four", "ssl-plus", {}),
    "ssl-plus, identity^4": ("four", "ssl-plus", {"identity_power": 4.0}),
    "ssl-plus, identity^16": ("four", "ssl-plus", {"identity_power": 16.0}),
    "ssl-plus, six genomes": ("six", "ssl-plus", {}),
    "ssl-plus, six, distance / 0.2": ("six", "ssl-plus", {"distance_scale": 0.2}),
    "ssl-plus, six, distance / 0.05": ("six", "ssl-plus", {"distance_scale": 0.05}),
    "ssl-ns": ("four", "ssl-ns", {}),
    "ssl-ns, temperature": ("four", "ssl-ns", {"calibration": "temperature"}),
    "ssl-ns, platt": ("four", "ssl-ns", {"calibration": "platt"}),
}


def configured(project: Project, number: int, regime: str, options: dict[str, Any]) -> Project:
    """Return the project of one variant."""
    training = project.training
    changes: dict[str, Any] = {"runs": training.runs / f"variant-{number:02d}"}
    if regime == "ssl-ns":
        changes["noisy_student"] = training.noisy_student.model_copy(update=options)
    elif regime == "ssl-plus":
        plus = {"weighting": Weighting(**options)}
        changes["ssl_plus"] = training.ssl_plus.model_copy(update=plus)
    else:
        changes["weighting"] = Weighting(**options)
    return project.model_copy(update={"training": training.model_copy(update=changes)})


def project_of(data: Path, out: Path, model: str, factors: list[str], *, strains: bool) -> Project:
    """Return the project on four or six genomes, its stores built."""
    text = project_text(data, [model], 1, ITERATIONS, split=DEVELOPMENT, exclude=EXCLUDED)
    described = yaml.safe_load(text)
    for name, distance in STRAINS.items() if strains else ():
        described["genomes"].append(
            {
                "name": name,
                "sequence": str(data.resolve() / f"yeast/genomes/{name}.genome.fa.gz"),
                "chain": str(data.resolve() / f"yeast/chains/sacCer3To{name}.over.chain.gz"),
                "distance": distance,
            }
        )
    return built(out, yaml.safe_dump(described, sort_keys=False), factors)


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], model="cnn-7k", seeds=1)
    parser.add_argument("--factors", nargs="+", choices=FACTORS, default=["Mcm1", "Rap1"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    args = parsed(parser)
    projects = {
        name: project_of(
            args.data, args.out / name, args.model, args.factors, strains=name == "six"
        )
        for name in ("four", "six")
    }

    def row(project: Project, name: str, **cell: Any) -> dict[str, Any]:
        numbers, record = trained(project, **cell)
        del cell["regime"]
        return {
            "variant": name,
            **cell,
            "aupr": numbers["aupr"],
            "val_aupr": record["phases"][-1]["val_aupr"],
            "steps": record["steps"],
            "calibration": record.get("calibration", ""),
            "cpu_s": record["cpu_s"],
        }

    def cells() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
        for seed in range(args.seeds):
            for name in args.variants:
                number, (genomes, regime, options) = list(VARIANTS).index(name), VARIANTS[name]
                varied = configured(projects[genomes], number, regime, options)
                for factor in args.factors:
                    cell = {"experiment": factor, "model": args.model, "regime": regime}
                    yield (
                        f"{name} {factor} seed {seed}",
                        partial(row, varied, name, **cell, seed=seed),
                    )

    print(by_variant(run_cells(args.out / "weights.csv", cells())))


if __name__ == "__main__":
    main()
