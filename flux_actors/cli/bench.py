"""`flux bench`: every figure of this project, measured on your machine or against your server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from flux_actors.cli.options import examples


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("bench", epilog=_EXAMPLES)(bench)


_EXAMPLES: Final = examples(
    "flux bench                            everything, about ten minutes",
    "flux bench --only post-128,get-one    two cases; --list names all",
    "flux bench --url http://db:3000       a server that runs",
    "flux bench --json new.json",
    "flux bench --compare old.json new.json",
    "flux bench --growth all --plots plots",
    "flux bench --scale all                more shards and doors, recovery, moves: a quarter of an hour",
    "flux bench --profile post-128         where the time goes",
)


UrlOption = Annotated[
    str | None,
    typer.Option(help="A running server, whatever speaks the API.", show_default="starts a Flux"),
]
OnlyOption = Annotated[str | None, typer.Option(metavar="CASE[,…]", help="Measure these cases.")]
ListCasesOption = Annotated[bool, typer.Option("--list", help="Name the cases and their targets.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="Tiny: shows that it works, not how fast.")]
TimesOption = Annotated[int, typer.Option(min=1, help="Repetitions; the median counts.")]
SecondsOption = Annotated[
    float | None, typer.Option(min=0.05, help="Of each timed repetition.", show_default="4")
]
EntitiesOption = Annotated[
    int | None, typer.Option(min=100, help="Of the large state.", show_default="200,000")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 1 when a target is missed.")]
JsonFileOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Save the run.")]
MarkdownOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tables for a document.")]
GrowthOption = Annotated[
    str | None,
    typer.Option(metavar="NAME[,…]", help="How cost grows: these series, or `all`, without the cases."),
]
ScaleOption = Annotated[
    str | None,
    typer.Option(metavar="NAME[,…]", help="What more processes carry, and recovery: the same of these."),
]
PlotsOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Draw the series into a folder, as SVG.")
]
ProfileOption = Annotated[
    str | None, typer.Option(metavar="CASE", help="Show where door and shard spend a case's time.")
]
StacksOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="With --profile: keep the sampled stacks here.")
]
CompareOption = Annotated[
    tuple[Path, Path] | None, typer.Option(metavar="OLD NEW", help="Set two saved runs side by side.")
]
SavedOption = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Show, write or draw a saved run; measure nothing."),
]


def bench(
    url: UrlOption = None,
    only: OnlyOption = None,
    list_cases: ListCasesOption = False,
    quick: QuickOption = False,
    times: TimesOption = 3,
    seconds: SecondsOption = None,
    entities: EntitiesOption = None,
    strict: StrictOption = False,
    json_file: JsonFileOption = None,
    markdown: MarkdownOption = None,
    growth: GrowthOption = None,
    scale: ScaleOption = None,
    plots: PlotsOption = None,
    profile: ProfileOption = None,
    stacks: StacksOption = None,
    compare: CompareOption = None,
    saved: SavedOption = None,
) -> None:
    """Measure Flux, verify what was measured, and set it beside baselines of the same run.

    A Flux is started in a temporary folder and stopped again, unless --url names one that runs. There
    nobody else may publish meanwhile, its rate limit is switched off for the time, and what was written
    is deleted. Every acknowledged event is looked for in the state: a figure whose result was not
    verified is not printed, and the exit code is 1.
    """
    from flux_bench import command

    if compare is not None:
        command.compare(*compare)
    elif list_cases:
        command.list_cases()
    elif saved is not None:
        command.show_saved(saved, markdown, plots)
    else:
        wanted = command.Wanted(
            url=url,
            only=only,
            quick=quick,
            times=times,
            seconds=seconds,
            entities=entities,
            strict=strict,
            json_file=json_file,
            markdown_file=markdown,
            growth=growth or ("all" if plots is not None and scale is None else None),
            scale=scale,
            plots=plots,
            profile=profile,
            stacks=stacks,
        )
        raise typer.Exit(command.measure(wanted))
