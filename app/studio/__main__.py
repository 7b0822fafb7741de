"""``python -m app.studio``: the studio in the browser, on this machine.

Where the project is another folder than the current one, ``MOFANG_PROJECT`` names it. The studio
listens to other machines, and answers to other names, only where people log in (docs/studio.md).
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.studio.project_files import VARIABLE, Project
from pipeline.errors import DataError, MofangError, ParamsError
from pipeline.i18n import _
from pipeline.quiet import be_quiet

HOST, PORT = "127.0.0.1", 8501
LARGEST_UPLOAD = 50  # MB
OWN_NAMES = ("localhost", "127.0.0.1", "::1")
CODE = Path(__file__).parents[2]
SECRETS = Path(".streamlit/secrets.toml")


def main(arguments: Sequence[str] | None = None) -> None:
    """Become Streamlit, with the settings that the studio needs."""
    parser = argparse.ArgumentParser(
        prog="python -m app.studio", description=str(_("The studio, in the browser."))
    )
    parser.add_argument("--host", default=HOST, help=str(_("the address to listen at")))
    parser.add_argument("--port", type=int, default=PORT, help=str(_("0 takes a free one")))
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help=str(_("a name that browsers call it by, behind a proxy; can be repeated")),
    )
    given = parser.parse_args(arguments)
    try:
        project = Project.here()
        refuse_no_project(project)
        refuse_open_door(given.host, given.name, project)
    except MofangError as error:
        sys.exit(str(error))
    be_quiet()
    os.chdir(project.root)
    os.environ[VARIABLE] = str(project.root)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(CODE), os.environ.get("PYTHONPATH")))
    )
    command = streamlit(given.host, given.port, given.name)
    os.execv(command[0], command)  # noqa: S606 - an argument list, and no shell


def streamlit(host: str, port: int, names: Sequence[str]) -> list[str]:
    """Return the command that serves the studio; flags win over any ``config.toml``."""
    settings = {
        "server.address": host,
        "server.port": port,
        "server.headless": "true",
        "server.enableCORS": "true",
        "server.enableXsrfProtection": "true",
        "server.maxUploadSize": LARGEST_UPLOAD,
        "server.fileWatcherType": "none",
        "server.enableStaticServing": "false",
        "server.enableAgentApi": "false",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "client.toolbarMode": "minimal",
        "client.disableDataExport": "true",
        "runner.magicEnabled": "false",
        "runner.postScriptGC": "false",  # Python does it when it has to; a whole one takes 60 ms
        "global.developmentMode": "false",
        "theme.base": "light",
        "theme.primaryColor": "#0b5cad",
        "theme.textColor": "#111111",
        "theme.baseFontSize": 15,
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    flags += [f"--server.allowedHosts={name}" for name in sorted({*OWN_NAMES, *names, host})]
    page = Path(__file__).with_name("main.py")
    # -P: no module of the project's folder takes the place of one of the studio's.
    return [sys.executable, "-P", "-m", "streamlit", "run", str(page), *flags]


def refuse_no_project(project: Project) -> None:
    """Refuse a folder that is no project.

    :raises DataError: if there are no stages.
    """
    if not project.graph.is_file():
        raise DataError.at(
            project.root,
            found=_("no dvc.yaml"),
            allowed=_("the folder of a project"),
            fix=_("Start the studio in the project's folder, or name it in MOFANG_PROJECT."),
        )


def refuse_open_door(host: str, names: Iterable[str], project: Project) -> None:
    """Refuse to let everybody in from other machines.

    :raises ParamsError: if no login is set up and not only this machine can come in.
    """
    foreign = [one for one in (host, *names) if not is_own(one)]
    if foreign and not has_login(project):
        raise ParamsError.at(
            "--host, --name",
            found=", ".join(foreign),
            allowed=_("127.0.0.1 as long as nobody has to log in"),
            fix=_("Set up the login in .streamlit/secrets.toml (docs/studio.md), or leave it out."),
        )


def is_own(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def has_login(project: Project) -> bool:
    """Return whether ``secrets.toml`` sets up a login, as ``st.login`` wants it."""
    try:
        content = tomllib.loads((project.root / SECRETS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    auth = content.get("auth")
    if not isinstance(auth, dict) or not (auth.get("redirect_uri") and auth.get("cookie_secret")):
        return False
    providers = [auth, *(one for one in auth.values() if isinstance(one, dict))]
    return any(one.get("client_id") and one.get("server_metadata_url") for one in providers)


if __name__ == "__main__":
    main()
