"""`asr report gradients`."""

from pathlib import Path
from typing import Annotated

import typer


def gradients(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A recording; its first seconds are taken.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture, a PNG file.")] = Path("gradients.png"),
    seconds: Annotated[float, typer.Option(min=0.1, max=60.0, help="How much of the recording.")] = 3.0,
) -> None:
    """Draw how far gradients reach back through time and layers, for every recurrent cell on one recording.

    On stdout: each curve's norm at the last frame, one second before, and at the first frame.
    """
    import sys

    import torch

    from asr.audio import load_audio
    from asr.features import LogMel
    from asr.figures.gradients import gradient_picture

    front_end = LogMel(sample_rate=16000)
    samples = torch.from_numpy(load_audio(audio, front_end.sample_rate, duration=seconds, allow_short=True))
    features, _ = front_end(samples[None], torch.tensor([len(samples)]))
    output.parent.mkdir(parents=True, exist_ok=True)
    frame = front_end.hop / front_end.sample_rate
    curves = gradient_picture(output, features[0], seconds_per_frame=frame)
    print("last frame\t1 s before\tfirst frame\tcurve")
    for curve in curves:
        second = curve.norms[-1 - round(1 / frame)] if len(curve.norms) > 1 / frame else float("nan")
        print(f"{curve.norms[-1]:.1e}\t{second:.1e}\t{curve.norms[0]:.1e}\t{curve.name}")
    print(f"picture: {output}", file=sys.stderr)
