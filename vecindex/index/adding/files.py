"""Adds sources such as files, and keeps the index up to date with those that changed, moved or are gone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from ...store.snapshot import Snapshots
from ...store.writer import Writer
from ...values.records import AddReport
from ...values.sources import SourceState
from ..follow import Action
from .files_input import FilesInput
from .texts import Adding

_SKIPPED = (Action.UNCHANGED, Action.TOUCHED, Action.MOVED)


@dataclass(frozen=True, slots=True)
class FilesReport(AddReport):
    """What adding sources did; the counts of records are those of `AddReport`.

    ``read`` counts sources that were read, ``skipped`` those that had not changed, whose records count as unchanged,
    and ``moved`` those that were found under another name. ``gone`` are the locations of sources that no longer exist;
    with ``prune`` their records were removed. ``stale`` counts records whose rows are gone from sources that still
    exist, and that ``prune`` would remove. ``bad`` counts rows and sources that were left out, and
    ``replaced`` invalid bytes that were read as U+FFFD.
    """

    read: int = 0
    skipped: int = 0
    moved: int = 0
    gone: tuple[str, ...] = ()
    stale: int = 0
    bad: int = 0
    replaced: int = 0


def add_files(given: FilesInput, adding: Adding, snapshots: Snapshots, writer: Writer) -> FilesReport:
    """Adds what `FilesInput.check` found to be sound, and follows what has become of the other sources."""
    steps, to_register = given.plan, given.to_register()
    # A different space is refused even if nothing must be encoded. Before sources are registered, so that a model that
    # cannot be loaded leaves none that seem to have been interrupted.
    if adding.options.encode and (adding.model.is_chosen or (given.rows and to_register)):
        adding.encoder()
    writer.move_sources(
        [
            (step.state, replace(step.state, location=step.found.location, modified=step.found.modified))
            for step in steps.having(Action.MOVED)
            if step.state is not None and step.found is not None
        ]
    )
    touched = [
        (step.state, replace(step.state, modified=step.found.modified))
        for step in steps.having(Action.TOUCHED)
        if step.state is not None and step.found is not None
    ]
    registered = writer.register(to_register, touched)
    report = AddReport()
    if given.rows or registered:
        spans = adding.encoder().token_spans if given.needs_tokens else None
        if (on_bad := adding.options.on_bad) is not None:
            adding = replace(adding, options=replace(adding.options, on_bad=given.left_out_later(on_bad)))
        report = adding.add_units(given.units(registered, spans))
    gone = [step.state for step in steps.having(Action.GONE) if step.state is not None]
    if given.options.prune and gone:
        removed = writer.remove_sources([state.id for state in gone])
        report = replace(report, removed=report.removed + removed)
    skipped = [step.state.id for step in steps.having(*_SKIPPED) if step.state is not None]
    with snapshots.borrow() as catalog:
        counted = {state.id: (state, records) for state, records in catalog.counted_sources()}
    unchanged = sum(counted[each][1] for each in skipped if each in counted)
    ids = {state.id for state in registered} | set(skipped)
    stale = sum(state.stale for state, _ in counted.values() if state.id in ids)
    return _report(given, replace(report, unchanged=report.unchanged + unchanged), gone, stale)


def _report(given: FilesInput, report: AddReport, gone: list[SourceState], stale: int) -> FilesReport:
    counts = given.plan.counts()
    return FilesReport(
        **{**asdict(report), "written": (), "empty": given.empty},
        replaced=given.replaced,
        read=given.sources,
        skipped=counts[Action.UNCHANGED] + counts[Action.TOUCHED],
        moved=counts[Action.MOVED],
        gone=tuple(state.location for state in gone),
        stale=stale,
        bad=given.bad,
    )
