"""Nodes of LlamaIndex as records, and back.

The node's id is the record's key, its text the record's text, and its metadata the record's metadata, so that filters
and the command line see all three. The rest of the node is in one more member of the metadata, `RESERVED`::

    {"ref_doc_id": "...", "class": "TextNode", "node": {"relationships": {...}, ...}}

``ref_doc_id`` is the id of the document that the node is a part of, "" if there is none, and ``node`` has the fields
that differ from their defaults.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import BaseNode, Document, ImageNode, IndexNode, MetadataMode, Node, TextNode

from ...errors import InvalidInput
from ...values.records import Hit, Record, place_members

RESERVED = "_llama_index"
REF_DOC_ID = f"{RESERVED}.ref_doc_id"
NODE_CLASS = f"{RESERVED}.class"

_CLASSES: dict[str, type[BaseNode]] = {
    each.class_name(): each for each in (TextNode, Node, ImageNode, IndexNode, Document)
}
_STORED_APART = ("class_name", "id_", "embedding", "metadata", "text")


def record_of(node: BaseNode) -> Record:
    """The record of a node, without its embedding."""
    if RESERVED in node.metadata:
        reason = f"the metadata of the node {node.node_id!r} has the field {RESERVED!r}, which is reserved"
        raise InvalidInput(reason, "Rename it.")
    fields = node.model_dump(mode="json", exclude_defaults=True, exclude={"embedding"})
    metadata = fields.get("metadata", {})
    fields = {name: value for name, value in fields.items() if name not in _STORED_APART}
    if (resource := fields.get("text_resource")) and "text" in resource:
        fields["text_resource"] = {**resource, "text": ""}
    rest = {"ref_doc_id": node.ref_doc_id or "", "class": node.class_name(), "node": fields}
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    return Record(text, node.node_id, {**metadata, RESERVED: rest})


def node_of(found: Hit | Record) -> BaseNode:
    """The node that was stored as this record. One that was added otherwise is a TextNode, which says where it is from.

    Of such a record, the metadata has ``source``, and the line, page or other place in it, unless it has fields of
    these names itself.
    """
    metadata = dict(found.metadata or {})
    rest = metadata.pop(RESERVED, None)
    if not isinstance(rest, dict):
        return _foreign_node(found, metadata)
    fields = dict(rest["node"])
    kind = _CLASSES.get(rest["class"], TextNode)
    if issubclass(kind, TextNode):
        fields["text"] = found.text
    elif "text" in (fields.get("text_resource") or {}):
        fields["text_resource"] = {**fields["text_resource"], "text": found.text}
    return kind.from_dict({**fields, "id_": found.key, "metadata": metadata})


def _foreign_node(found: Hit | Record, metadata: dict[str, Any]) -> BaseNode:
    """The node of a record that was not stored as one."""
    source, place = None, None
    if isinstance(found, Hit):
        source, place = found.source, found.place
    elif found.origin is not None:
        source = found.origin.path
        place = None if found.origin.place is None else (found.origin.unit, found.origin.place)
    start, end = found.span or (None, None)
    return TextNode(
        id_=found.key,
        text=found.text,
        metadata={**place_members(source, place, None), **metadata},
        start_char_idx=start,
        end_char_idx=end,
    )
