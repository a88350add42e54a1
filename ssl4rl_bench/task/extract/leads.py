"""Patterns of words that an answer may follow directly, such as "Sorry, I meant", "not A but" and "So".

They are regular expressions as strings, for `statements` (letters) and `free` (open answers). A match ends
where the answer begins.
"""

from __future__ import annotations

CORRECTED = (
    r"(?:\b(?:i meant?|make that|wait,? (?:no|sorry|actually)|(?:no|hmm|oh),? wait|correction|scratch that"
    r"|sorry|actually"
    r"|on second thoughts?|oops|whoops|rather|instead|hmm|i misspoke|i was wrong|my mistake|my bad"
    r"|strike that"
    r"|i take (?:it|that) back|apologies|i apologi[sz]e|actually,? no)\b|\b(?:edit|update"
    r"|revision)\b[^:.\n]{0,40}:"
    r"|(?:\A|(?<=[.!?\n…。，,—–-]))\s{0,2}(?:no|nope)\b(?!\n)"
    r"|等等|不对|错了|更正|纠正|应改为|应该是|我(?:错|说错)了|其实是?|而是|口误|抱歉)"
    r"(?:[ \t,.:;!，：。！…—–]|-(?!\d)){0,4}"
    r"(?:(?:no|sorry|wait|it|its|it['’]s|that['’]s|is|should be|has to be|must be|make that|i meant?|rather"
    r"|actually|instead"
    r"|to say|the|correct|right|answer|option|choice|letter|then|so|than)(?![a-z])[ \t,.:;，：]{0,3}"
    r"|(?:应该是|应该|是|选)[ \t，：]{0,3}){0,8}+"
)
INSTEAD = (
    r"(?<![a-z])(?:(?:is|was|be|choose|select|pick)\s(?:clearly\s)?not|isn['’]t|can['’]t be|cannot be"
    r"|not)\s(?!only|sure|certain)"
    r"[^.;?!\n]{1,60}?[,;.]?\s?(?:but|it is|it['’]s|rather)(?:\s(?:rather|it is|is|option|choice|instead"
    r"|actually)){0,3}\s"
    r"|不是[^。；，\n]{1,20}[，,]?(?:而?是)"
)
CONCLUDED = (
    r"(?:\A|(?<=[\n.!?;。！？；…,，]))[\s*_#>-]{0,6}"
    r"(?:so|thus|hence|therefore|then|ergo|clearly|obviously|in short|in summary|in conclusion|to sum up"
    r"|to conclude"
    r"|tl;dr|bottom line"
    r"|i(?: am|['’]m) (?:\w+ )?(?:sure|certain|confident)(?: that)?|tells? me(?: that)?|[→⇒➔➡]|[-=]>"
    r"|i (?:think|guess"
    r"|believe|say|would say|vote|answer)|i['’]d say|my (?:guess|pick|vote|choice)"
    r"|most likely|likely|probably|final(?:ly)?|conclusion|result|verdict|因此|所以|故|综上(?:所述)?)"
    r"[\s,:，：-]{0,3}(?:(?:it|it['’]s|that['’]s|this|that|is|would be|must be|be|option|choice|letter|the"
    r"|clearly|only"
    r"|most likely|likely|probably|definitely)(?![a-z])[\s,:]{0,3}){0,6}+"
)
