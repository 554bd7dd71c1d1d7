"""`asr doctor`."""

from pathlib import Path

from asr.errors import AsrError


def doctor() -> None:
    """Show versions and hardware, and test this installation.

    The test trains a small model on synthetic tones, in about 10 seconds; the first time takes longer, as code is
    compiled. Nothing is written but temporary files. The exit status is 1 if something that is needed does not work.
    """
    from asr.doctor import examine

    section, broken = "", []
    for finding in examine(Path()):
        if finding.section != section:
            print(f"{'' if not section else chr(10)}{finding.section}:", flush=True)
            section = finding.section
        print(f"  {finding.name:<15} {finding.text}", flush=True)
        if finding.broken:
            broken.append(finding.name)
    if broken:
        raise AsrError(f"does not work: {', '.join(broken)}")
