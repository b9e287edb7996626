"""The command line: the group of all commands, which are in the other files.

Nothing heavy is imported before a command runs: ``vecindex --help`` loads click alone.
"""

from __future__ import annotations

import click

from .. import __version__
from .add import add
from .boundary import Commands
from .completion import completion
from .exchange import backup, export, import_
from .explain import explain
from .find import get, search, similar
from .manage import compact, delete, index_field, info, verify
from .migrate import migrate
from .models import models
from .options import with_verbosity
from .selftest import selftest
from .tune import tune


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Turn sentences into vectors and find the nearest ones.

    \b
    Example:
      vecindex add notes.txt
      vecindex search "my name"
    """


for _command in (
    *(add, search, similar, get, delete, info, index_field, tune, verify, compact, backup, export, import_),
    *(migrate, selftest, explain, models, completion),
):
    main.add_command(_command)
with_verbosity(main)
