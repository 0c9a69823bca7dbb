"""The archive: finished events, written elsewhere before retention removes them, and read again from there.

`archiver` writes and `reading` reads; `line`, `jsonl` and `parquet` are the forms of an object, `name` says what is in
one, and `folder` and `bucket` are the places where objects are.
"""
