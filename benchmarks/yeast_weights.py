"""What weights of homologues and calibrated teachers bring on yeast, without the test contigs.

The split is that of ``benchmarks/yeast_ablation.py``: chrIV and chrXV are excluded. Genomes: the
four *S. paradoxus* of the benchmark, all at one distance, so that only identity tells homologues
apart; and these with two strains of *S. cerevisiae* itself, for weights by distance. Finished
cells are not repeated.

    python benchmarks/yeast_weights.py --data $CROSSLABEL_MIRROR --out /tmp/weights

Writes ``<out>/weights.csv`` (one row per run) after every cell and prints a table of means over
seeds, one column per factor.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
import yaml
from yeast_ablation import DEVELOPMENT, EXCLUDED
from yeast_project import FACTORS, built, command_line, parsed, project_text

from ssldata.base.files import write_text_atomic
from ssldata.project.project_file import Project
from ssldata.project.training_section import Weighting
from sslmodels.evaluation.evaluate import evaluate_run
from sslmodels.runs.regimes import train
from sslmodels.runs.run_folder import complete_record

#: Strains of the labelled species, and substitutions per site from it: the Jukes-Cantor distance
#: of the mean identity of the homologues of Mcm1.
STRAINS = {"SK1": 0.006, "UWOPS034614": 0.008}
ITERATIONS = 2

#: Name → genomes, regime, what differs from its defaults.
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
    rows = []
    for seed in range(args.seeds):
        for name in args.variants:
            number, (genomes, regime, options) = list(VARIANTS).index(name), VARIANTS[name]
            for factor in args.factors:
                started = time.perf_counter()
                folder = train(
                    configured(projects[genomes], number, regime, options),
                    experiment=factor,
                    model=args.model,
                    regime=regime,
                    seed=seed,
                )
                aupr, record = evaluate_run(folder)["aupr"], complete_record(folder)
                seconds = time.perf_counter() - started
                print(
                    f"{name} {factor} seed {seed}: {aupr:.3f} in {seconds:.0f} s", file=sys.stderr
                )
                rows.append(
                    {
                        "variant": name,
                        "experiment": factor,
                        "model": args.model,
                        "seed": seed,
                        "aupr": aupr,
                        "val_aupr": record["phases"][-1]["val_aupr"],
                        "steps": record["steps"],
                        "calibration": record.get("calibration", ""),
                        "cpu_s": record["cpu_s"],
                    }
                )
                write_text_atomic(args.out / "weights.csv", pd.DataFrame(rows).to_csv(index=False))
    table = pd.DataFrame(rows).pivot_table(
        index="variant", columns="experiment", values="aupr", sort=False
    )
    table["mean"] = table.mean(axis=1)
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
