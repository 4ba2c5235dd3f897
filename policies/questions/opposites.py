"""Lists of words that cannot stand for each other.

A line of `OPPOSITES` is one contest: "|" parts its sides, and a side's words are as good as each other. In the other
lists each line, or the whole, is one contest with a side for each member; a member has its names in several languages.
"""

from __future__ import annotations

from typing import Final

OPPOSITES: Final = """
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

KINDS: Final = """
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

DAYS: Final = """
monday montag lundi lunes lunedì segunda maandag|tuesday tue tues dienstag mardi martes martedì terça dinsdag|
wednesday wed mittwoch mercredi miércoles mercoledì quarta woensdag|
thursday thu thurs donnerstag jeudi jueves giovedì quinta donderdag|
friday fri freitag vendredi viernes venerdì sexta vrijdag|saturday samstag samedi sábado sabato zaterdag|
sunday sonntag dimanche domingo domenica zondag
"""
MONTHS: Final = """
january jan januar janvier enero gennaio janeiro januari|february feb februar février febrero febbraio fevereiro|
march märz marzo março maart|
april apr avril abril aprile|mai mayo maggio maio mei|
june jun juni juin junio giugno junho|
july jul juli juillet julio luglio julho|august aug août agosto augustus|
september sep sept septembre septiembre settembre setembro|october oct oktober octobre octubre ottobre outubro|
november nov novembre noviembre novembro|december dec dezember décembre diciembre dicembre dezembro
"""
TIMES: Final = "daily|weekly|monthly|yearly annual"
PLACES: Final = """
usa america american|uk britain british england english|scotland scottish|wales welsh|ireland irish|canada canadian|
australia australian|austria austrian|germany german|france french|spain spanish|italy italian|portugal portuguese|
netherlands dutch|belgium belgian|switzerland swiss|sweden swedish|norway norwegian|denmark danish|finland finnish|
poland polish|russia russian|ukraine ukrainian|turkey turkish|greece greek|egypt egyptian|israel israeli|iran iranian|
iraq iraqi|india indian|pakistan pakistani|bangladesh bangladeshi|china chinese|japan japanese|korea korean|
vietnam vietnamese|thailand thai|indonesia indonesian|malaysia malaysian|singapore|philippines filipino|nepal nepali|
brazil brazilian|mexico mexican|argentina argentinian|chile chilean|colombia colombian|peru peruvian|nigeria nigerian|
kenya kenyan|africa african|europe european|asia asian
"""
