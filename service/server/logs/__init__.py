"""What the process tells: a line for each request, and every other line in the same form.

`lines` sets the form, for the whole process, and `stream` takes them away; `requests` stands before
every route, `notes` are what it writes down. `traces` makes spans of the same, for who wants them.
Imports `contract`, `problems` and, of the engine, the chips' `stages`; knows no chips.
"""
