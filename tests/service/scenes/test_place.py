from service.scenes.place import Place


def test_a_place_is_the_same_wherever_it_is_made() -> None:
    corners = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
    assert Place("a.tif", 0, 0, 8, 8, corners, None) == Place("a.tif", 0, 0, 8, 8, corners, None)
