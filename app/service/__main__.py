"""``python -m app.service``."""

from app.service.main import main

if __name__ == "__main__":
    main()
