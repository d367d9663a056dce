"""Hypothesis strategies for PDUs, made from the table of fields: any PDU that SMPP allows."""

from typing import Any

from hypothesis import strategies as st

from chappe.smpp.fields import ADDRESS_MAX, Address, Destinations, Failures, Kind, Number, Octets, Text, Unsuccessful
from chappe.smpp.pdu import FIELDS, SEQUENCE_MAX, Body, Pdu
from chappe.smpp.tlv import SIZES, VENDOR_TAGS

LATIN = st.characters(min_codepoint=0x01, max_codepoint=0xFF)
PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)

Characters = st.SearchStrategy[str]
octets = st.integers(0, 0xFF)


def texts(octets_max: int, characters: Characters) -> st.SearchStrategy[str]:
    return st.text(characters, max_size=octets_max - 1)


def addresses(characters: Characters) -> st.SearchStrategy[Address]:
    return st.builds(Address, octets, octets, texts(ADDRESS_MAX, characters))


def values(kind: Kind, characters: Characters) -> st.SearchStrategy[Any]:
    match kind:
        case Number():
            return octets
        case Text(octets_max):
            return texts(octets_max, characters)
        case Octets(octets_max):
            return st.binary(max_size=octets_max)
        case Destinations():
            anywhere = addresses(characters) | texts(ADDRESS_MAX, characters)
            return st.lists(anywhere, max_size=5).map(tuple)
        case Failures():
            failures = st.builds(Unsuccessful, addresses(characters), st.integers(0, 0xFFFF_FFFF))
            return st.lists(failures, max_size=5).map(tuple)


def parameters_of(tag: int) -> st.SearchStrategy[tuple[int, bytes]]:
    size = SIZES[tag]
    return st.binary(min_size=size.octets_min, max_size=min(size.octets_max, 300)).map(lambda value: (tag, value))


standard_parameters = st.sampled_from(sorted(SIZES)).flatmap(parameters_of)
vendor_parameters = st.tuples(st.sampled_from(VENDOR_TAGS), st.binary(max_size=40))
parameters = st.lists(standard_parameters | vendor_parameters, max_size=4).map(tuple)


def bodies(kind: type[Body], characters: Characters = LATIN) -> st.SearchStrategy[Body]:
    fields = {name: values(one, characters) for name, one in FIELDS[kind]}
    return st.builds(kind, **fields, tlvs=parameters)


def pdus_of(kind: type[Body], characters: Characters = LATIN) -> st.SearchStrategy[Pdu]:
    return st.builds(
        Pdu, bodies(kind, characters), st.integers(0, SEQUENCE_MAX), st.just(0) | st.integers(0, 0xFFFF_FFFF)
    )


pdus = st.sampled_from(list(FIELDS)).flatmap(pdus_of)
