"""Suggests the right command or option for names that other programs use."""

from __future__ import annotations

import click

_COMMANDS = {
    "search": ("query", "find", "ask", "lookup", "nearest", "semantic-search", "knn"),
    "similar": ("like", "neighbors", "neighbours", "related", "more-like-this"),
    "get": ("show", "cat", "read", "fetch", "view"),
    "delete": ("rm", "remove", "del", "drop", "erase"),
    "add": ("ingest", "insert", "upsert", "put", "create", "load", "index", "build", "update", "init", "new"),
    "info": ("stats", "stat", "status", "count", "describe", "size", "len"),
    "verify": ("check", "fsck", "doctor", "validate", "repair", "fix"),
    "compact": ("vacuum", "optimize", "optimise", "gc", "clean", "prune", "shrink"),
    "backup": ("copy", "cp", "snapshot", "clone", "save"),
    "list": ("ls", "records", "keys", "all", "scan"),
    "sources": ("files", "documents", "folders", "tracked"),
    "watch": ("follow", "sync", "monitor"),
    "export": ("dump", "download"),
    "facets": ("facet", "values", "count-values", "aggregate", "distinct"),
    "import": ("restore", "import-vectors"),
    "explain": ("embed", "encode", "tokenize", "tokenise", "vector"),
    "migrate": ("reindex", "reembed", "re-embed", "upgrade", "rebuild"),
    "models": ("model",),
    "index-field": ("create-index", "add-index", "index-metadata"),
    "index-lexical": ("stem", "stemming", "language", "bm25", "fts"),
    "encode-missing": ("encode-all", "embed-missing", "encode-rest"),
    "index-tokens": ("colbert", "late-interaction", "token-vectors"),
    "completion": ("completions", "complete", "install-completion"),
    "guide": ("docs", "doc", "documentation", "manual", "tutorial", "topics"),
    "--help": ("help", "man", "usage"),
    "--version": ("version",),
}
_OPTIONS = {
    "-k": (
        *("-n", "-l", "--k", "--limit", "--top-k", "--topk", "--top_k", "--top", "--n-results", "--max-results"),
        *("--num", "--number", "--count", "--results", "--size", "--hits"),
    ),
    "--where": ("--filter", "--filters", "-f", "-w", "--if", "--condition", "--select", "--metadata-filter"),
    "--min-score": ("--threshold", "--score", "--cutoff", "--score-threshold", "--minimum-score", "--similarity"),
    "--top": ("-n", "-k", "--limit", "--most"),
    "--diversity": ("--mmr", "--diverse", "--lambda", "--mmr-lambda", "--diversify"),
    "--fields": ("--field", "--columns", "--show", "--with-metadata", "--include-metadata", "--metadata", "--select"),
    "--full": ("--all", "--whole", "--no-truncate", "--full-text", "--wide", "--no-snippet"),
    "--index": ("-i", "-d", "--db", "--database", "--path", "--dir", "--directory", "--collection", "--store"),
    "--key": ("--id", "--ids", "--keys", "--name"),
    "--metadata": ("--meta", "--tags", "--attributes", "--payload"),
    "--text-column": ("--column", "--text-field", "--content-column", "--field", "--text-col"),
    "--key-column": ("--id-column", "--id-field", "--key-field", "--id-col"),
    "--format json": ("--json", "-j", "--as-json"),
    "--report json": ("--json", "-j", "--as-json"),
    "--format": ("--output", "-o", "--output-format", "--type", "--input-format", "-f", "--fmt"),
    "--model": ("-m", "--encoder", "--embedding-model", "--embedder", "--model-name"),
    "--quiet": ("-s", "--silent", "--no-progress"),
    "--verbose": ("--debug", "--log-level"),
    "--version": ("-V",),
    "--skip-bad": ("--ignore-errors", "--skip-errors", "--keep-going"),
}


class Group(click.Group):
    """A group that lists its commands in the order of use and suggests one for a common name that it lacks."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            options = _options(self) | {"--help"}
            known = [name for name in _matches(args[0], _COMMANDS) if name in self.commands or name in options]
            if not known:
                raise
            raise click.UsageError(_did_you_mean(f"No such command {args[0]!r}.", known), ctx) from None


def suggest_option(error: click.NoSuchOption) -> click.UsageError:
    """The error with a suggestion, if an option of the command does what the unknown one asks for."""
    if error.ctx is None:
        return error
    command = error.ctx.command
    if isinstance(command, Group) and any(error.option_name in _options(each) for each in command.commands.values()):
        return click.UsageError(f"The option {error.option_name!r} must come after the command.", error.ctx)
    options = _options(command)
    known = [name for name in _matches(error.option_name, _OPTIONS) if name.split()[0] in options]
    if not known:
        return error
    return click.UsageError(_did_you_mean(f"No such option {error.option_name!r}.", known), error.ctx)


def suggest_report(error: click.BadParameter) -> click.UsageError:
    """The error with the option that prints JSON, where json was given as the format of a file."""
    if error.ctx is None or error.param is None or "--format" not in error.param.opts:
        return error
    if not error.message.startswith("'json' ") or "--report" not in _options(error.ctx.command):
        return error
    return click.BadParameter(f"{error.message} Use --report json for a report in JSON.", error.ctx, error.param)


def _options(command: click.Command) -> set[str]:
    return {name for param in command.params for name in param.opts}


def _matches(typed: str, table: dict[str, tuple[str, ...]]) -> list[str]:
    return [name for name, others in table.items() if typed.lower().replace("_", "-") in others or typed in others]


def _did_you_mean(message: str, known: list[str]) -> str:
    return f"{message} Did you mean {' or '.join(map(repr, known))}?"
