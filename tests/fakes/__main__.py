import sys

from tests.fakes.server import main

sys.exit(main())
