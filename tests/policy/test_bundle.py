"""Bundles: one canonical form, one digest, nothing lost."""

from __future__ import annotations

import hashlib
import json

import pytest
from deciding import HEAD, policy
from hypothesis import given
from hypothesis import strategies as st

from remit.errors import InvalidArgument, PolicyError
from remit.policy import bundle, load

RULES = "rules:\n  - {id: a, tools: x, effect: allow}\n"
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


@given(st.dictionaries(TEXT, TEXT, max_size=4))
def test_a_bundle_is_read_back(documents):
    packed = bundle.pack(documents)
    assert bundle.unpack(packed) == documents
    assert json.loads(packed) == documents
    assert bundle.pack(dict(reversed(documents.items()))) == packed


def test_the_revision_is_the_digest_of_the_bundle():
    policies = policy(RULES)
    assert policies.bundle == bundle.pack({"remit.yaml": HEAD + RULES})
    assert policies.revision == "sha256:" + hashlib.sha256(policies.bundle).hexdigest()


def test_every_change_is_another_revision():
    texts = [HEAD + RULES, HEAD + RULES + "\n", HEAD + RULES + "# note\n"]
    revisions = {load({"remit.yaml": text}).revision for text in texts}
    revisions |= {load({"other.yaml": texts[0]}).revision}
    assert len(revisions) == 4


def test_bytes_text_and_a_byte_order_mark_are_the_same_revision():
    text = HEAD + RULES
    one, two, three = (
        load({"remit.yaml": each}).revision
        for each in (text, text.encode(), b"\xef\xbb\xbf" + text.encode())
    )
    assert one == two == three


def test_a_bundle_loads_again_to_the_same_policy():
    policies = policy(RULES)
    assert load(bundle.unpack(policies.bundle)).revision == policies.revision


def test_a_large_bundle_is_read_back():
    documents = {f"{n}.yaml": "#" * 1_000_000 for n in range(3)}
    assert bundle.unpack(bundle.pack(documents)) == documents


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": 1}', b'{"a": "b", "a": "c"}', b"\xff"])
def test_what_is_no_bundle(data):
    with pytest.raises(InvalidArgument):
        bundle.unpack(data)


def test_too_many_documents():
    documents = {"a.yaml": HEAD + RULES}
    documents |= {f"{n}.yaml": "remit: 1\n" + "#" * 1_000_000 for n in range(17)}
    with pytest.raises(PolicyError, match="all documents together are larger than 16777216 bytes"):
        load(documents)
