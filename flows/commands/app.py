"""The commands of ``crosslabel``: options, one call into the libraries, one table.

Libraries are imported inside the commands, so ``crosslabel --help`` stays instant and
single-step commands never import Prefect.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.check_commands import leakage_command, quality_command, shortcut_command
from flows.commands import (
    features_command,
    flow_commands,
    model_commands,
    peaks_command,
    predict_command,
    reader_commands,
    shipped_commands,
    store_commands,
    transfer_command,
    variants_command,
    weights_commands,
)
from flows.options import completions
from flows.options.shared_options import (
    DaskScheduler,
    Memory,
    ProjectPath,
    Replace,
    SchedulerFile,
    VerifyCache,
    Workers,
    command,
)
from flows.output.console import BROKEN_PIPE, Console, StdoutClosedError, say

if TYPE_CHECKING:
    from ssldata.project.project_file import Project

#: The class of wrong options; typer does not export it under one name in all its versions.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="crosslabel",
    help="Learn regulatory DNA from many genomes: lift peaks over, store the homologous "
    "sequences, train on them.\n\nStart with `crosslabel init my-project`, edit "
    "my-project/project.yaml, then `crosslabel run my-project`. Every command continues where "
    "it stopped and does nothing when nothing has changed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(store_commands.app, name="store")
reader_commands.register(store_commands.app)
leakage_command.register(store_commands.app)
quality_command.register(store_commands.app)
shortcut_command.register(store_commands.app)
app.add_typer(model_commands.app, name="model")
features_command.register(model_commands.app)
app.add_typer(weights_commands.app, name="weights")
shipped_commands.register(app)
app.add_typer(flow_commands.app, name="flows")

Seed = Annotated[int, typer.Option(min=0, help="Seed.")]
PublishWeights = Annotated[
    bool,
    typer.Option(
        "--publish-weights",
        help="Store the last teacher weights of ssl-ns runs beside the rows they were trained on.",
    ),
]


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code; wrong options are reported in one line."""
    if "_CROSSLABEL_COMPLETE" in os.environ:  # the shell asks how a line may go on
        app(prog_name="crosslabel")
    commands = typer.main.get_command(app)
    try:
        # Not `main` of the library: it takes an EOFError for Ctrl-C, and EPIPE for a reason to end
        # without a word.
        with commands.make_context("crosslabel", arguments, obj=tuple(arguments)) as context:
            commands.invoke(context)
    except typer.Exit as exc:
        return exc.exit_code
    except (StdoutClosedError, SystemExit):  # the latter is Rich's, for the same
        return BROKEN_PIPE
    except UsageError as exc:
        wrong = getattr(exc, "ctx", None)
        name = wrong.command_path if wrong is not None else "crosslabel"
        message = exc.format_message()  # type: ignore[attr-defined]  # typer's and click's have it
        if not message:  # bare `crosslabel store`: the help has been printed
            return 2
        say(f"crosslabel: error: {message.rstrip('.')}; see `{name} --help`")
        return 2
    return 0


def _load(project: Path) -> Project:
    from ssldata.project.project_file import load_project

    return load_project(project)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        Console().write(f"crosslabel {version('crosslabel')}\n")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@command(app)
def init(
    console: Console,
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder of the new project.")
    ] = None,
    simulated: Annotated[
        bool,
        typer.Option("--simulated", help="Write a small simulated project, data included."),
    ] = False,
    example: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Copy an example; `--example list` shows which."),
    ] = None,
    sequences: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Write a project of this table of labelled sequences (CSV with the columns "
            "header, sequence, label).",
        ),
    ] = None,
    deployments: Annotated[
        bool,
        typer.Option("--deployments", help="Write prefect.yaml, for a Prefect server, instead."),
    ] = False,
    seed: Seed = 0,
) -> None:
    """Write a new project: a commented project.yaml, or a simulated one that runs at once.

    The file has every key with its default and its meaning; only the names and paths of your
    genomes, chains and peaks have to be filled in. Nothing is ever overwritten.

    With --simulated the folder gets genomes evolved along a tree, their exact chains, planted
    peaks and a project file: all that `crosslabel run` needs, without any download.

    With --sequences the project is of a table of sequences with labels, which needs no genome.

    With --example the folder gets a copy of an example that comes with crosslabel; with
    --deployments it gets prefect.yaml, to be deployed on a Prefect server.

    Example: `crosslabel init my-project`
    """
    from ssldata.base.errors import ConfigError, InputError
    from ssldata.project.project_template import write_template

    given = {
        "--simulated": simulated,
        "--example": example is not None,
        "--sequences": sequences is not None,
        "--deployments": deployments,
    }
    chosen = [option for option, wanted in given.items() if wanted]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)}: choose one; each writes a project of its kind")
    if example == "list":
        shipped_commands.list_examples(console)
        return
    if directory is None:
        raise ConfigError("DIR is missing: name the folder to write to; see `crosslabel init -h`")
    if example is not None or deployments:
        shipped_commands.copy(console, directory, example)
        return
    if sequences is not None:
        from ssldata.labelled_sequences.table_project import write_table_project

        path = write_table_project(directory, sequences)
        then = f"crosslabel plan {directory}"
    elif simulated:
        from ssldata.simulation.clade import simulate_clade

        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise InputError(
                f"{directory}: not an empty folder, and nothing is overwritten; name a new one"
            )
        simulate_clade(directory, seed=seed)
        path, then = directory / "project.yaml", f"crosslabel run {directory}"
    else:
        path, then = write_template(directory), f"edit it, crosslabel plan {directory}"
    console.result({"project": str(path.resolve())}, f"wrote {path}; next: {then}")


@command(app)
def fetch(
    console: Console,
    project: ProjectPath,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use the cache and a mirror folder, no network.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Overwrite files in place that differ from the table of sources."
        ),
    ] = False,
) -> None:
    """Fetch the public files listed in a project's table of sources.

    Files come from the cache, else from the folder or URL in CROSSLABEL_MIRROR, else from the
    public hosts; checksums are verified and an interrupted download continues. Exit code 3 means
    that a file could not be reached.

    Example: `crosslabel fetch examples/yeast`
    """
    from flows.commands import actions

    value, tables = actions.fetch(_load(project), console, offline=offline, replace=replace)
    console.result(value, *tables)


@app.command()
def schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a readable page instead of a JSON schema.")
    ] = False,
) -> None:
    """Print the JSON schema of the project file, for editors and checkers.

    Example: `crosslabel schema > project.schema.json`
    """
    import json

    if markdown:
        from ssldata.project.project_template import schema_page

        text = schema_page()
    else:
        from ssldata.project.project_file import json_schema

        text = json.dumps(json_schema(), indent=2) + "\n"
    Console().write(text)


@command(app)
def plan(
    console: Console,
    project: ProjectPath,
    *,
    gflops: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            min=0.001,
            help="Training speed for the estimate of hours, in Gflop/s.",
        ),
    ] = None,
    memory: Memory = None,
    verify_cache: VerifyCache = False,
) -> None:
    """Show what `build` and `run` would do: rows, bytes, hours, missing inputs. Writes nothing.

    The assumptions behind the estimates are printed with them. Exit code 2 when an input is
    missing.

    Example: `crosslabel plan my-project`
    """
    if memory is not None:
        from ssldata.building.dask_pool import check_memory

        check_memory(memory, workers=1, needed=0)  # a size at all, before anything is shown
    from flows.steps import run_checks

    loaded = _load(project)
    value = _show_plan(console, loaded, gflops=gflops, verify_cache=verify_cache)
    if memory is not None:
        check_memory(memory, workers=1, needed=value["memory_per_worker"])
        console.note(f"--memory {memory} is enough for a worker")
    run_checks.require_weights(loaded)  # which a build does not need


def _show_plan(
    console: Console, project: Project, *, gflops: float | None = None, verify_cache: bool = False
) -> dict[str, Any]:
    """Print the plan of a build and return it; refuse a project whose inputs are missing."""
    from flows.output import plan_view
    from flows.steps import run_checks

    value, tables = plan_view.plan(
        project, everything=console.verbosity > 0, gflops=gflops, verify_cache=verify_cache
    )
    console.result(value, *tables)
    run_checks.require_inputs(project)
    return value


@command(app)
def build(
    console: Console,
    project: ProjectPath,
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            *("--experiment", "-e"),
            help="Only this experiment; may be repeated.",
            autocompletion=completions.experiments,
        ),
    ] = None,
    workers: Workers = 0,
    dask_scheduler: DaskScheduler = None,
    scheduler_file: SchedulerFile = None,
    memory: Memory = None,
    replace: Replace = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Check every sequence that is stored, and rewrite damaged rows."
        ),
    ] = False,
    verify_cache: VerifyCache = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The same as `plan`.")] = False,
) -> None:
    """Build the stores of a project: lift the peaks, cut the windows, write the rows.

    One Zarr store per experiment. Genomes that are complete and unchanged are left alone, so
    adding a genome to the project file and building again writes that genome only.

    Example: `crosslabel build my-project --workers 4`
    """
    from flows.commands import actions
    from flows.steps import run_checks

    loaded = _load(project)
    if dry_run:
        _show_plan(console, loaded, verify_cache=verify_cache)
        return
    cluster = run_checks.Cluster(workers, dask_scheduler, scheduler_file, memory)
    value, tables = actions.build(
        loaded,
        console,
        experiments=experiment,
        cluster=cluster,
        replace=replace,
        repair=repair,
        verify_cache=verify_cache,
    )
    console.result(value, *tables)


@command(app)
def train(
    console: Console,
    project: ProjectPath,
    experiment: Annotated[
        str | None,
        typer.Option(
            *("--experiment", "-e"),
            help="Default: the only one.",
            autocompletion=completions.experiments,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            *("--model", "-m"),
            help="Default: the only one of training.models.",
            autocompletion=completions.models,
        ),
    ] = None,
    regime: Annotated[
        str | None,
        typer.Option(
            *("--regime", "-r"),
            help="For example sl, ssl, sl-plus, ssl-plus. Default: the only one.",
            autocompletion=completions.regimes,
        ),
    ] = None,
    seed: Seed = 0,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="STORE",
            help="Train on this store, not the project's: a folder, a zip, http(s)://…, s3://… or "
            "icechunk://….",
        ),
    ] = None,
    publish_weights: PublishWeights = False,
    replace: Replace = False,
) -> None:
    """Train one model with one regime and one seed.

    The run folder is RUNS/EXPERIMENT/MODEL/REGIME/seed-N and holds the model, the training
    history and a record of everything that went in. An interrupted run continues; a complete
    run of the same configuration and rows is left as it is. With --store neither genomes nor
    chains are needed: a shared store is read in place, and the same rows give the same model.

    Example: `crosslabel train my-project --experiment Reb1 --model cnn-27k --regime ssl --seed 0`
    """
    from flows.commands import actions

    value, tables = actions.train(
        _load(project),
        console,
        experiment=experiment,
        model=model,
        regime=regime,
        seed=seed,
        store=store,
        publish_weights=publish_weights,
        replace=replace,
    )
    console.result(value, *tables)


@command(app)
def evaluate(
    console: Console,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders, folders of them, or a project."),
    ],
) -> None:
    """Score every test bin with trained models: AUPR, AUROC, curves, per-bin scores.

    Files go to the evaluation folder of each run. Lift is AUPR divided by the prevalence, the
    AUPR of guessing.

    Example: `crosslabel evaluate my-project/runs/Reb1/cnn-27k/ssl/seed-0`
    """
    from flows.commands import actions

    value, tables = actions.evaluate(paths, console)
    console.result(value, *tables)


predict_command.register(app)  # here, since the help lists commands in this order


@command(app)
def run(
    console: Console,
    project: ProjectPath,
    workers: Workers = 0,
    train_workers: Annotated[
        int,
        typer.Option(
            min=0,
            help="Dask worker processes that train, one run each; 0 trains in this process.",
        ),
    ] = 0,
    dask_scheduler: DaskScheduler = None,
    scheduler_file: SchedulerFile = None,
    memory: Memory = None,
    train_threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="TensorFlow threads per run; the exact bits of a model depend on them. Default: "
            "1 on Dask workers, all cores in this process.",
        ),
    ] = None,
    replace: Replace = False,
    report: Annotated[
        Literal["paper"] | None,
        typer.Option(
            help="paper: also train the sweeps, and write the benchmark's tables and figures."
        ),
    ] = None,
    publish_weights: PublishWeights = False,
    verify_cache: VerifyCache = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be built and trained; write nothing."),
    ] = False,
) -> None:
    """Do everything: build, train and evaluate the grid of the project file, write a report.

    Models without a network come first (`training.baselines`), in seconds each; one that fails is
    a line of the report. Ends with the table of metrics and the path of report.html. With
    --report paper the runs of `training.sweeps` follow, then RUNS/paper/index.html with the tables
    and figures of the paper and a CSV beside each.

    With --train-workers, or on a running Dask cluster, several runs are trained at once. A run
    that fails does not stop the others; the exit code is then 2. Work that remains to be done
    runs as a Prefect flow on a private backend that needs no server; set PREFECT_API_URL to watch
    it on your own.

    Example: `crosslabel run my-project --train-workers 2`
    """
    from flows.commands import actions
    from flows.steps.pipeline import Options

    loaded = _load(project)
    options = Options(
        workers=workers,
        train_workers=train_workers,
        dask_scheduler=dask_scheduler,
        scheduler_file=None if scheduler_file is None else str(scheduler_file),
        memory=memory,
        train_threads=train_threads,
        replace=replace,
        report=report,
        verify_cache=verify_cache,
    )
    if dry_run:
        from flows.output import plan_view, run_view
        from flows.steps import run_checks

        everything = console.verbosity > 0
        value, tables = plan_view.plan(loaded, everything=everything, verify_cache=verify_cache)
        value["runs"], lines = run_view.runs(
            loaded, value["steps"], sweeps=report is not None, everything=everything
        )
        value["baselines"], more = run_view.baselines(loaded)
        console.result(value, *tables, *lines, *more)
        run_checks.require_inputs(loaded)
        run_checks.require_weights(loaded)
        return
    value, tables = actions.run(loaded, console, options, publish_weights=publish_weights)
    console.result(value, *tables)


variants_command.register(app)
peaks_command.register(app)
transfer_command.register(app)


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def liftover() -> None:
    """Lift a BED file through a chain file, with the options of the UCSC tool.

    Example: `crosslabel liftover old.bed chain.gz new.bed unmapped.bed -minMatch=0.1`
    """
    # `flows.cli` answers `crosslabel liftover …` itself; this entry is for `crosslabel --help`.
    raise AssertionError("liftover is dispatched before the other commands")
