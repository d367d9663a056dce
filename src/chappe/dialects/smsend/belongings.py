"""What an account keeps here besides messages: contacts and groups, blocked numbers, aliases, one-time codes and
subaccounts."""

from chappe.dialects.smsend.asking import Route

ROUTES: tuple[Route, ...] = ()
