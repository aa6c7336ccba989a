"""The bytes of a picture → a chip as the bundle wants it, whoever sent them.

`decode` is the door. Each format's header is judged first (`jpeg`, `png`, `tiff_directory`, `lzw`),
TIFFs are read by processes that may die (`readers/`), then bands and tone are set. `band_files`
puts chips together that are one file for each band.
"""
