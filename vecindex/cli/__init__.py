"""The command line: the group of all commands.

Nothing heavy is imported before a command runs: ``vecindex --help`` only loads click.
"""

from __future__ import annotations

import click

from .. import __version__
from .commands.add import add
from .commands.completion import completion
from .commands.evaluate import eval_
from .commands.exchange import backup, export, import_
from .commands.explain import explain
from .commands.facets import facets
from .commands.find import get, list_, search, similar
from .commands.guide import guide
from .commands.manage import compact, delete, encode_missing, index_field, index_lexical, index_tokens, info, verify
from .commands.migrate import migrate
from .commands.models import models
from .commands.selftest import selftest
from .commands.serving.mcp import mcp
from .commands.serving.serve import serve
from .commands.sources import sources
from .commands.tune import tune
from .commands.watch import watch
from .main_group import MainGroup
from .options import with_verbosity


@click.group(cls=MainGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Turn sentences into vectors and find the nearest ones.

    \b
    Examples:
      vecindex add notes.txt
      vecindex search "my name"
      vecindex guide quickstart
    """


for _command in (
    *(
        add,
        search,
        similar,
        get,
        list_,
        facets,
        delete,
        sources,
        watch,
        serve,
        info,
        index_field,
        index_lexical,
        index_tokens,
        encode_missing,
        eval_,
        tune,
        verify,
    ),
    *(compact, backup, export, import_, migrate, selftest, explain, models, mcp, guide, completion),
):
    main.add_command(_command)
with_verbosity(main)
