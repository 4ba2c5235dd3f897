import pytest

from gateway.importing.sections import NO_COUNTERPART, Note, Notes, Section, name_of, reference, variable, variables_in


def test_what_nobody_took_is_told_with_its_path_and_reason() -> None:
    notes = Notes()
    section = Section("a", {"x": 1, "y": "b", "z": None}, notes)
    assert (section.take("x"), section.take("x")) == (1, None)
    section.leave({"w": "never"})
    section.leave({})
    assert notes.all() == (Note("a.y", NO_COUNTERPART),)
    assert str(notes.all()[0]) == "a.y: has no counterpart"


@pytest.mark.parametrize("value", [[1], "text", 3])
def test_what_should_be_a_mapping_and_is_none_is_told_once(value: object) -> None:
    notes = Notes()
    section = Section("a", value, notes)
    Section("a", value, notes)
    assert section.take("x") is None
    assert [note.where for note in notes.all()] == ["a"]


@pytest.mark.parametrize("value", [0, -1, True, "many", [], 1e20, "nan"])
def test_a_number_that_is_none_is_left_out_and_told(value: object) -> None:
    notes = Notes()
    assert Section("a", {"n": value}, notes).number("n") is None
    assert [note.where for note in notes.all()] == ["a.n"]


def test_texts_numbers_and_names_are_taken_as_written() -> None:
    section = Section("a", {"t": "os.environ/KEY", "n": "12", "m": "one", "l": ["a", "b"], "e": ""}, Notes())
    assert section.text("t") == "${env:KEY}"
    assert section.count("n") == 12
    assert (section.names("m"), section.names("l"), section.names("none")) == (["one"], ["a", "b"], [])
    assert section.text("e") is None


def test_references_variables_and_names() -> None:
    assert reference("os.environ/A_1") == "${env:A_1}"
    assert reference("os.environ/1") == "os.environ/1"
    assert variable("azure ai", "api_key") == "AZURE_AI_API_KEY"
    assert name_of("gpt 4o (eu)", {}) == "gpt-4o-eu"
    assert name_of("a", {"a": 1, "a-2": 1}) == "a-3"
    assert name_of("***", {}) == "unnamed"


def test_variables_are_found_wherever_a_file_names_them() -> None:
    again: list[object] = ["os.environ/A", {"k": "os.environ/B", "n": 1, "o": None}]
    again.append(again)
    assert variables_in({"x": again, "y": "redis://os.environ/C:6379"}) == {"A", "B", "C"}
