"""Whether a question asks about everything: for a summary, or for all of a kind."""

from __future__ import annotations

import re

# A request begins a sentence or a clause; elsewhere the same word is what is asked about: "Who
# wrote the summary?", "When does the court resume?".
_BEGIN = r"(?:^|[.!?:;,\n¿¡«»\"“(]\s*)(?:{polite}[\s,]+)*"

# By language: words of politeness, and requests. Nothing here knows case.
_REQUESTS: dict[str, tuple[str, str]] = {
    "English": (
        r"please|kindly|now|then|and|also|just|first|can you|could you|would you|will you|i'?d like you"
        r" to|i want you to|i need you to|help me|try to|let'?s|briefly|in \w+ (?:words?|sentences?)",
        r"summari[sz]e\b|sum up\b|recap\b|condense\b|tl;?dr\b"
        r"|outline (?:the|this|these|that|all|every|each|its|main|key|what|how|it)\b"
        r"|(?:(?:give|write|make|provide|create|prepare|draft|produce|generate|show|do|get|i need|i want"
        r"|i'd like)(?: me| us)?(?: the)? )?(?:(?:an?|one|short|brief|quick|concise|executive|general|high-level"
        r"|detailed|[\w-]+-(?:sentence|word|page|line|paragraph))\s)*"
        r"(?:summary|overview|outline|synopsis|gist|digest|abstract)(?: (?:of|for|about|please)\b|\s*[.!:]?$)"
        r"|(?:what (?:is|are|were)|what's|list|give|state|name|tell|identify|explain|describe|extract)"
        r"(?: me| us)? (?:the |its |their |all |\w+ )?(?:"
        r"gist\b|(?:main|key|central|major|most important) (?:points|ideas|themes|topics|arguments|findings"
        r"|takeaways|conclusions|messages|facts)|(?:main|central|overall) (?:idea|theme|topic|message)s?\b)"
        r"|what (?:is|are|was) (?:this|these|it|the) ?(?:all )?(?:\w+ )?(?:documents?|texts?|books?|papers?"
        r"|files?|articles?|reports?)? ?(?:all )?about\b\W*$"
        r"|(?:list|enumerate|name|find|show|give|tell|extract|collect|identify|mention|get)(?: me| us)?"
        r" (?:all|every|each)\b|what are all\b"
        r"|.*\b(?:in|of|over|across|throughout|through) (?:the|this) (?:whole|entire) (?:documents?|texts?"
        r"|books?|papers?|files?|reports?)\b",
    ),
    "German": (
        r"bitte|kannst du(?: mir)?|können sie(?: mir)?|könntest du(?: mir)?|könnten sie(?: mir)?|und|jetzt|kurz",
        r"fass(?:e|en sie)?\b.*\bzusammen\b|resümiere\b|.*\bzusammen(?:zu)?fassen\W*$"
        r"|(?:(?:gib|geben sie|schreib|schreibe|erstelle|erstellen sie|mach|mache|ich brauche|ich möchte)"
        r"(?: mir| uns)? )?(?:(?:eine?n?|die|den|kurze?n?|knappe?n?|grobe?n?)\s)*"
        r"(?:zusammenfassung|überblick|übersicht|inhaltsangabe|abriss)(?: (?:der|des|von|über|vom|zu|bitte)\b"
        r"|\s*[.!:]?$)"
        r"|(?:worum|um was) geht(?: e|')?s(?: hier| eigentlich)?(?: in (?:diese[mn]|de[mn]) \w+)?\W*$"
        r"|(?:was sind|nenne|nennen sie)(?: mir)? die (?:wichtigsten|zentralen|wesentlichen) \w+"
        r"|(?:liste|listen sie|nenne|nennen sie|zähle|zählen sie|zeige|finde|gib|schreib)(?: mir| uns)?"
        r" (?:alle|jeden?|jedes|sämtliche)\b",
    ),
    "French": (
        r"s'il (?:te|vous) pla[iî]t|stp|svp|peux-tu|peux tu|pouvez-vous|pourrais-tu|pourriez-vous|et|maintenant"
        r"|me|nous|veuillez|merci de",
        r"résume[rz]?(?:-moi|-nous|-le)?\b|resume[rz]?(?:-moi|-nous)? (?:le|la|les|l'|ce|cet|cette|ces|moi)\b"
        r"|synthétise[rz]?\b"
        r"|(?:(?:fais|faites|donne[rz]?|écris|écrivez|rédige[rz]?|je veux|je voudrais|il me faut)"
        r"(?:-moi|-nous)? )?(?:(?:une?|le|la|bref|brève|court|courte|petit|rapide)\s)*"
        r"(?:résumé|synthèse|aperçu|vue d'ensemble|sommaire)(?: (?:bref|court|rapide))*"
        r"(?: (?:de|du|des|d'|sur)\b|\s*[.!:]?$)"
        r"|de quoi (?:parle|parlent|traite|traitent|s'agit)\b.{0,25}\W*$"
        r"|quel(?:le)?s sont les (?:principa(?:ux|les)|grand[es]*) (?:points|idées|thèmes|conclusions|sujets)"
        r"|(?:liste[rz]?|énumère[rz]?|énumérez|cite[rz]?|donne[rz]?|nomme[rz]?|trouve[rz]?)(?:-moi|-nous)?"
        r" (?:tous|toutes|chaque)\b",
    ),
    "Spanish, Portuguese": (
        r"por favor|puedes|podrías|puede|podría|pode|poderia|você pode|y|e|ahora|agora|me|brevemente",
        r"resúm[ea](?:me|nos|lo)?\b|resumir\b|resuma(?:me|-me|-o)?\b"
        r"|resume(?:me|nos|lo)? (?:el|la|los|las|este|esta|estos|estas|lo|todo|o|os|as|esse|esses|essa)\b"
        r"|sintetiza\b|sintetize\b"
        r"|(?:(?:haz|hazme|haga|dame|deme|danos|escribe|escríbeme|quiero|necesito|faça|faz|dê|dá|escreva|quero"
        r"|preciso de)(?:-me| me)? )?(?:(?:une?a?|um|el|o|breve|corto|pequeño|pequeno|curto)\s)*"
        r"(?:resumen|resumo|síntesis|síntese|visión general|visão geral|sinopsis)(?: (?:breve|corto|curto))*"
        r"(?: (?:de|del|dos?|das?|sobre)\b|\s*[.!:]?$)"
        r"|(?:de|sobre) (?:qué|que|o que) (?:trata|tratan|trata-se|tratam|es|é)\b.{0,25}\W*$"
        r"|(?:cuáles son|quais são) (?:los|las|os|as) (?:principales|principais) \w+"
        r"|(?:enumera|enumere|lista|liste|nombra|cita|cite|menciona|mencione|dime|muestra|mostre|encuentra)"
        r"(?:me|-me)? (?:todos|todas|cada)\b",
    ),
    "Italian": (
        r"per favore|puoi|potresti|può|potrebbe|e|ora|adesso|mi|brevemente|per piacere",
        r"riassumi(?:mi|lo|ci|amo)?\b|riassum(?:ere|a|ete)\b|sintetizza(?:re)?\b"
        r"|(?:(?:fai|fa'|fammi|dammi|dacci|scrivi|scrivimi|voglio|vorrei|mi serve) )?"
        r"(?:(?:un|una|il|la|breve|rapid[oa]|corto)\s)*(?:riassunto|sintesi|panoramica|sommario)"
        r"(?: breve)?(?: (?:di|del|dello|della|dei|degli|delle|dell'|su)\b|\s*[.!:]?$)"
        r"|di (?:che )?cosa (?:parla|parlano|tratta|trattano|si tratta)\b.{0,25}\W*$"
        r"|quali sono (?:i|le) (?:principali|punti|idee) \w+"
        r"|(?:elenca|elencami|elencare|lista|enumera|cita|nomina|trova|mostra|dimmi) (?:tutt[ie]|ogni)\b",
    ),
    "Dutch": (
        r"alsjeblieft|alstublieft|kun je|kunt u|kan je|en|nu|graag|kort",
        r"vat\b.*\bsamen\b|.*\bsamen(?:te)? ?vatten\W*$"
        r"|(?:(?:geef|schrijf|maak|ik wil|ik heb)(?: me| mij| ons)? )?(?:(?:een|de|het|korte?)\s)*"
        r"(?:samenvatting|overzicht)(?: (?:van|over)\b|\s*[.!:]?$)"
        r"|(?:waar gaat|waarover gaat|waar gaan)\b.{0,30}\bover\W*$"
        r"|(?:noem|som|lijst|toon|geef|vind)(?: me| mij)? (?:alle|elke|ieder)\b",
    ),
    "Polish, Czech": (
        r"proszę|prosím|czy możesz|możesz|i|teraz|a",
        r"podsumuj|streść|streszcz|shrň|shrnout"
        r"|(?:(?:zrób|napisz|podaj|udělej|napiš)(?: mi)? )?(?:krótkie |stručn[éý] )?"
        r"(?:podsumowanie|streszczenie|shrnutí|přehled)(?: \w+|\s*[.!:]?$)"
        r"|(?:wymień|wypisz|podaj|znajdź|vypiš|vyjmenuj|uveď) (?:wszystkie|wszystkich|każd\w+|všechny|všechna)\b",
    ),
    "Russian, Ukrainian": (
        r"пожалуйста|будь ласка|можешь|можете|и|теперь|кратко|мне|коротко|можеш",
        r"резюмируй(?:те)?\b|обобщи(?:те)?\b|подведи(?:те)? итог|суммируй(?:те)?\b|перескажи(?:те)?\b"
        r"|изложи(?:те)?\b|підсумуй(?:те)?\b|узагальни(?:ть)?\b"
        r"|(?:сделай|сделайте|дай|дайте|напиши|напишите|составь|составьте|зроби|дай)(?: мне)? (?:\w+ )?"
        r"(?:резюме|обзор|изложение|пересказ|выжимку|сводку|саммари|огляд|підсумок)"
        r"|(?:краткое содержание|краткий обзор|краткий пересказ|короткий зміст)\b"
        r"|(?:о чём|о чем|про що) (?:эт|данн|говор|ид[её]т|сам|ц)\w*.{0,25}\W*$"
        r"|(?:перечисли|перечислите|назови|назовите|найди|выпиши|выпишите|покажи|перелічи|назви)(?: мне)?"
        r" (?:все|всех|всё|каждый|каждую|усі|всі)\b",
    ),
    "Turkish": (
        r"lütfen|bana|bu belgeyi|belgeyi|metni|şu belgeyi|kısaca",
        r"özetle|.*\bözetle(?:yin|yiniz|r misin|r misiniz)?\W*$|.*\bözet(?:ini)? (?:çıkar|yaz|ver)"
        r"|.*\b(?:tüm|bütün|her)\b.*\b(?:listele|sırala)",
    ),
    "Arabic": (
        r"من فضلك|رجاء|رجاءً|هل يمكنك|يرجى",
        r"لخ[ّ]?ص|تلخيص|(?:أعطني|اكتب|قدم|قدّم) (?:ملخص|خلاصة|نبذة)|ملخص(?:ًا|ا)? (?:ل|عن|ال|هذ)"
        r"|(?:اذكر|عدد|عدّد|اسرد) (?:جميع|كل|كافة)",
    ),
    "Hindi": (
        r"कृपया|मुझे|इस|इसका|दस्तावेज़ का|दस्तावेज़ों का|इस दस्तावेज़ का",
        r"(?:संक्षेप|सारांश|सार)[^?]{0,20}(?:दें|दो|दीजिए|लिखें|लिखो|बताएं|बताओ|बताइए|करें|करो|प्रस्तुत)"
        r"|(?:सभी|सारे|सारी)\s.*(?:सूची|गिनाएं|बताएं|बताइए)",
    ),
}

# Scripts without spaces, and Korean: what is asked for is told by what stands beside it.
_UNSPACED = (
    r"(?:^|[。，、：:；！？,.!?\s请請]|帮我|幫我|给我|給我|为我|簡單|简要|简单|简短|一下|来|再|话|話|字)"
    r"(?:总结|總結|概括|概述|归纳|歸納|摘要|综述)(?!会|會|报告|報告|性|者|人|部分|的(?:日期|作者))"
    r"|(?:总结|總結|概括|概述|归纳)(?:一下|下)|(?:做|作|写|寫|给出|提供|生成)(?:一?[个份篇段個])?(?:简短|简要|的)*"
    r"(?:总结|總結|摘要|概述|概要)|进行(?:总结|概括|归纳)|(?:主要|大致)(?:内容|內容)(?:是什么|是什麼|有哪些|为何)?[？?。]*$"
    r"|(?:列出|列举|列舉|找出|说出|枚举|罗列)[^，。]{0,12}(?:所有|全部|每)|(?:所有|全部)[^，。]{0,20}(?:列出|列举|都有哪些)"
    r"|讲(?:的|了)(?:是)?什么[？?。]*$"
    r"|要約(?:して|せよ|しろ|し(?:なさい|ろ)|を?お願い|を?(?:作|書[いけ]|出し|示し|教え|くだ|下さ))|要約[。！!：:\s]*$"
    r"|(?:^|[、。\s]|を|で|に)まとめて(?:ください|下さい|くれ|ほしい|[。！!\s]*$)|(?:概要|あらすじ|要点)を?(?:教え|説明|述べ|書[いけ]|示し|まとめ)"
    r"|(?:すべて|全て|全部|全ての)[^。]{0,25}(?:列挙|リスト|挙げ|書き出)|(?:列挙|リストアップ)して"
    r"|(?:何|なに)について(?:書かれ|の)[^。]{0,12}[？?。か]*$"
    r"|요약(?:해|하(?:여|라|시오|세요|십시오)|을? ?(?:부탁|작성|알려|써))|요약[.!\s]*$|간단히 정리해|정리해 ?(?:줘|주세요)"
    r"|(?:모든|모두|전부)[^.?]{0,25}(?:나열|열거|목록|찾아|알려)"
)
_PATTERN = re.compile(
    "|".join(
        [
            *(
                _BEGIN.format(polite=rf"(?:{polite})") + f"(?:{said})"
                for polite, said in _REQUESTS.values()
            ),
            _UNSPACED,
        ]
    ),
    re.IGNORECASE,
)


# Of a question with a page pasted into it, what is asked stands before or behind the page.
_LONGEST = 300


def about_everything(question: str) -> str | None:
    """The words by which a question asks about everything; None where it does not.

    English, German, French, Spanish, Portuguese, Italian, Dutch, Polish, Czech, Russian,
    Ukrainian, Turkish, Arabic, Hindi, Chinese, Japanese and Korean.

    Examples:
        >>> about_everything("Please summarise the contract.")
        'Please summarise'
        >>> about_everything("When does the court resume?") is None
        True
    """
    question = question.strip().replace("\u2019", "'")
    # Its last sentences begin where one does.
    last = re.split(r"[.!?\n\u3002]", question[_LONGEST:][-_LONGEST:], maxsplit=1)[1:]
    for part in (question[:_LONGEST], *last):
        if match := _PATTERN.search(part):
            return match[0].strip(' .,;:!?¿¡"“(\n')
    return None
