"""``vecindex guide``: shows the pages of the guide, which ship with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..output import emit, is_terminal, stdout

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

TOPICS = (
    *("quickstart", "sources", "adding", "staying-current", "texts", "office", "splitting", "searching", "filters"),
    "evaluate",
    *("models", "long-texts", "migrate", "exchange", "agents", "haystack", "langchain", "llama-index"),
    *("python", "python-api", "python-index", "cli", "cli-upkeep", "server", "page"),
    *("how-it-works", "on-disk", "durability", "security", "figures", "troubleshooting", "upgrading", "changes"),
)
"""The names of the pages, in the order in which a newcomer would read them."""


def page(topic: str) -> str:
    """The Markdown text of one page: its title, then a one-sentence summary, then the rest."""
    from importlib.resources import files

    return (files("vecindex") / "guide" / f"{topic}.md").read_text(encoding="utf-8")


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(topic) for topic in TOPICS if topic.startswith(incomplete)]


@click.command()
@click.argument("topic", required=False, shell_complete=_complete)
def guide(topic: str | None) -> None:
    """Show the guide's page about TOPIC, or list the topics.

    On a terminal the page opens in a pager: the program named by PAGER, or less.

    \b
    Examples:
      vecindex guide
      vecindex guide filters
    """
    if topic is None:
        emit("".join(f"{name:17}{page(name).splitlines()[2]}\n" for name in TOPICS))
    elif topic not in TOPICS:
        import difflib

        close = difflib.get_close_matches(topic, TOPICS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "Run `vecindex guide` to list the topics."
        raise click.BadParameter(f"there is no page about {topic!r}. {hint}", param_hint="TOPIC")
    elif is_terminal(stdout()):
        click.echo_via_pager(page(topic).rstrip("\n"))
    else:
        emit(page(topic))
