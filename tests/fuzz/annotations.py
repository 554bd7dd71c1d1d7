"""Annotation files and lists to damage, of each format that `asr prepare` reads as a text."""

SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>ab</i> [x]\n{\\an8}é\n\n2\n00:00:03,250 --> 00:00:04,000\n♪ a ♪ b\n"
VTT = """WEBVTT

NOTE x

a
00:01.000 --> 00:02.500 align:start
<v Anna>ab &amp; b</v>

00:00:03.000 --> 00:00:04.000
ab
é<00:00:03.500><c> b</c>
"""
LABELS = "0.500000\t1.250000\tab\n\\\t10.0\t20.0\n1,500000\t2,250000\té b\n"
WHOLE_NUMBERS = "0 4000 ab\n4000 9000 é b\n"
ELAN = "".join(
    f"tx@A\tA\t00:00:0{n}.250\t{n}.25\t{n}250\t00:00:0{n}.500\t{n}.5\t{n}500\t00:00:00.250\t0.25\t250\tab é\n"
    for n in range(3)
)
ELAN_HEADER = (
    '"#file:///C:/a.wav -- offset: 5"\nBegin Time - hh:mm:ss.ms\tEnd Time - hh:mm:ss.ms\ttx\tft\n'
    "00:00:01.000\t00:00:02.000\tab\té\n"
)
STM = ";; c\na 1 anna 0.00 1.50 <o> { ab / b / @ } (%x) [n] a(2)\nb 1 inter_segment_gap 2.0 3.0 x\n"
TRS = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE Trans SYSTEM "trans-14.dtd">
<Trans audio_filename="a"><Speakers><Speaker id="s1" name="Anna"/></Speakers>
<Episode><Section type="report" startTime="0" endTime="4"><Turn speaker="s1" startTime="0" endTime="4">
<Sync time="0"/>
ab <Event desc="x" type="noise" extent="instantaneous"/> é
<Sync time="2.5"/><Who nb="1"/>
b<Who nb="2"/>a
</Turn></Section></Episode></Trans>
"""
FLEXTEXT = """<?xml version="1.0" encoding="utf-8"?>
<document version="2"><interlinear-text guid="g"><paragraphs><paragraph><phrases>
<phrase begin-time-offset="500" end-time-offset="1750" media-file="m" speaker="A"><item type="txt" lang="x">ab</item>
<words><word><item type="txt" lang="x">ab</item></word><word><item type="punct" lang="x">.</item></word></words>
<item type="gls" lang="en">I</item></phrase>
<phrase begin-time-offset="2000" end-time-offset="3000"><words><word><item type="txt" lang="x">é</item></word></words>
</phrase></phrases></paragraph></paragraphs>
<media-files offset-type="milliseconds"><media guid="m" location="file:///a.wav"/></media-files>
</interlinear-text></document>
"""
EXB = """<?xml version="1.0" encoding="UTF-8"?>
<basic-transcription><head><meta-information><referenced-file url="a.wav"/></meta-information>
<speakertable><speaker id="S0"><abbreviation>A</abbreviation></speaker></speakertable></head>
<basic-body><common-timeline><tli id="T0" time="0.5"/><tli id="T1"/><tli id="T2" time="3.0"/></common-timeline>
<tier id="TIE0" speaker="S0" category="v" type="t"><event start="T0" end="T1">a ((x)) </event>
<event start="T1" end="T2">b</event></tier></basic-body></basic-transcription>
"""
CHAT = """@UTF8
@Begin
@Participants:\tCHI Ross Target_Child , MOT Mother
@Media:\ta, audio
*CHI:\tab [: b] <a é> [x 2] &-um (b)a b@c +...
\t\x15100_500\x15
%eng:\tab
*MOT:\txxx (.) 0b . \x15600_900\x15
@End
"""
LIST = "a\tab é\nb\tb\n"
LIST_OF_FOUR = "./a.wav|AB|ab|1.5\n./b.wav|É B|é b|2.5\n"
FESTVOX = '( a "ab é" )\n( b "b" )\n'
FAIRSEQ = "/data\na.wav\t2400\n"
SUPERVISION = '{"id": "s", "recording_id": "a", "start": 0.5, "duration": 1, "channel": 0, "text": "ab"}\n'
