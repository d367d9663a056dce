"""The north doors: how applications reach the gateway. Each one ends in gateway.submission."""
