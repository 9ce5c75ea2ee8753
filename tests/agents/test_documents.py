"""A folder of documents: what is read, how it is cut, what is found with which score, and what is left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagora_lab.agents.documents import Documents, cut
from nbagora_lab.core.errors import NotFound


def pdf(text: str) -> bytes:
    """A document of one page."""
    stream = f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    written, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj%b endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 6\n0000000000 65535 f \n%btrailer<</Root 1 0 R/Size 6>>\nstartxref\n%d\n%%%%EOF\n"
    return written + head % (table, len(written))


@pytest.fixture
def folder(tmp_path):
    docs = tmp_path / "docs"
    (docs / "deep").mkdir(parents=True)
    (docs / "guide.md").write_text("# 故宫\n\n故宫周一闭馆。\n\n# 天坛\n\n天坛早上六点开门。", encoding="utf-8")
    (docs / "deep" / "food.txt").write_text("Roast duck is eaten at Quanjude.", encoding="utf-8")
    page = "<html><style>p {}</style><script>var hidden = 1</script><p>The Great Wall at Mutianyu.</p><p>Bus 916.</p>"
    (docs / "wall.html").write_text(page, encoding="utf-8")
    (docs / "palace.pdf").write_bytes(pdf("The Summer Palace has a lake."))
    (docs / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (docs / "binary.txt").write_bytes(b"\x00\x01\x02")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tmp_path / "secret.txt").write_text("the password", encoding="utf-8")
    (docs / "out.txt").symlink_to(tmp_path / "secret.txt")
    return docs


def test_documents_are_found_by_words_of_both_languages_with_source_and_score(folder):
    guide = Documents(folder)
    for question, source in [
        ("宫", "guide.md"),
        ("天坛几点开门", "guide.md"),
        ("duck", "deep/food.txt"),
        ("great walls", "wall.html"),
        ("summer palace", "palace.pdf"),
    ]:
        hits = guide.find(question)
        assert hits[0].source == source, question
        assert hits[0].score == max(hit.score for hit in hits)
    assert guide.find("unknown") == []


def test_what_is_no_document_is_left_out_and_told(folder):
    guide = Documents(folder)
    assert set(guide.skipped) == {"photo.jpg", "binary.txt", "broken.pdf", "out.txt"}
    assert guide.skipped["out.txt"] == "a link that leads out of the folder"
    assert guide.find("password") == []
    assert guide.find("hidden") == []


def test_the_folder_is_read_anew(folder):
    guide = Documents(folder)
    (folder / "new.txt").write_text("颐和园", encoding="utf-8")
    assert guide.find("颐和园") == []
    guide.refresh()
    assert [hit.source for hit in guide.find("颐和园")] == ["new.txt"]


def test_an_embedder_finds_what_shares_no_word(folder):
    def embed(texts):
        return [[1.0, 0.0] if "duck" in text or "dinner" in text else [0.0, 1.0] for text in texts]

    assert Documents(folder, embedder=embed).find("dinner", 1)[0].source == "deep/food.txt"


def test_its_tool_gives_sources_and_scores(folder):
    [hit] = Documents(folder).tool(1)("duck")
    assert hit["source"] == "deep/food.txt"
    assert hit["score"] > 0


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(NotFound, match="there is no folder"):
        Documents(tmp_path / "none")


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="ab。. \n#", max_size=300), st.integers(5, 60))
def test_passages_hold_all_of_a_text_and_none_is_too_long(text, longest):
    passages = cut(text, longest)
    assert all(len(passage) <= longest for passage in passages)
    assert "".join("".join(passages).split()) == "".join(text.split())
