"""``vecindex completion``: prints the scripts that make shells complete commands and options."""

from __future__ import annotations

import click

from ..output import emit

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script with which SHELL completes commands.

    Add it to a file that your shell reads when it starts, as in the examples.

    \b
    Examples:
      vecindex completion bash >> ~/.bashrc
      vecindex completion zsh >> ~/.zshrc
      vecindex completion fish > ~/.config/fish/completions/vecindex.fish
    """
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    script = get_completion_class(shell)
    assert script is not None  # click has these three
    emit(script(root.command, {}, "vecindex", "_VECINDEX_COMPLETE").source() + "\n")
