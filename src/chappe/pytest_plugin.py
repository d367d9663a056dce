"""The pytest plug-in: a fixture that runs chappe and lets a test read and answer what its code sends."""
