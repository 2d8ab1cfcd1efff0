"""Wrong names are answered with the right ones."""

from avlib.errors import NonFiniteLoss, unknown


def test_the_nearest_name_is_suggested() -> None:
    error = unknown("preset", "sollo", ["solo", "duet"])
    assert isinstance(error, ValueError)
    assert str(error) == "unknown preset 'sollo'; did you mean 'solo'? There are: solo, duet"


def test_case_does_not_hide_the_nearest_name() -> None:
    assert "did you mean 'gpu'" in str(unknown("profile", "GPU", ["smoke", "cpu", "gpu"]))
    assert "did you mean 'HOLDS'" in str(unknown("verdict", "holds", ["HOLDS"]))


def test_without_a_near_name_all_are_listed() -> None:
    assert str(unknown("pack", "zzz", ["orchestra", "esc"])) == "unknown pack 'zzz'. There are: orchestra, esc"


def test_an_empty_list_says_so() -> None:
    assert str(unknown("pack", "x", [])) == "unknown pack 'x'. There are none."


def test_a_non_finite_loss_remembers_where() -> None:
    error = NonFiniteLoss("the loss is nan", 3, [7, 8])
    assert (error.step, error.index, str(error)) == (3, [7, 8], "the loss is nan")
