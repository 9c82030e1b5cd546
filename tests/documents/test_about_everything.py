"""Questions about everything, in many languages, and those that only have such a word in them."""

from __future__ import annotations

import pytest

from longctx.documents.about_everything import about_everything

EVERYTHING = """
Summarise these documents.
Summarize
Please summarize the report in three sentences.
In two sentences, summarise the contract
Can you sum up the findings?
Could you please give me a short summary of the lease?
Give me an overview.
An overview of the book, please
I need a brief executive summary of the report
Write a one-page synopsis of the novel.
TL;DR
Outline the argument.
Recap the meeting minutes
What is the gist?
What are the main points?
What are the key findings of these papers?
What is this document about?
What are these texts about?
List all parties.
List every date that is mentioned
List me all obligations of the seller
Enumerate all defined terms.
Name all persons in the book.
What are all the deadlines?
How often is the word used in the entire document?
Fasse den Vertrag zusammen.
Bitte fass das kurz zusammen
Kannst du mir das Dokument zusammenfassen?
Gib mir einen kurzen Überblick
Zusammenfassung des Berichts
Worum geht es?
Worum geht es in diesem Dokument?
Liste alle Parteien auf
Nenne alle Fristen.
Résume le contrat.
Résumez ces documents
Peux-tu résumer ce texte ?
Fais-moi un résumé du rapport
Donne un aperçu des documents
Énumère toutes les parties.
De quoi parle ce document ?
Resume el contrato
Resúmeme los documentos
¿Puedes resumir este texto?
Hazme un resumen del informe
Enumera todas las partes
¿De qué trata este libro?
Resuma o documento.
Faça um resumo do contrato
Liste todas as partes
Riassumi
Riassumi il contratto
Puoi riassumere questo documento?
Fammi un riassunto breve del libro
Elenca tutte le parti
Vat het document samen.
Kun je dit samenvatten?
Geef een korte samenvatting van het contract
Noem alle partijen
Podsumuj dokument
Streść ten tekst
Wymień wszystkie strony umowy
Shrň dokument
Резюмируй документ
Подведите итог
Сделай краткое резюме договора
Кратко изложи содержание
О чём этот документ?
Перечисли все стороны
Підсумуй документ
Özetle
Bu belgeyi özetle
Tüm tarafları listele
لخص الوثيقة
لخّص هذا العقد
اذكر جميع الأطراف
कृपया दस्तावेज़ का सारांश दें
सभी पक्षों की सूची दें
总结
总结一下
请总结这份合同
把这份文件总结一下
请写一个摘要
概括全文
这份文件的主要内容是什么？
列出所有当事人
請總結這些文件
要約
要約してください
この文書を要約して
この文書の要約
契約の概要を教えてください
すべての当事者を列挙してください
まとめて
요약해 줘
이 문서를 요약해 주세요
모든 당사자를 나열하세요
""".strip().splitlines()

SOMETHING = """
Who wrote the resume?
When does the court resume?
Where is her résumé?
What is the outline colour?
Which outline colour does the logo have?
Outline colour of the logo?
Who wrote the summary?
When was the summary judgment entered?
What does the summary on page 3 say about costs?
Is there an overview map in the annex?
Who gave the overview?
When does the agreement list all its exhibits?
Who will resume the negotiations?
What is the main entrance's code?
What is the price?
Who bears the risk?
What is clause 4.2 about?
Is the whole sum payable at once?
How many pages has the abstract?
Which documents mention the overview committee?
Does the seller summarise the defects in writing?
What is the code of room 41?
Wer schrieb die Zusammenfassung?
Wann fasst der Ausschuss seine Beschlüsse zusammen?
Worum geht es in Klausel 4?
Wie hoch ist der Preis?
Auf welcher Seite steht die Übersicht?
Qui a écrit le résumé ?
Quel est le prix ?
Où se trouve le sommaire ?
¿Quién escribió el resumen?
¿Cuándo se reanuda el juicio?
Quem escreveu o resumo?
Chi ha scritto il riassunto?
Qual è il prezzo?
Wie schreef de samenvatting?
Kto napisał podsumowanie?
Кто написал резюме?
Какова цена?
Özeti kim yazdı?
من كتب الملخص؟
सारांश किसने लिखा?
谁写了总结？
合同总结在第几页？
总结会议何时召开？
价格是多少？
谁负责风险？
要約は誰が書きましたか？
価格はいくらですか？
요약은 누가 썼나요?
가격은 얼마입니까?
""".strip().splitlines()


@pytest.mark.parametrize("question", EVERYTHING)
def test_questions_about_everything(question):
    """A summary, the main points, all of a kind."""
    assert about_everything(question)


@pytest.mark.parametrize("question", SOMETHING)
def test_questions_about_something(question):
    """The word is what is asked about, and not what is asked for."""
    assert about_everything(question) is None


def test_a_page_that_is_pasted_into_a_question():
    """What is asked stands before or behind it, and a page costs no more than a line."""
    page = "It resumed, and the summary of all the documents was read to them. " * 2000
    assert about_everything(f"Summarise this: {page}")
    assert about_everything(f"{page}\nPlease summarise it.")
    assert about_everything(f"{page}\nWho read it?") is None
    for words in ("please ", "and, ", "the the ", "résumé de "):
        assert about_everything(f"Why {words * 5000}?") is None
