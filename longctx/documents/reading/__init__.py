"""From bytes to text: one file a format, and one table that says which format has which reader.

::

    bytes → recognise → format → its reader → Content (text, pages, sections, tables, notes)

A reader says in ``Content.notes`` what it guessed and what it left out. Nothing in a file is
executed or fetched.
"""
