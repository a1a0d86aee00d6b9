"""Ways of generating change what is asked, and compose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fac_datasets.errors import OptionError
from fac_datasets.synthesis.drafting import CONTINUATIONS
from fac_datasets.synthesis.methods import AUTO, METHODS, usable, ways_named
from fac_datasets.synthesis.methods.steered import NO_EFFECT, STRENGTHS, effects
from fac_datasets.synthesis.sample_journal import Verdict
from tests.interpretation.scripted import always
from tests.synthesis.asking_cases import asker_of, cannot, drafted, pursuit_of, wish_of
from tests.synthesis.cases import Case


def test_methods_are_found_by_file_the_cheap_ones_first() -> None:
    assert list(METHODS) == ["prompted", "span_seeded", "edited", "guided", "steered", "magpie"]


def test_names_are_joined_where_methods_work_together() -> None:
    ways = ways_named("prompted, span_seeded+guided,edited+steered")
    assert [way.name for way in ways] == ["prompted", "prompted+span_seeded+guided", "edited+steered"]
    assert {method.name for way in ways_named("auto") for method in way.methods} == {*METHODS}
    assert len(ways_named("auto")) == len(AUTO)


@pytest.mark.parametrize("names", ["prayed", "", "prompted,", "prompted+prayed"])
def test_unknown_names_are_refused(names: str) -> None:
    with pytest.raises(OptionError, match="there is no way of generating"):
        ways_named(names)


def test_a_prompt_shows_examples_the_name_and_the_measured_pair(case: Case) -> None:
    asker, pursuit = asker_of(case), pursuit_of(case, 0.5, 0.25, 4.0)
    messages = asker.prompt(wish_of("prompted", pursuit, asker), pursuit)
    last = messages[-1][1]
    assert [role for role, _ in messages] == ["system", *["user", "assistant"] * len(pursuit.examples), "user"]
    assert messages[-2][1] == pursuit.examples[-1].whole
    assert pursuit.target.name in last
    assert "measured to be 4.00:\n**try** 2 of it" in last
    assert "measured to be 0.25:\n**try** 1 of it" in last
    assert "try 0" not in last


def test_where_no_try_was_active_a_real_row_stands_in_and_is_said_to_be_one(case: Case) -> None:
    asker, pursuit = asker_of(case), pursuit_of(case, 0.0, 0.0)
    last = asker.prompt(wish_of("prompted", pursuit, asker), pursuit)[-1][1]
    span = pursuit.target.spans[0]
    assert "This real one, which nobody wrote for you" in last
    assert f"measured to be {span['activation']:.2f}:\n" in last
    assert f"**{span['text'][span['start'] : span['end']].strip()}**" in last.replace("** ", "**")
    assert "measured to be 0.00:\ntry 0 of it" in last
    fired = pursuit_of(case, 0.0, 0.5)
    assert "This real one" not in asker.prompt(wish_of("prompted", fired, asker), fired)[-1][1]


def test_the_strongest_try_is_edited(case: Case) -> None:
    asker = asker_of(case)
    assert cannot("edited", pursuit_of(case), asker)
    assert cannot("edited", pursuit_of(case, 0.0), asker)
    pursuit = pursuit_of(case, 0.5, 4.0)
    assert not cannot("edited", pursuit, asker)
    assert "try 1 of it" in asker.prompt(wish_of("edited", pursuit, asker), pursuit)[-1][1]


def test_an_answer_begins_with_a_phrase_in_which_the_feature_fires(case: Case) -> None:
    asker, pursuit = asker_of(case), pursuit_of(case)
    assert drafted("span_seeded", pursuit, asker).answer.text.startswith(pursuit.phrases[0])
    spans = pursuit.target.spans
    assert pursuit.phrases[0].endswith(spans[0]["text"][spans[0]["start"] : spans[0]["end"]].strip())


def test_a_generator_that_cannot_go_on_is_told_the_phrase(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    asker, pursuit = asker_of(case), pursuit_of(case)
    monkeypatch.setattr(type(case.generator), "can_prefill", False)
    wish = wish_of("span_seeded", pursuit, asker)
    assert wish.must_hold == pursuit.phrases[0] and not wish.prefix
    assert pursuit.phrases[0] in asker.prompt(wish, pursuit)[-1][1]


def test_steering_adds_the_decoder_direction_of_the_feature(case: Case) -> None:
    asker, pursuit = asker_of(case), pursuit_of(case)
    steering = wish_of("steered", pursuit, asker).steering
    assert steering is not None
    direction = case.extractor.sae.decoder[pursuit.feature].detach().numpy()
    np.testing.assert_allclose(steering.direction, direction / np.linalg.norm(direction), rtol=1e-5)
    assert (steering.layer, steering.strength) == (case.extractor.feature_space.layer, STRENGTHS[0])
    assert drafted("steered", pursuit, asker).answer.text != drafted("prompted", pursuit, asker).answer.text


def test_strengths_rise_until_one_fires_and_stay_there(case: Case) -> None:
    asker, high = asker_of(case), pursuit_of(case).threshold + 1
    for activations, strengths, expected in (
        ((0.0,), (0.3,), 0.5),
        ((0.0, 0.0), (0.3, 0.5), 0.7),
        ((0.0, high), (0.3, 0.5), 0.5),
    ):
        steering = wish_of("steered", pursuit_of(case, *activations, strengths=strengths), asker).steering
        assert steering is not None and steering.strength == expected


def test_a_feature_that_no_strength_raises_is_steered_no_more(case: Case) -> None:
    asker = asker_of(case)
    assert cannot("steered", pursuit_of(case, 0.5, 0.1, 0.2, 0.5, strengths=(0.0, *STRENGTHS)), asker) == NO_EFFECT
    assert not cannot("steered", pursuit_of(case, 0.5, 0.1, 0.2, 0.6, strengths=(0.0, *STRENGTHS)), asker)


def test_a_generator_with_a_similar_name_is_not_steered(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    asker = asker_of(case)
    monkeypatch.setattr(case.generator, "name", f"my-{case.generator.name}")
    assert "does not run the SAE's own backbone" in cannot("steered", pursuit_of(case), asker)


def test_a_guided_answer_is_the_most_active_of_its_fluent_continuations(case: Case) -> None:
    # Longer texts are less likely here, so that the two shorter of four continuations are fluent.
    asker = asker_of(case, likelihoods=lambda texts: np.array([float(len(text)) for text in texts]), max_new_tokens=8)
    pursuit = pursuit_of(case)
    draft = drafted("guided", pursuit, asker)
    first = [asker.journal.completions[key].text for key in draft.keys[:4]]
    fluent = sorted(first, key=len)[:2]
    found = case.extractor.peaks(first)
    active = {
        first[row]: value
        for row, feature, value in zip(found.rows, found.ids, found.values, strict=True)
        if feature == pursuit.feature
    }
    assert draft.answer.text == max(fluent, key=lambda text: active.get(text, 0.0))
    assert draft.decoded_tokens == sum(asker.journal.completions[key].n_tokens for key in draft.keys)
    assert cannot("guided", pursuit, asker_of(case)).startswith("nothing says how likely a text is")


def test_a_guided_answer_is_written_to_its_end_in_one_go_once_the_feature_is_active(case: Case) -> None:
    asker = asker_of(case, likelihoods=lambda texts: np.zeros(len(texts)), max_new_tokens=30)
    pursuit = pursuit_of(case)
    always_active, never = (replace(pursuit.target, threshold=threshold) for threshold in (-1.0, np.inf))
    draft = drafted("guided", replace(pursuit, target=always_active), asker)
    first = [asker.journal.completions[key].text for key in draft.keys[:CONTINUATIONS]]
    assert len(draft.keys) == CONTINUATIONS + 1
    assert any(draft.answer.text.startswith(text) for text in first)
    chosen_to_the_end = drafted("guided", replace(pursuit, target=never), asker)
    assert len(chosen_to_the_end.keys) % CONTINUATIONS == 0
    assert len(chosen_to_the_end.keys) > CONTINUATIONS


def test_the_template_alone_lets_the_model_write_a_user_s_words(case: Case) -> None:
    asker, pursuit = asker_of(case), pursuit_of(case)
    assert not cannot("magpie", pursuit, asker)
    wish = wish_of("magpie", pursuit, asker)
    assert wish.is_open and asker.prompt(wish, pursuit) == ()
    rendered = case.generator.tokenizer.decode(case.generator._encode(()))
    whole = case.generator.tokenizer.apply_chat_template([{"role": "user", "content": "Hi."}], tokenize=False)
    assert whole.startswith(rendered) and whole[len(rendered) :].startswith("Hi.")
    assert drafted("magpie", pursuit, asker).answer.n_tokens > 0


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("edited", "it changes what another way wrote; name one before it"),
        ("prompted,steered", "does not run the SAE's own backbone tiny.*; leave out --model and --endpoint"),
        ("prompted,guided", "nothing says how likely a text is; give fluency= .--fluency.,"),
        ("magpie", "does not take a chat template alone; a local model that has one does"),
    ],
)
def test_a_way_that_is_named_and_serves_no_target_is_an_error_that_says_why(
    case: Case, names: str, reason: str
) -> None:
    with pytest.raises(OptionError, match=f"can be used for no target: .*{reason}"):
        usable(names, asker_of(case, generator=always("A text.")), [pursuit_of(case)])


def test_a_way_that_needs_what_another_one_writes_can_be_named_behind_it(case: Case) -> None:
    assert [way.name for way in usable("prompted,edited", asker_of(case), [pursuit_of(case)])] == ["prompted", "edited"]


def test_a_way_that_serves_one_target_of_several_is_used(case: Case) -> None:
    mute = replace(pursuit_of(case), phrases=())
    assert usable("span_seeded", asker_of(case), [mute, pursuit_of(case)])
    with pytest.raises(OptionError, match="no words of its spans"):
        usable("span_seeded", asker_of(case), [mute, mute])


def test_auto_tells_once_which_ways_it_leaves_out_and_why(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fac_datasets")
    ways = usable("auto", asker_of(case), [pursuit_of(case)])
    assert [way.name for way in ways] == ["prompted", "prompted+span_seeded", "edited", "prompted+steered", "magpie"]
    assert caplog.messages == [
        "auto leaves out prompted+guided and prompted+steered+guided: nothing says how likely a text is; give "
        "fluency= (--fluency), which fac-datasets run measures"
    ]


def test_features_on_which_steering_has_no_effect_are_told() -> None:
    def steered(feature: int, *activations: float) -> list[Verdict]:
        return [
            Verdict(feature, value, "feature not active", "prompted+steered", fired=False, strength=strength)
            for value, strength in zip(activations, STRENGTHS, strict=False)
        ]

    unsteered = Verdict(5, 0.5, "feature not active", "prompted", fired=False)
    found = effects([*steered(3, 0.0, 0.1, 0.2), *steered(5, 0.1, 0.2, 0.5), unsteered, *steered(8, 0.0, 0.0)])
    assert found == {3: True, 5: False, 8: True}
