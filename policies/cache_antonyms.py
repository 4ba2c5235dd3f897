"""Words that cannot stand for each other: opposites, and members of small sets (weekdays, months, units, colours).

A word belongs to a side of a contest; two questions are rivals in it where each takes a side that the other does not.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from policies.cache_units import DIMENSIONS, UNIT_OF
from policies.cache_words import stem


class Contest(IntEnum):
    """What kind of words take sides."""

    OPPOSITES = 0
    DATES = 1
    UNITS = 2
    PLACES = 3
    KINDS = 4


class Side(NamedTuple):
    """`contest` and the number of its set; `side` within that."""

    contest: Contest
    number: int
    side: int


_OPPOSITES: Final = """
enable activate unmute|disable deactivate mute
increase raise grow rise higher boost gain maximize|decrease reduce lower shrink decline minimize drop cut
upgrade|downgrade
buy purchase|sell
before prior within|after
import|export
upload|download
encrypt|decrypt
encode|decode
compress|decompress uncompress
serialize|deserialize
min minimum lowest least smallest fewest|max maximum highest most biggest largest
first earliest|last final latest
legal lawful|illegal unlawful
allow permit|forbid ban prohibit disallow
accept approve|reject decline refuse deny
accepted approved|rejected declined refused denied
include|exclude
join enter|leave exit quit
subscribe|unsubscribe
follow|unfollow
friend|unfriend
block|unblock
lock|unlock
install|uninstall
add insert|remove delete
create|delete destroy
grant|revoke
encourage|discourage
appear|disappear
agree|disagree
like|dislike
trust|distrust
connect|disconnect
assemble|disassemble
attach|detach
appoint|dismiss
hire|fire
employ|dismiss
inflate|deflate
accelerate|decelerate
ascend|descend
freeze|unfreeze
submit|retract
publish|unpublish
mount|unmount
deploy|undeploy
wrap|unwrap
pack|unpack
zip|unzip
tie|untie
checkin|checkout
login|logout
signin|signout
insured|uninsured
employed|unemployed
single|married
wholesale|retail
fixed|variable
gross|net
nominal|real
absolute|relative
clockwise|anticlockwise counterclockwise
client|host
read|write
local|remote
local|global
active|passive
prefix|suffix
precede|follow
multiplication|division
sum|difference
senior|junior
virtual|physical
online|instore
open|close shut
opening|closing
start begin|end finish
push|pull
win|lose
pass|fail
succeed success successful|fail failure unsuccessful
lend|borrow
send|receive
deposit|withdraw
credit|debit
income|expense
profit|loss
advantage benefit pro upside|disadvantage drawback con downside
best|worst
better|worse
good|bad
more|less fewer
improve|worsen damage harm
love|hate
alive|dead
true|false
hot|cold
warm|cool
wet|dry
fast quick rapid|slow
faster quicker|slower
big large|small little tiny
bigger larger|smaller
heavy|light
heavier|lighter
long|short
longer|shorter
tall|short
taller|shorter
high|low
young|old
younger|older
youngest|oldest
new|old
early|late
earlier|later
strong|weak
hard difficult|easy simple
harder|easier
cheap cheaper cheapest|expensive dearer
rich|poor
happy|sad
safe|dangerous unsafe
public|private
public|hide
internal|external
input|output
inbound incoming|outbound outgoing
domestic|international
online|offline
manual|automatic
mandatory compulsory required obligatory|optional voluntary
temporary|permanent
full|empty
full|part
home|abroad
home|business
positive|negative
plus|minus
multiply|divide
addition|subtraction
ascending|descending
asc|desc
horizontal|vertical
left|right
north|south
east|west
northern|southern
eastern|western
top|bottom
front|back
above over|below under
inside|outside
indoor|outdoor
male|female
man|woman
boy|girl
husband|wife
boyfriend|girlfriend
mother mom mum|father dad
son|daughter
brother|sister
uncle|aunt
king|queen
employer|employee
landlord|tenant
buyer|seller
teacher|student
parent|child
adult|child kid
puppy dog|kitten cat
client|server
frontend|backend
sender|recipient receiver
debtor|creditor
plaintiff|defendant
supply|demand
question|answer
cause|cure
married|divorced
synchronous sync|asynchronous async
mutable|immutable
symmetric|asymmetric
finite|infinite
odd|even
prime|composite
acid|base
introvert|extrovert
liberal|conservative
democrat|republican
majority|minority
major|minor
maternal|paternal
maternity|paternity
breakfast|lunch|dinner
day|night
morning|afternoon|evening|night
today|tomorrow|yesterday
past|future
summer|winter
spring|autumn
arrive arrival|depart departure
departing|arriving
inhale|exhale
float|sink
attack|defend
expand|contract
remember|forget
gained|lost
"""

_KINDS: Final = """
red blue green yellow black white orange purple pink brown grey
adult child teenager student senior member resident visitor employee contractor
beef chicken pork lamb fish vegetarian vegan
bachelor master phd
physics chemistry biology mathematics history geography
mercury venus mars jupiter saturn uranus neptune pluto
python java javascript typescript ruby rust kotlin php perl scala haskell c++ c#
windows macos linux ubuntu android ios
chrome firefox safari
postgresql mysql sqlite oracle mongodb
aws azure gcp
islam christianity hinduism buddhism judaism
muslim christian hindu buddhist jewish
"""

_DAYS: Final = """
monday montag lundi lunes lunedì segunda maandag|tuesday tue tues dienstag mardi martes martedì terça dinsdag|
wednesday wed mittwoch mercredi miércoles mercoledì quarta woensdag|
thursday thu thurs donnerstag jeudi jueves giovedì quinta donderdag|
friday fri freitag vendredi viernes venerdì sexta vrijdag|saturday samstag samedi sábado sabato zaterdag|
sunday sonntag dimanche domingo domenica zondag
"""
_MONTHS: Final = """
january jan januar janvier enero gennaio janeiro januari|february feb februar février febrero febbraio fevereiro|
march märz marzo março maart|
april apr avril abril aprile|mai mayo maggio maio mei|
june jun juni juin junio giugno junho|
july jul juli juillet julio luglio julho|august aug août agosto augustus|
september sep sept septembre septiembre settembre setembro|october oct oktober octobre octubre ottobre outubro|
november nov novembre noviembre novembro|december dec dezember décembre diciembre dicembre dezembro
"""
_TIMES: Final = "daily|weekly|monthly|yearly annual"
_PLACES: Final = """
usa america american|uk britain british england english|scotland scottish|wales welsh|ireland irish|canada canadian|
australia australian|austria austrian|germany german|france french|spain spanish|italy italian|portugal portuguese|
netherlands dutch|belgium belgian|switzerland swiss|sweden swedish|norway norwegian|denmark danish|finland finnish|
poland polish|russia russian|ukraine ukrainian|turkey turkish|greece greek|egypt egyptian|israel israeli|iran iranian|
iraq iraqi|india indian|pakistan pakistani|bangladesh bangladeshi|china chinese|japan japanese|korea korean|
vietnam vietnamese|thailand thai|indonesia indonesian|malaysia malaysian|singapore|philippines filipino|nepal nepali|
brazil brazilian|mexico mexican|argentina argentinian|chile chilean|colombia colombian|peru peruvian|nigeria nigerian|
kenya kenyan|africa african|europe european|asia asian
"""


def _contests() -> dict[str, frozenset[Side]]:
    found: dict[str, set[Side]] = {}
    tables = (
        (Contest.OPPOSITES, _OPPOSITES.strip().splitlines()),
        (Contest.DATES, [_joined(_DAYS), _joined(_MONTHS)]),
        (Contest.UNITS, ["|".join(_names(unit) for unit in line.split()) for line in DIMENSIONS]),
        (Contest.UNITS, [_TIMES]),
        (Contest.PLACES, [_joined(_PLACES)]),
        (Contest.KINDS, [line.replace(" ", "|") for line in _KINDS.strip().splitlines()]),
    )
    number = 0
    for contest, lines in tables:
        for line in lines:
            number += 1
            for side, words in enumerate(line.split("|")):
                for word in words.split():
                    found.setdefault(word, set()).add(Side(contest, number, side))
                    found.setdefault(stem(word), set()).add(Side(contest, number, side))
    return {word: frozenset(sides) for word, sides in found.items()}


def _joined(lines: str) -> str:
    return lines.replace("\n", "")


def _names(unit: str) -> str:
    """A unit's names that mean nothing else where there are no digits."""
    return " ".join(name for name, one in UNIT_OF.items() if one == unit and len(name) > 2)


SIDES: Final = _contests()
"""The sides that a word takes, by the word and by its stem."""

PARTICLES: Final = {
    word: Side(Contest.OPPOSITES, -1 - number, side)
    for number, pair in enumerate((("on", "off"), ("in", "out"), ("up", "down")))
    for side, word in enumerate(pair)
}
"""Sides that a small word takes beside one of `PHRASAL`, wherever that stands: "turn the light on"."""
PHRASAL: Final = frozenset(
    {"turn", "switch", "check", "log", "sign", "opt", "clock", "plug", "lock", "zoom", "scal", "power", "toggl", "roll"}
)

NEARNESS: Final = {
    word: Side(Contest.DATES, -9, side)
    for side, words in enumerate(("last past previous", "this current", "next coming following"))
    for word in words.split()
}
"""Sides that a word takes before one of `SPANS`: "last year", "this year"."""
SPANS: Final = frozenset({
    "year", "years", "month", "months", "week", "weeks", "weekend", "quarter", "season", "semester", "night", "summer",
    "winter", "spring", "autumn",
})  # fmt: skip
