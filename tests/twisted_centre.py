"""A message centre that is not ours, as a program: smpp.twisted3 takes what is submitted, and receipts it.

Run with `python -P twisted_centre.py`, so that `smpp` is that package and not a folder of our own tests. It prints its
port, then a line of JSON for each submit_sm. What it does with one is in the last digit of the recipient:

    1  refuses it as throttled the first time
    2  refuses the recipient
    3  sends a message back instead of a receipt
    else it takes it, and receipts it as delivered
"""

import binascii
import itertools
import json
from typing import Any

from smpp.pdu.operations import DeliverSM  # type: ignore[import-untyped]
from smpp.pdu.pdu_types import (  # type: ignore[import-untyped]
    AddrNpi,
    AddrTon,
    CommandStatus,
    EsmClass,
    EsmClassMode,
    EsmClassType,
)
from smpp.twisted.config import SMPPServerConfig  # type: ignore[import-untyped]
from smpp.twisted.protocol import DataHandlerResponse  # type: ignore[import-untyped]
from smpp.twisted.server import SMPPServerFactory  # type: ignore[import-untyped]
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor as running_reactor
from zope.interface import implementer  # type: ignore[import-untyped]

reactor: Any = running_reactor  # its type knows nothing of what it does
SYSTEM_ID, PASSWORD = "chappe", "secret8c"
RECEIPT = EsmClass(EsmClassMode.DEFAULT, EsmClassType.SMSC_DELIVERY_RECEIPT)
PLAIN = EsmClass(EsmClassMode.DEFAULT, EsmClassType.DEFAULT)
numbers = itertools.count(0x00BC614E)
throttled: set[bytes] = set()


@implementer(ICredentialsChecker)
class Checker:
    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials: Any) -> str:
        if (credentials.username, credentials.password) != (SYSTEM_ID, PASSWORD):
            raise UnauthorizedLogin
        return SYSTEM_ID


@implementer(IRealm)
class Realm:
    def requestAvatar(self, avatar_id: str, mind: object, *interfaces: object) -> tuple[object, str, object]:
        return interfaces[0], avatar_id, lambda: None


def handle(_system_id: str, protocol: Any, pdu: Any) -> object:
    recipient = pdu.params["destination_addr"]
    print(
        json.dumps(
            {
                "command": type(pdu).__name__,
                "source": pdu.params["source_addr"].decode(),
                "recipient": recipient.decode(),
                "data": binascii.hexlify(pdu.params["short_message"]).decode(),
                "esm_class": str(pdu.params["esm_class"]),
                "data_coding": str(pdu.params["data_coding"]),
                "registered": str(pdu.params["registered_delivery"].receipt),
            }
        ),
        flush=True,
    )
    fate = recipient[-1:]
    if fate == b"1" and recipient not in throttled:
        throttled.add(recipient)
        return CommandStatus.ESME_RTHROTTLED
    if fate == b"2":
        return CommandStatus.ESME_RINVDSTADR
    number = next(numbers)
    if fate == b"3":
        reactor.callLater(0, deliver, protocol, pdu, PLAIN, b"Hello back")
    else:
        text = f"id:{number} sub:001 dlvrd:001 submit date:2611211200 done date:2611211201 stat:DELIVRD err:000 text:"
        reactor.callLater(0, deliver, protocol, pdu, RECEIPT, text.encode())
    return DataHandlerResponse(CommandStatus.ESME_ROK, message_id=f"{number:08X}".encode())


def deliver(protocol: Any, submitted: Any, esm_class: Any, text: bytes) -> None:
    """Send on a bind that receives. Answers that we are busy or gone are not this program's trouble."""
    receiver = protocol.factory.getBoundConnections(SYSTEM_ID).getNextBindingForDelivery()
    sent = receiver.sendDataRequest(
        DeliverSM(
            source_addr_ton=AddrTon.INTERNATIONAL,
            source_addr_npi=AddrNpi.ISDN,
            source_addr=submitted.params["destination_addr"],
            destination_addr=submitted.params["source_addr"],
            esm_class=esm_class,
            short_message=text,
        )
    )
    sent.addErrback(lambda failure: None)


def main() -> None:
    realm: Any = Realm()
    checker: Any = Checker()
    portal = Portal(realm)
    portal.registerChecker(checker)
    config = SMPPServerConfig(msgHandler=handle, systems={SYSTEM_ID: {"max_bindings": 4}})
    port = reactor.listenTCP(0, SMPPServerFactory(config, portal), interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run(installSignalHandlers=True)


if __name__ == "__main__":
    main()
