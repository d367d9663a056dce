"""The working middle: it asks core to decide and store to remember. Every submission enters by gateway.submission."""
