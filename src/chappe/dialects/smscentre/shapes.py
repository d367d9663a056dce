"""What answers look like: which members they have, in what order, in which format.

Names and order are the provider's as far as they were ever seen; what is inferred, recalled or our own choice bears the
word "ours". Figures such as 2.4 are paragraphs of docs/dialects/smscentre.md.
"""

# send.php, by cost: 2.4

SEND, PRICE, SEND_AND_PRICE, SEND_AND_BALANCE = range(4)  # 2.1
COSTS = {"": SEND, "0": SEND, "1": PRICE, "2": SEND_AND_PRICE, "3": SEND_AND_BALANCE}

MEMBERS = {  # in the order of the numbers and of JSON; that of PRICE in JSON is ours
    SEND: ("id", "cnt"),
    PRICE: ("cost", "cnt"),
    SEND_AND_PRICE: ("id", "cnt", "cost"),
    SEND_AND_BALANCE: ("id", "cnt", "cost", "balance"),
}
XML_MEMBERS = MEMBERS | {PRICE: ("cnt", "cost")}
LINES = {  # the balance in the last is ours
    SEND: "OK - {cnt} SMS, ID - {id}",
    PRICE: "{cost} ({cnt} SMS)",
    SEND_AND_PRICE: "OK - {cnt} SMS, ID - {id}, COST - {cost}",
    SEND_AND_BALANCE: "OK - {cnt} SMS, ID - {id}, COST - {cost}, BALANCE - {balance}",
}

# status.php, by `all`: 3.2

SHORT, FULL, WITH_NETWORK = range(3)  # 3.1
SHORT_NAMES = ("status", "last_date", "last_timestamp", "err")
FULL_NAMES = ("send_date", "send_timestamp", "phone", "cost", "sender_id", "status_name", "message", "comment")
NETWORK_NAMES = ("mccmnc", "country", "operator", "operator_orig", "region")
LAST_NAMES = ("type", "id", "sms_cnt")
NAMES = {  # in the order of JSON; beyond the first three it is ours
    SHORT: SHORT_NAMES,
    FULL: (*SHORT_NAMES, *FULL_NAMES, *LAST_NAMES),
    WITH_NETWORK: (*SHORT_NAMES, *FULL_NAMES, *NETWORK_NAMES, *LAST_NAMES),
}
SHORT_NUMBERS = ("status", "last_timestamp", "err")
NUMBERS = {  # the message stands last, because it may hold commas; where the network stands is ours
    SHORT: SHORT_NUMBERS,
    FULL: (*SHORT_NUMBERS, "send_timestamp", "phone", "cost", "sender_id", "status_name", "message"),
    WITH_NETWORK: (
        *(*SHORT_NUMBERS, "send_timestamp", "phone", "cost"),
        *("country", "operator", "region", "sender_id", "status_name", "message"),
    ),
}
DATES = {"send_timestamp": "send_date"}  # what a line of words tells in place of a number: ours

# get.php

MESSAGE_NAMES = (  # 4.7
    *("status", "last_date", "last_timestamp", "err", "send_date", "send_timestamp", "phone", "cost", "sender_id"),
    *("status_name", "message", "mccmnc", "country", "operator", "region", "type", "id", "int_id", "sms_cnt"),
)
LAST_VALUES = {"format": 0, "crc": ""}  # what is checked by `crc` is not known: ours

# The control value of a callback: 5.1

OF_STATUS = ("id", "phone", "status")
OF_INBOUND = ("phone", "mes", "to")
