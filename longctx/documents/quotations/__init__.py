"""Quotations: what an answer quotes, and whether a document says so, word for word.

::

    answer → spoken (quotations, sentences, marks)
    text   → spelling (one way to write each character, offsets kept) → words (never cut)
    both   → alignment (the same words, from boundary to boundary), else near (all but a few)

They know texts and offsets, and nothing of documents, windows or models.
"""
