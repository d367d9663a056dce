"""smsend.it and its family (Skebby, Aruba, Mobyt, Trendoo, TextAnywhere): a REST API of JSON behind two header keys.

Start reading at `routes.py`, the method table. `facts.py` holds every word and code once; both halves read it.
"""
