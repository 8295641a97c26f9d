"""``serve``: the page on which people are dressed."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

import click

from commands.common import note, tell_own
from commands.options import SizeType, WeightsType, device_option, frame_option
from commands.photo_options import map_finder, photo_options, pose_finder

ANY = ("0.0.0.0", "::")
LOCAL = ("127.0.0.1", "localhost", "::1")


@click.command()
@click.argument("weights", type=WeightsType(), default="drawn")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder in Dress Code's layout whose test people fill the gallery.",
)
@click.option(
    "--size",
    "size_hw",
    type=SizeType(32),
    help="Height x width at which the network works, in pixels.  [default: as it was trained, or "
    "512x384]",
)
@device_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address or name to listen on; others than this machine's own open the page to the "
    "network.",
)
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="Name under which others may call the page, beside numeric addresses; may be repeated.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes any that is free.",
)
@click.option(
    "--queue",
    "capacity",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="People that may wait; more are told to come back.",
)
@click.option(
    "--max-upload",
    type=click.FloatRange(0.1, 64),
    default=12,
    show_default=True,
    help="Largest picture that may be uploaded, in MB.",
)
@click.option(
    "--max-pixels",
    type=click.FloatRange(0.1, 50),
    default=24,
    show_default=True,
    help="Largest picture that may be uploaded, in millions of pixels.",
)
@photo_options
@frame_option
def command(
    weights: Path,
    data: Path | None,
    size_hw,
    device,
    host: str,
    allowed: tuple[str, ...],
    port: int,
    capacity: int,
    max_upload: float,
    max_pixels: float,
    parser,
    dense_model,
    guess: bool,
    mediapipe_python,
    frame,
) -> None:
    """Open a page in the browser to dress people with WEIGHTS: from the gallery, or photos of your
    own.

    Without WEIGHTS, with those that come with the program (drawn), trained on drawn people alone.
    Nothing uploaded is kept. The page is for this machine alone unless --host says otherwise; then
    the printed address holds a token, without which nobody is let in.

    Example:

      fittingroom serve runs/first/best.pt --data DressCode
    """
    try:
        import uvicorn

        from model.page.app import build_app
        from model.page.connections import PatientProtocol
    except ImportError as error:
        extra = "Install the page's extra: pip install '.[demo]'"
        raise click.ClickException(f"{error.name} is missing. {extra}") from None
    from model.page.studio import Studio
    from model.tryon.predictor import TryOn

    find_pose = pose_finder(mediapipe_python)
    try:
        predictor = TryOn.load(weights, device, frame=frame)
        tell_own(weights)
        studio = Studio(
            predictor,
            data,
            find_pose=find_pose,
            parser=map_finder(parser, "label_map", guess),
            dense_finder=map_finder(dense_model, "dense", guess),
            network_hw=size_hw or predictor.network_hw,
            most_pixels=int(max_pixels * 1e6),
        )
        studio.warm_up()
        local = host in LOCAL
        token = "" if local else secrets.token_urlsafe(16)
        app = build_app(
            studio,
            capacity=capacity,
            hosts=(*LOCAL, *({host.lower()} - set(ANY)), *(name.lower() for name in allowed)),
            addresses=not local,
            token=token,
            most_bytes=int(max_upload * (1 << 20)),
        )
        with _listen(host, port) as place:
            number = place.getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            click.echo(f"http://{shown}:{number}/" + f"?token={token}" * bool(token))
            note(f"{len(studio.people):,} people in the gallery; Ctrl+C ends it.")
            if find_pose is None:
                note("Photos of your own need MediaPipe: scripts/setup_photo.sh sets it up.")
            if not local:
                note("Whoever has this address can use the page; nothing is encrypted.")
            config = uvicorn.Config(
                app,
                http=PatientProtocol,
                log_level="error",
                server_header=False,
                limit_concurrency=1024,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=5,
            )
            uvicorn.Server(config).run(sockets=[place])
    finally:
        if find_pose is not None:
            find_pose.close()


def _listen(host: str, port: int) -> socket.socket:
    """A socket on that address; an OSError names it."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(
            f"{host}:{port}: {reason}. Choose another --port or --host."
        ) from None
