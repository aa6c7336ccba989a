"""Lists of chips, millions of them → Parquet tables, by processes of this machine or a Ray cluster.

`inputs` lists what there is, `plan` writes that down, `pool` or `cluster` has it answered in order,
`parts` writes the answers. Needs the extra `scenes`, which has pyarrow, obstore and fsspec; on a
cluster also `ray`. Nothing here is imported before it is asked for.
"""
