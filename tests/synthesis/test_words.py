"""The words by which texts are compared."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.copying import copied
from fac_datasets.synthesis.words import words_of


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("हिन्दी में लिखा हुआ एक छोटा वाक्य", 7),
        ("ذَهَبَ الوَلَدُ إِلَى المَدْرَسَةِ", 4),
        ("בְּרֵאשִׁית בָּרָא אֱלֹהִים", 3),
        ("오늘 아침 기차가 늦었다", 4),
        ("ㅋㅋㅋ 정말", 2),
        ("Tiếng Việt có dấu", 4),
        ("поезд в Мадрид уходит в девять", 6),
        ("το τρένο για τη Μαδρίτη", 5),  # noqa: RUF001
        ("గురువారం వర్షం పడింది", 3),
    ],
    ids=["Devanagari", "Arabic", "Hebrew", "Korean", "jamo", "Vietnamese", "Russian", "Greek", "Telugu"],
)
def test_words_of_scripts_with_marks_stay_whole(text: str, count: int) -> None:
    assert len(words_of(text)) == count


@pytest.mark.parametrize(
    "text", ["รถไฟออกจากสถานี", "ລົດໄຟອອກຈາກ", "រថភ្លើងចេញដំណើរ", "ရထားထွက်သည်"], ids=["Thai", "Lao", "Khmer", "Burmese"]
)
def test_scripts_without_spaces_give_a_word_a_letter(text: str) -> None:
    words = words_of(text)
    assert len(words) >= len(text) // 2
    assert all(len(word) == 1 for word in words)


@pytest.mark.parametrize(
    ("pointed", "plain"),
    [
        ("ذَهَبَ الوَلَدُ إِلَى المَدْرَسَةِ", "ذهب الولد الى المدرسة"),
        ("בְּרֵאשִׁית בָּרָא", "בראשית ברא"),
        ("cafe\u0301 na\u00efve", "café naive"),
        ("encyclop\u00e6dia", "encyclopaedia"),
    ],
    ids=["Arabic", "Hebrew", "accents", "a ligature"],
)
def test_marks_make_no_difference(pointed: str, plain: str) -> None:
    assert words_of(pointed) == words_of(plain)


def test_different_words_stay_different() -> None:
    assert not copied(
        "आज सुबह ट्रेन तीसरे प्लेटफ़ॉर्म से नौ बजे मैड्रिड के लिए रवाना हुई",
        "कल शाम को मेरी बहन ने बाज़ार में बूढ़े माली से सात लाल सेब ख़रीदे थे",
    )
    assert not copied(
        "오늘 아침 마드리드로 가는 기차는 아홉 시에 삼 번 승강장에서 출발했다",
        "어제 저녁 내 동생은 시장에서 늙은 정원사에게 사과 일곱 개를 샀다",
    )
    assert not copied("รถไฟไปมาดริดออกเวลาเก้าโมงจากชานชาลาที่สาม", "เมื่อวานน้องสาวของฉันซื้อแอปเปิลเจ็ดผลที่ตลาด")


def test_an_invisible_character_parts_words_only_where_nothing_else_does() -> None:
    assert words_of("the\u2060cat") == ["the", "cat"]
    assert words_of("the c\u2060at") == ["the", "cat"]
    assert words_of("incompre\u00adhensi\u00adbility is a word") == ["incomprehensibility", "is", "a", "word"]
