"""Tables of tags in whatever form people keep them → `Tags`.

`forms` finds the table and tells its form, `delimited`, `documents`, `folders` and `columnar` read
one form each into a `Table`, `columns` tells its names from its tags, `cells` takes a cell apart,
`checks` warns of what a person should look at. Knows no chips but their file names.
"""
