"""The whole loop of the page with the real service: record, transcribe, correct, train, and transcribe again."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, served, spell, train_config
from pympi.Elan import Eaf

from asr.corpus.manifest import read_manifest, write_manifest
from asr.training.train import train

pytest.importorskip("fastapi", reason="needs the extra serve")

# What the speaker says. The first model learned to write "k" for "c", so the words with "c" need a correction.
SPOKEN = ["ab", "acb", "ba", "cab", "aab", "bba", "bc", "abab", "baa", "ccb", "bb", "aba", "abc", "bab", "aa", "abba"]
CORRECTED = [text for text in SPOKEN if "c" in text]
PAUSE = 0.8  # seconds
SLOWLY = 240_000  # ms that a step may take: a machine may be busy


def misspelt(tones: Path, folder: Path) -> Path:
    """Write the corpus of tones with "k" for "c"."""
    folder.mkdir()
    for name in ("train.jsonl", "validation.jsonl"):
        utterances = read_manifest(tones / name)
        write_manifest(folder / name, [replace(one, text=(one.text or "").replace("c", "k")) for one in utterances])
    return folder


@pytest.mark.slow
def test_the_loop(chromium: Callable[..., Any], tones: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    train(train_config(misspelt(tones, tmp_path / "misspelt")), tmp_path / "runs" / "first")
    generator = np.random.default_rng(5)
    pause = [0.003 * generator.standard_normal(round(PAUSE * RATE)) for _ in SPOKEN]
    words = [spell(text, generator) for text in SPOKEN]
    sound = np.concatenate([part for both in zip(pause, words, strict=True) for part in both])
    silence = 0.003 * generator.standard_normal(60 * RATE)
    soundfile.write(tmp_path / "speaker.wav", np.concatenate([sound, silence]), RATE, subtype="PCM_16")
    folder = tmp_path / "village"
    folder.mkdir()
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    browser = chromium(*flags, f"--use-file-for-fake-audio-capture={tmp_path / 'speaker.wav'}%noloop")
    with served(tmp_path / "runs" / "first", "--data", folder) as service:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(SLOWLY)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(service.url)

        page.get_by_role("button", name="Record", exact=True).click()
        page.locator("button.recording").wait_for()
        page.wait_for_timeout(1000 * (len(sound) / RATE + 1))
        page.locator("button.recording").click()
        page.get_by_text("One recording added.").wait_for()
        (recording,) = folder.glob("*.wav")
        page.get_by_role("button", name=re.compile("^Transcribe ")).first.click()
        page.get_by_text("Transcribed.", exact=True).wait_for()

        page.locator("#view a[href*='#/edit/']").first.click()
        fields = page.locator("ol.segments textarea")
        fields.first.wait_for()
        drafts = [field.input_value() for field in fields.all()]
        assert drafts == [text.replace("c", "k") for text in SPOKEN]
        fields.first.focus()
        for text, draft in zip(SPOKEN, drafts, strict=True):
            field = page.locator("ol.segments textarea:focus")
            assert field.input_value() == draft
            if draft != text:
                page.keyboard.press("Control+A")
                page.keyboard.type(text)
            page.keyboard.press("Enter")
        page.keyboard.press("Control+S")
        page.get_by_text("16 of 16 checked").wait_for()
        page.get_by_text("Saved", exact=True).wait_for()
        eaf = Eaf(str(recording.with_suffix(".eaf")))
        tiers = [eaf.get_annotation_data_for_tier(name) for name in eaf.get_tier_names()]
        assert [text for *_, text in max(tiers, key=len)[: len(SPOKEN)]] == SPOKEN
        lines = read_manifest(folder / "checked.jsonl")
        assert [line.text for line in lines] == SPOKEN and len(CORRECTED) == 5

        page.get_by_role("link", name="Train", exact=True).click()
        page.get_by_role("button", name="Look at the data").click()
        page.get_by_role("heading", name="What was found").wait_for()
        page.get_by_label("Other:").check()
        page.get_by_label("minutes", exact=True).fill("0.5")
        page.get_by_role("button", name="Train", exact=True).click()
        page.locator(".charts svg").first.wait_for()
        page.reload()  # closing the page changes nothing
        page.get_by_role("heading", name="Training has finished").wait_for()
        page.get_by_role("link", name=re.compile("^Transcribe with ")).click()

        model = page.get_by_label("Model").input_value()
        assert model != "first"
        soundfile.write(tmp_path / "another talk.wav", spell("cab", generator), RATE, subtype="PCM_16")
        page.locator("input[type=file]").first.set_input_files(tmp_path / "another talk.wav")
        page.get_by_role("button", name="Transcribe another talk.wav").click()
        page.get_by_text("Transcribed.", exact=True).wait_for()
        opened = page.request.get(f"{service.url}/api/documents/another%20talk.wav").json()
        assert opened["model"] == model
        assert errors == []
