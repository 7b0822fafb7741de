"""The keeper of the service, in a hurry: a fall after a tenth of a second counts as a fall."""

import sys

from app.studio import keeper

keeper.SOON = keeper.FIRST = 0.1

if __name__ == "__main__":
    keeper.main(sys.argv[1:])
