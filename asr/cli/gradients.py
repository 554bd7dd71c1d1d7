"""The command `asr report gradients`."""

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import tell
from asr.files import require_file


def gradients(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="Recording; only its first seconds are used.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PNG", help="Picture to write.")] = Path(
        "gradients.png"
    ),
    seconds: Annotated[float, typer.Option(min=0.1, max=60.0, help="Seconds of the recording to use.")] = 3.0,
) -> None:
    """Draw how far gradients reach back through time and layers, for every recurrent cell on one recording.

    On stdout: for each curve its gradient norm at the last frame, one second before it, and at the first frame.
    """
    from asr.figures.gradients import gradient_picture

    require_file(output)
    curves, frame = gradient_picture(output, audio, seconds=seconds)
    print("last frame\t1 s before\tfirst frame\tcurve")
    for curve in curves:
        second = curve.norms[-1 - round(1 / frame)] if len(curve.norms) > 1 / frame else float("nan")
        print(f"{curve.norms[-1]:.1e}\t{second:.1e}\t{curve.norms[0]:.1e}\t{curve.name}")
    tell(f"picture: {output}")
