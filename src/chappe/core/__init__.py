"""The decisions: records, contract, states, money, routes. Pure: instants arrive as arguments, no I/O."""
