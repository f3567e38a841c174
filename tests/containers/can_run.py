"""Whether this machine can run containers at all: starts an engine and a container, and says what is wrong."""

import sys

from engine import IMAGE, Engine

engine = Engine()
try:
    engine.ensure()
    print(engine.docker("run", "--rm", IMAGE, "--version"))
except (AssertionError, OSError, RuntimeError) as error:
    sys.exit(f"no container can run here: {error}")
