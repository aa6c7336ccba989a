"""The labels of "Planet: Understanding the Amazon from Space" (Kaggle, 2017), by group."""

# "Planet: Understanding the Amazon from Space" (Kaggle, 2017), grouped as its data page does.
PLANET_GROUPS = {
    "atmospheric": ("clear", "cloudy", "haze", "partly_cloudy"),
    "common": ("agriculture", "bare_ground", "cultivation", "habitation", "primary", "road", "water"),
    "rare": (
        "artisinal_mine",
        "blooming",
        "blow_down",
        "conventional_mine",
        "selective_logging",
        "slash_burn",
    ),
}
