"""PDUs of every kind: their octets in hex, field by field, and what they say.

The first two are the standard's own; tshark reads the others as we do (`test_tshark.py`).
"""

from chappe.smpp.pdu import (
    Address,
    AlertNotification,
    BindReceiver,
    BindReceiverResponse,
    BindTransceiver,
    BindTransceiverResponse,
    BindTransmitter,
    BindTransmitterResponse,
    BroadcastSm,
    BroadcastSmResponse,
    CancelBroadcastSm,
    CancelBroadcastSmResponse,
    CancelSm,
    CancelSmResponse,
    DataSm,
    DataSmResponse,
    DeliverSm,
    DeliverSmResponse,
    EnquireLink,
    EnquireLinkResponse,
    GenericNack,
    Outbind,
    Pdu,
    QueryBroadcastSm,
    QueryBroadcastSmResponse,
    QuerySm,
    QuerySmResponse,
    ReplaceSm,
    ReplaceSmResponse,
    Status,
    SubmitMulti,
    SubmitMultiResponse,
    SubmitSm,
    SubmitSmResponse,
    Unbind,
    UnbindResponse,
    Unsuccessful,
)
from chappe.smpp.tlv import Tag

GOLDEN: tuple[tuple[str, Pdu], ...] = (
    # 3.2.2, the sample PDU of the standard (3.4 prints interface_version 0)
    (
        """
        0000002f 00000002 00000000 00000001
        534d5050335445535400 736563726574303800 5355424d49543100 00 01 01 00
        """,
        Pdu(
            BindTransmitter(
                system_id="SMPP3TEST",
                password="secret08",
                system_type="SUBMIT1",
                interface_version=0x0,
                address_ton=1,
                address_npi=1,
            ),
            1,
        ),
    ),
    # SMPP 5.0, 3.2.2: the same, interface_version 0x50
    (
        """
        0000002f 00000002 00000000 00000001
        534d5050335445535400 736563726574303800 5355424d49543100 50 01 01 00
        """,
        Pdu(
            BindTransmitter(
                system_id="SMPP3TEST",
                password="secret08",
                system_type="SUBMIT1",
                interface_version=0x50,
                address_ton=1,
                address_npi=1,
            ),
            1,
        ),
    ),
    (
        """
        0000001c 80000002 00000000 00000001
        63686170706500
        0210 0001 34
        """,
        Pdu(BindTransmitterResponse(system_id="chappe", tlvs=((Tag.SC_INTERFACE_VERSION, b"4"),)), 1),
    ),
    (
        """
        0000002a 00000001 00000000 00000002
        616c69636500 736573616d6500 564d5300 34 01 01 5e3434373700
        """,
        Pdu(
            BindReceiver(
                system_id="alice",
                password="sesame",
                system_type="VMS",
                address_ton=1,
                address_npi=1,
                address_range="^4477",
            ),
            2,
        ),
    ),
    # refused: no body
    (
        "00000010 80000001 0000000e 00000002",
        Pdu(BindReceiverResponse(), 2, Status.INVALID_PASSWORD),
    ),
    (
        """
        00000022 00000009 00000000 7fffffff
        616c69636500 736573616d6500 00 34 00 00 00
        """,
        Pdu(BindTransceiver(system_id="alice", password="sesame"), 2147483647),
    ),
    (
        """
        0000001c 80000009 00000000 7fffffff
        63686170706500
        0210 0001 34
        """,
        Pdu(BindTransceiverResponse(system_id="chappe", tlvs=((Tag.SC_INTERFACE_VERSION, b"4"),)), 2147483647),
    ),
    (
        """
        0000001e 0000000b 00000000 00000001
        63686170706500 736573616d6500
        """,
        Pdu(Outbind(system_id="chappe", password="sesame"), 1),
    ),
    (
        "00000010 00000006 00000000 00000003",
        Pdu(Unbind(), 3),
    ),
    (
        "00000010 80000006 00000000 00000003",
        Pdu(UnbindResponse(), 3),
    ),
    (
        "00000010 00000015 00000000 00000004",
        Pdu(EnquireLink(), 4),
    ),
    (
        "00000010 80000015 00000000 00000004",
        Pdu(EnquireLinkResponse(), 4),
    ),
    (
        "00000010 80000000 00000002 00000000",
        Pdu(GenericNack(), 0, Status.INVALID_COMMAND_LENGTH),
    ),
    (
        """
        0000003b 00000004 00000000 00000005
        00 05 00 4d79436f6d70616e7900 01 01 34343737303039303031323300 00 00 00 00 00 01 00 00 00
        0548656c6c6f
        """,
        Pdu(
            SubmitSm(
                source_ton=5,
                source="MyCompany",
                destination_ton=1,
                destination_npi=1,
                destination="447700900123",
                registered_delivery=1,
                short_message=b"Hello",
            ),
            5,
        ),
    ),
    # each field has a value, and three TLVs follow
    (
        """
        00000080 00000004 00000000 00000006
        434d5400 01 01 34343737303039303030303000 01 01 34343737303039303031323300 40 11 02
        3236313230313132303030303030302b00 3030303030373030303030303030305200 11 01 08 07
        0e050003cc02010417043404400430
        0204 0002 beef
        020a 0002 0b84
        1401 0006 76656e646f72
        """,
        Pdu(
            SubmitSm(
                service_type="CMT",
                source_ton=1,
                source_npi=1,
                source="447700900000",
                destination_ton=1,
                destination_npi=1,
                destination="447700900123",
                esm_class=64,
                protocol_id=17,
                priority_flag=2,
                schedule_delivery_time="261201120000000+",
                validity_period="000007000000000R",
                registered_delivery=17,
                replace_if_present=1,
                data_coding=8,
                default_message_id=7,
                short_message=b"\x05\x00\x03\xcc\x02\x01\x04\x17\x044\x04@\x040",
                tlvs=(
                    (Tag.USER_MESSAGE_REFERENCE, b"\xbe\xef"),
                    (Tag.SOURCE_PORT, b"\x0b\x84"),
                    (0x1401, b"vendor"),
                ),
            ),
            6,
        ),
    ),
    (
        """
        00000021 80000004 00000000 00000005
        3031323334353637383961626364656600
        """,
        Pdu(SubmitSmResponse(message_id="0123456789abcdef"), 5),
    ),
    # refused: no body
    (
        "00000010 80000004 00000058 00000006",
        Pdu(SubmitSmResponse(), 6, Status.THROTTLED),
    ),
    # refused, and said why
    (
        """
        00000025 80000004 00000045 00000006
        00
        001d 0010 6e6f2073756368206361727269657200
        """,
        Pdu(SubmitSmResponse(tlvs=((Tag.STATUS_TEXT, b"no such carrier\x00"),)), 6, Status.SUBMIT_FAILED),
    ),
    # a delivery receipt
    (
        """
        000000bc 00000005 00000000 00000007
        00 01 01 34343737303039303031323300 05 00 4d79436f6d70616e7900 04 00 00 00 00 00 00 00 00 6b69643a30
        313233343536373839207375623a30303120646c7672643a303031207375626d697420646174653a32363131323131323030
        20646f6e6520646174653a3236313132313132303120737461743a44454c49565244206572723a30303020746578743a4865
        6c6c6f
        001e 000b 3031323334353637383900
        0427 0001 02
        0423 0003 030000
        """,
        Pdu(
            DeliverSm(
                source_ton=1,
                source_npi=1,
                source="447700900123",
                destination_ton=5,
                destination="MyCompany",
                esm_class=4,
                short_message=b"id:0123456789 sub:001 dlvrd:001 submit date:2611211200 done date:2611211201 "
                b"stat:DELIVRD err:000 text:Hello",
                tlvs=(
                    (Tag.RECEIPTED_MESSAGE_ID, b"0123456789\x00"),
                    (Tag.MESSAGE_STATE, b"\x02"),
                    (Tag.NETWORK_ERROR_CODE, b"\x03\x00\x00"),
                ),
            ),
            7,
        ),
    ),
    (
        """
        00000011 80000005 00000000 00000007
        00
        """,
        Pdu(DeliverSmResponse(), 7),
    ),
    (
        """
        00000042 00000103 00000000 00000008
        00 01 01 34343737303039303030303000 01 01 34343737303039303031323300 00 01 00
        0424 000c 496e2061207061796c6f6164
        """,
        Pdu(
            DataSm(
                source_ton=1,
                source_npi=1,
                source="447700900000",
                destination_ton=1,
                destination_npi=1,
                destination="447700900123",
                registered_delivery=1,
                tlvs=((Tag.MESSAGE_PAYLOAD, b"In a payload"),),
            ),
            8,
        ),
    ),
    (
        """
        00000018 80000103 00000000 00000008
        373700
        0425 0001 03
        """,
        Pdu(DataSmResponse(message_id="77", tlvs=((Tag.DELIVERY_FAILURE_REASON, b"\x03"),)), 8),
    ),
    # an address and a list
    (
        """
        0000004b 00000021 00000000 00000009
        00 05 00 4d79436f6d70616e7900 020101013434373730303930303132330002667269656e647300 00 00 00 00 00 00
        00 00 00 0a48656c6c6f2c20616c6c
        """,
        Pdu(
            SubmitMulti(
                source_ton=5,
                source="MyCompany",
                destinations=(Address(ton=1, npi=1, value="447700900123"), "friends"),
                short_message=b"Hello, all",
            ),
            9,
        ),
    ),
    (
        """
        00000027 80000021 00000000 00000009
        373800 010101343437373030393030313233000000000b
        """,
        Pdu(
            SubmitMultiResponse(
                message_id="78",
                unsuccessful=(Unsuccessful(Address(ton=1, npi=1, value="447700900123"), Status.INVALID_DESTINATION),),
            ),
            9,
        ),
    ),
    (
        """
        00000022 00000003 00000000 0000000a
        373700 01 01 34343737303039303030303000
        """,
        Pdu(QuerySm(message_id="77", source_ton=1, source_npi=1, source="447700900000"), 10),
    ),
    (
        """
        00000026 80000003 00000000 0000000a
        373700 3236313132313132303035393030302b00 02 00
        """,
        Pdu(QuerySmResponse(message_id="77", final_date="261121120059000+", message_state=2), 10),
    ),
    # without a final_date: one NULL
    (
        """
        00000016 80000003 00000000 0000000a
        373700 00 01 00
        """,
        Pdu(QuerySmResponse(message_id="77", message_state=1), 10),
    ),
    (
        """
        00000032 00000008 00000000 0000000b
        00 373700 01 01 34343737303039303030303000 01 01 34343737303039303031323300
        """,
        Pdu(
            CancelSm(
                message_id="77",
                source_ton=1,
                source_npi=1,
                source="447700900000",
                destination_ton=1,
                destination_npi=1,
                destination="447700900123",
            ),
            11,
        ),
    ),
    (
        "00000010 80000008 00000000 0000000b",
        Pdu(CancelSmResponse(), 11),
    ),
    (
        """
        0000003d 00000007 00000000 0000000c
        373700 01 01 34343737303039303030303000 00 3030303030373030303030303030305200 01 00 06426574746572
        """,
        Pdu(
            ReplaceSm(
                message_id="77",
                source_ton=1,
                source_npi=1,
                source="447700900000",
                validity_period="000007000000000R",
                registered_delivery=1,
                short_message=b"Better",
            ),
            12,
        ),
    ),
    (
        "00000010 80000007 00000013 0000000c",
        Pdu(ReplaceSmResponse(), 12, Status.REPLACE_FAILED),
    ),
    (
        """
        0000002c 00000102 00000000 0000000d
        01 01 34343737303039303031323300 00 00 616c69636500
        0422 0001 00
        """,
        Pdu(
            AlertNotification(
                source_ton=1,
                source_npi=1,
                source="447700900123",
                esme="alice",
                tlvs=((Tag.MS_AVAILABILITY_STATUS, b"\x00"),),
            ),
            13,
        ),
    ),
    (
        """
        0000004c 00000111 00000000 0000000e
        43425300 05 00 4d79436f6d70616e7900 00 01 00 00 00 00 00
        0606 0005 004b656e74
        0601 0003 000033
        0604 0002 0003
        0605 0003 09001f
        0424 0004 5261696e
        """,
        Pdu(
            BroadcastSm(
                service_type="CBS",
                source_ton=5,
                source="MyCompany",
                priority_flag=1,
                tlvs=(
                    (Tag.BROADCAST_AREA_IDENTIFIER, b"\x00Kent"),
                    (Tag.BROADCAST_CONTENT_TYPE, b"\x00\x003"),
                    (Tag.BROADCAST_REP_NUM, b"\x00\x03"),
                    (Tag.BROADCAST_FREQUENCY_INTERVAL, b"\t\x00\x1f"),
                    (Tag.MESSAGE_PAYLOAD, b"Rain"),
                ),
            ),
            14,
        ),
    ),
    (
        """
        00000013 80000111 00000000 0000000e
        373900
        """,
        Pdu(BroadcastSmResponse(message_id="79"), 14),
    ),
    (
        """
        0000001f 00000112 00000000 0000000f
        373900 05 00 4d79436f6d70616e7900
        """,
        Pdu(QueryBroadcastSm(message_id="79", source_ton=5, source="MyCompany"), 15),
    ),
    (
        """
        00000026 80000112 00000000 0000000f
        373900
        0427 0001 01
        0606 0005 004b656e74
        0608 0001 64
        """,
        Pdu(
            QueryBroadcastSmResponse(
                message_id="79",
                tlvs=(
                    (Tag.MESSAGE_STATE, b"\x01"),
                    (Tag.BROADCAST_AREA_IDENTIFIER, b"\x00Kent"),
                    (Tag.BROADCAST_AREA_SUCCESS, b"d"),
                ),
            ),
            15,
        ),
    ),
    (
        """
        00000023 00000113 00000000 00000010
        43425300 373900 05 00 4d79436f6d70616e7900
        """,
        Pdu(CancelBroadcastSm(service_type="CBS", message_id="79", source_ton=5, source="MyCompany"), 16),
    ),
    (
        "00000010 80000113 00000000 00000010",
        Pdu(CancelBroadcastSmResponse(), 16),
    ),
)
