"""What stands around every page: who is there, the language, the run, and the way to the others.

Streamlit runs this file anew for every click; the pages are modules of ``views``.
"""

from __future__ import annotations

from app.studio.frame import main

main()
