from pathlib import Path

from benchmarks.sections import put_into, sections_of, with_others

RESULTS = "# Results\n\nIntro.\n\n## Aims\n\nsome\n\n## Again\n\nmake bench\n"


def test_a_new_section_stands_before_the_last_and_an_old_one_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    file.write_text(RESULTS)
    put_into(file, "## Failover\n\nfirst\n")
    assert list(sections_of(file.read_text())) == ["", "Aims", "Failover", "Again"]
    put_into(file, "## Failover\n\nsecond\n\n## Aims\n\nothers\n")
    assert file.read_text() == (
        "# Results\n\nIntro.\n\n## Aims\n\nothers\n\n## Failover\n\nsecond\n\n## Again\n\nmake bench\n"
    )


def test_a_file_that_is_not_there_is_begun(tmp_path: Path) -> None:
    put_into(tmp_path / "new.md", "## Failover\n\nfirst\n")
    assert (tmp_path / "new.md").read_text() == "## Failover\n\nfirst\n"


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    file.write_text(RESULTS)
    put_into(file, "## Failover\n\nfirst\n")
    fresh = with_others(RESULTS.replace("some", "new"), file)
    assert fresh == RESULTS.replace("some", "new").replace("## Again", "## Failover\n\nfirst\n\n## Again")
    assert with_others(RESULTS, tmp_path / "none.md") == RESULTS
