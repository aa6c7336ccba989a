"""What the process tells: a line for each request, and every other line in the same form.

`lines` sets the form, for the whole process; `requests` stands before every route, `notes` are what
it writes down. Imports `contract` and `problems`; knows no chips.
"""
