"""Corpus readers of Transcriber, FLEx, EXMARaLDA and CHAT: files as these programs write them, and hostile ones."""

import time
from collections import Counter
from pathlib import Path

import pytest
from layouts import notes, read, rows, touch, write

from asr.corpus.prepare import prepare
from asr.corpus.readers import READERS
from asr.corpus.readers.chat_markup import NotTranscribed, spoken
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reading import reading

TRS = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE Trans SYSTEM "trans-14.dtd">
<Trans scribe="x" audio_filename="talk" version="4" version_date="040421">
<Topics><Topic id="to1" desc="news"/></Topics>
<Speakers>
<Speaker id="spk1" name="Anna Müller" check="no" dialect="native" accent="" scope="local"/>
<Speaker id="spk2" name="Ben" check="no" dialect="native" accent="" scope="local"/>
</Speakers>
<Episode>
<Section type="nontrans" startTime="0" endTime="1.5">
<Turn startTime="0" endTime="1.5">
<Sync time="0"/>

</Turn>
</Section>
<Section type="report" topic="to1" startTime="1.5" endTime="9">
<Turn speaker="spk1" mode="spontaneous" fidelity="high" channel="studio" startTime="1.5" endTime="5.25">
<Sync time="1.5"/>
été <Event desc="rire" type="noise" extent="instantaneous"/> à la
<Background time="2.5" type="music" level="high"/>
mer
<Sync time="3.5"/>
<Event desc="en" type="language" extent="begin"/>hello<Event desc="en" type="language" extent="end"/>
</Turn>
<Turn speaker="spk1 spk2" startTime="5.25" endTime="7">
<Sync time="5.25"/>
<Who nb="1"/>
oui
<Who nb="2"/>
non
</Turn>
<Turn speaker="spk2" startTime="7" endTime="9">
<Sync time="7"/>
[b] fin
</Turn>
</Section>
</Episode>
</Trans>
"""


def test_transcriber(tmp_path: Path) -> None:
    touch(tmp_path / "sound" / "talk.wav")
    write(tmp_path / "x.trs", TRS, "latin-1")
    assert read(tmp_path)[0] == "trs"
    assert rows(tmp_path) == [
        ("été à la mer", 1.5, 2.0, "Anna Müller"),
        ("hello", 3.5, 1.75, "Anna Müller"),
        ("fin", 7.0, 2.0, "Ben"),
    ]
    (said,) = notes(tmp_path)
    assert (
        "utterances of two speakers at once 1" in said
        and "Event rire 1" in said
        and "Background music 1" in said
        and "[b] 1" in said
    )


FLEXTEXT = """<?xml version="1.0" encoding="utf-8"?>
<document version="2">
  <interlinear-text guid="7ffa">
    <item type="title" lang="en">Story</item>
    <paragraphs>
      <paragraph guid="p1">
        <phrases>
          <phrase begin-time-offset="500" end-time-offset="1750" guid="f1" media-file="m1" speaker="Anna">
            <item type="txt" lang="qaa">ŋa mba.</item>
            <item type="segnum" lang="en">1</item>
            <words>
              <word guid="w1"><item type="txt" lang="qaa">ŋa</item><item type="gls" lang="en">I</item></word>
              <word guid="w2"><item type="txt" lang="qaa">mba</item><item type="gls" lang="en">go</item></word>
              <word><item type="punct" lang="qaa">.</item></word>
            </words>
            <item type="gls" lang="en">I go.</item>
            <item type="note" lang="en">checked</item>
          </phrase>
          <phrase begin-time-offset="2000" end-time-offset="3000" guid="f2" media-file="m1">
            <item type="segnum" lang="en">2</item>
            <words>
              <word guid="w1"><item type="txt" lang="qaa">ŋa</item></word>
              <word><item type="punct" lang="qaa">¿</item></word>
              <word guid="w2"><item type="txt" lang="qaa">ku</item></word>
              <word><item type="punct" lang="qaa">?</item></word>
            </words>
            <item type="gls" lang="en">Do I?</item>
          </phrase>
          <phrase guid="f3"><item type="txt" lang="qaa">no time</item></phrase>
        </phrases>
      </paragraph>
    </paragraphs>
    <media-files offset-type="milliseconds"><media guid="m1" location="file:///C:/Users/x/my%20story.wav"/></media-files>
  </interlinear-text>
</document>
"""


def test_flex(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path / "my story.wav", tmp_path / "other.wav")
    write(tmp_path / "x.flextext", FLEXTEXT)
    assert read(tmp_path) == (
        "flextext",
        {
            "": [
                ("x@0.500", "my story.wav", "ŋa mba.", 0.5, 1.25, "Anna"),
                ("x@2.000", "my story.wav", "ŋa ¿ku?", 2.0, 1.0, None),
            ]
        },
    )
    assert [text for text, *_ in rows(tmp_path, tier="gls-en")][:2] == ["I go.", "Do I?"]
    assert "1 annotation that spans no time" in caplog.text + "".join(notes(tmp_path))
    write(tmp_path / "x.flextext", FLEXTEXT.replace('"500"', '"' + "5" * 400 + '"'))
    with pytest.raises(SourceError, match=r"x.flextext:8: the time of a phrase, '5+' is not a time"):
        read(tmp_path)


EXB = """<?xml version="1.0" encoding="UTF-8"?>
<basic-transcription>
<head>
<meta-information><project-name>p</project-name><referenced-file url="talk.mpg"/><referenced-file url="talk.wav"/></meta-information>
<speakertable>
<speaker id="SPK0"><abbreviation>ANN</abbreviation><sex value="f"/></speaker>
<speaker id="SPK1"><abbreviation>BEN</abbreviation><sex value="m"/></speaker>
</speakertable>
</head>
<basic-body>
<common-timeline>
<tli id="T0" time="0.5"/><tli id="T1" time="1.25"/><tli id="T2"/><tli id="T3" time="3.0"/><tli id="T4" time="4.0"/>
</common-timeline>
<tier id="TIE0" speaker="SPK0" category="v" type="t" display-name="ANN [v]">
<event start="T0" end="T1">Guten Mor</event>
<event start="T1" end="T2">gen ((lacht)) • </event>
<event start="T2" end="T3">alle. </event>
<event start="T3" end="T4">Ja.</event>
</tier>
<tier id="TIE1" speaker="SPK1" category="v" type="t" display-name="BEN [v]"><event start="T1" end="T3">Hm </event></tier>
<tier id="TIE2" speaker="SPK0" category="en" type="a" display-name="ANN [en]"><event start="T0" end="T3">Morning</event></tier>
<tier id="TIE3" category="nn" type="d" display-name="[nn]"><event start="T0" end="T1">noise</event></tier>
</basic-body>
</basic-transcription>
"""  # noqa: E501  as the program writes it


def test_exmaralda(tmp_path: Path) -> None:
    """Events are joined inside a word, and where the point between them has no time."""
    touch(tmp_path / "talk.wav")
    write(tmp_path / "x.exb", EXB)
    assert read(tmp_path)[0] == "exb"
    assert rows(tmp_path) == [
        ("Guten Morgen alle.", 0.5, 2.5, "ANN"),
        ("Hm", 1.25, 1.75, "BEN"),
        ("Ja.", 3.0, 1.0, "ANN"),
    ]
    assert "((lacht)) 1, pauses • 1" in notes(tmp_path)[0]
    assert rows(tmp_path, tier="en@ANN") == [("Morning", 0.5, 2.5, "ANN")]
    write(tmp_path / "x.exb", EXB.replace('end="T4"', 'end="T9"').replace('time="3.0"', 'time="soon"'))
    with pytest.raises(SourceError, match=r"x.exb:12: 'soon' is not a time(.|\n)*x.exb:18: an event has no place"):
        read(tmp_path)


CHA = """@UTF8
@PID:\t11312/c-00016447-1
@Begin
@Languages:\teng, spa
@Participants:\tCHI Ross Target_Child , MOT Mother
@ID:\teng|MacWhinney|CHI|2;06.17|male|||Target_Child|||
@Media:\ttalk, audio
*CHI:\tI wanna [: want to] <go go> [/] go &-um (be)cause xyz@c +...
\t\x151000_2500\x15
%mor:\tpro|I v|wanna
%eng:\tI want to go
*MOT:\twhat's xxx ? \x152500_3000\x15
*MOT:\tno (.) no [x 2] &=laughs , sí@s:spa ! \x153000_4250\x15
*CHI:\tno time here .
@End
"""


def test_chat(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path / "media" / "talk.mp3")
    write(tmp_path / "020617.cha", CHA)
    format, splits = read(tmp_path)
    assert format == "chat" and [row[1:] for row in splits[""]] == [
        ("media/talk.mp3", "I wanna go go go um cause xyz", 1.0, 1.5, "Ross"),
        ("media/talk.mp3", "no no no, sí!", 3.0, 1.25, "MOT"),
    ]
    said = "".join(notes(tmp_path)) + caplog.text
    assert "lines with unintelligible speech (xxx) 1" in said and "[: …] 1" in said and "&=laughs 1" in said
    assert "1 annotation that spans no time" in said
    assert rows(tmp_path, tier="*MOT") == rows(tmp_path, tier="MOT") == [("no no no, sí!", 3.0, 1.25, "MOT")]
    assert rows(tmp_path, tier="%eng") == [("I want to go", 1.0, 1.5, "Ross")]
    write(tmp_path / "020617.cha", "@UTF8\n@Begin\n*CHI:\txxx \x151000_2500\x15\n")
    with pytest.raises(SourceError, match=r"holds no text that was spoken .* unintelligible speech \(xxx\) 1"):
        read(tmp_path)
    write(tmp_path / "020617.cha", CHA.replace("*MOT:\tno (.)", "no (.)"))
    with pytest.raises(SourceError, match=r"020617.cha:13: .* is no line of CHAT; begin it with @, \*SPEAKER:"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hello there .", "hello there."),
        ("&~ga &+fr friend &-uh .", "friend uh."),
        ("<I want> [//] <I need> [///] it [?] .", "I want I need it."),
        ("<one two> [x 3] three", "one two one two one two three"),
        ("<she <said> [!]> [>] \"yes\" +\"/.", "she said yes"),
        ("+< yeah [<] ‡ you &*MOT:hm know +/.", "yeah you know"),
        ("0is he 0 going (..) home (1.5) ?", "he going home?"),
        ("thank_you black+bird no:: wa^ter ˈban(an)a", "thank you blackbird no water bana"),
        ("gato@s:spa wug@c [*] [* m:+ed] dog [= toy] [=! laughing] [% com] [+ exc]", "gato wug dog"),
        ("[- spa] hola &{l=reads it &}l=reads .", "hola it."),
        ("“so” well, ⌈ok⌉ ↑then", "so well, ok then"),
        ("0 [=! cries] .", ""),
        ("it's 007 at 10:30 .", "it's 007 at 10:30."),
    ],
)  # fmt: skip
def test_marks_of_chat(line: str, words: str) -> None:
    assert spoken(line, Counter()) == words


@pytest.mark.parametrize("line", ["xxx .", "a yyy@s:eng b", "www", "a [x 99999999]", "so xxx.", "a" + " [x 20]" * 9])
def test_lines_of_chat_that_are_not_whole_are_not_used(line: str) -> None:
    with pytest.raises(NotTranscribed):
        spoken(line, Counter())


XML = {"x.trs": TRS.replace("ISO-8859-1", "UTF-8"), "x.flextext": FLEXTEXT, "x.exb": EXB}


@pytest.mark.parametrize("name", XML)
def test_xml_is_recognised_by_its_content(tmp_path: Path, name: str) -> None:
    for file in ("talk", "my story"):
        touch(tmp_path / f"{file}.wav")
    write(tmp_path / "x.xml", XML[name])
    assert read(tmp_path)[0] == Path(name).suffix[1:]


@pytest.mark.parametrize("name", XML)
def test_broken_xml_is_named_and_does_not_stop_the_others(tmp_path: Path, name: str) -> None:
    for file in ("talk", "my story"):
        touch(tmp_path / f"{file}.wav")
    write(tmp_path / name, XML[name])
    whole = rows(tmp_path)
    bad = tmp_path / f"bad{Path(name).suffix}"
    for content, message in (
        (XML[name][:900], "is not sound XML"),
        ("<?xml version='1.0'?><html/>", "is XML with the root <html>"),
        ("", "is not sound XML"),
    ):
        write(bad, content)
        with reading() as said:
            assert rows(tmp_path) == whole
        assert len(said.faults) == 1 and message in said.faults[0] and bad.name in said.faults[0]
        with pytest.raises(SourceError, match=message):
            prepare(bad, tmp_path / "out")


@pytest.mark.parametrize("name", XML)
def test_hostile_xml_is_refused_soon(tmp_path: Path, name: str) -> None:
    format = Path(name).suffix[1:]
    root = {"trs": "Trans", "flextext": "document", "exb": "basic-transcription"}[format]
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    for content, message in (
        (f'<!DOCTYPE {root} [<!ENTITY l0 "ha">{laughs}]><{root}>&l11;</{root}>', "an entity"),
        (f'<!DOCTYPE {root} SYSTEM "file:///etc/passwd"><{root}>&passwd;</{root}>', "an entity"),
        (f'<!DOCTYPE {root} [<!ENTITY x SYSTEM "file:///etc/passwd">]><{root}>&x;</{root}>', "an entity"),
        (f"<{root}>" + "<a>" * 100_000, "more than 100 elements inside each other"),
        (f'<?xml version="1.0" encoding="nonsense"?><{root}/>', "x[.]"),
    ):
        write(tmp_path / name, content)
        start = time.process_time()
        with pytest.raises(SourceError, match=message):
            READERS[format].read(tmp_path / name)
        assert time.process_time() - start < 5
