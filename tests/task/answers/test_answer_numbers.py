"""Numbers: the forms that are read, those that are not, units, rounding, and what holds of any text."""

from __future__ import annotations

from fractions import Fraction

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.task.answers import check_target, gold_replies, score_answer, wrong_replies
from ssl4rl_bench.task.answers.numbers import number_target, parse_quantity

READ = {
    "5": r"5|+5|5.|5.0|05|５|**5**|(5)|$5$|\(5\)|\boxed{5}|five|Five.|5 dogs|5 small red cubes|5 units|x = 5|= 5"
    r"|3 + 2 = 5|10/2 = 5|There are 5 dogs in the picture.|The missing number in the sequence is 5.|about 5"
    r"|x=$5$|25 - 20 = 5",
    "-5": "-5|−5|–5|minus 5|negative 5|\\text{-5}",
    "0": "0|-0|0.00|zero",
    "1234567.5": "1,234,567.5|1234567.50|1{,}234{,}567.5",
    "0.5": r".5|0.50|1/2|\frac{1}{2}|\frac12|\dfrac{1}{2}|½|x=\frac{1}{2}|2^{-1}|The value is $\frac{1}{2}$",
    "-0.5": r"-\frac{1}{2}|-1/2|-½|-.5",
    "1.5": r"1 1/2|1\frac{1}{2}|1½|3/2|1 \frac{1}{2}",
    "1/3": r"1/3|\frac{1}{3}|⅓|2/6",
    "300000000": r"3e8|3E+8|3 \times 10^8|3×10⁸|3*10^{8}|3 x 10^8",
    "0.001": r"10^{-3}|1e-3|10⁻³",
    "2*sqrt(3)": r"2\sqrt{3}|2 \cdot \sqrt{3}|2√3|2√(3)|\sqrt{12}|√12|2*sqrt(3)|\frac{6}{\sqrt{3}}|\sqrt{12} ≈ 3.46",
    "(1/2)*sqrt(3)": r"\frac{\sqrt{3}}{2}|√3/2|\frac{1}{2}\sqrt{3}|\sqrt{\frac{3}{4}}",
    "(1/4)*pi": r"\frac{\pi}{4}|π/4|\frac14\pi|0.25\pi|(1/4)*pi",
    "0.5 + (1/2)*sqrt(5)": r"\frac{1+\sqrt{5}}{2}|(1+√5)/2",
    "12 + 4*pi": r"12+4\pi|4\pi + 12",
    "5 cm": r"5 cm|5cm|5 centimeters|5\text{ cm}|5 \, \mathrm{cm}|\text{5 cm}|AB = 5 cm",
    "5 cm^2": "5 cm^2|5 cm²|5 square centimeters|5 sq. cm|5 cm^{2}|5 centimeters squared",
    "12 $": r"$12|\$12|12 dollars|$12.00|US$12|12$",
    "3500000 $": "$3.5 million|3.5 million dollars|$3,500,000",
    "45 °": r"45°|45^\circ|45^{\circ}|45 degrees|45º|\angle A = 45^\circ",
    "45 °C": "45°C|45℃|45 degrees Celsius",
    "12 %": r"12%|12 %|12\%|12 percent",
    "5 million": "5 million",
    "5 m/s": "5 m/s|5 meters per second",
}
NOT_READ = (
    r"|-|− 5|- 5|12,34|1,5|1 234|1.2.3|5..6|5…|5-6|5–6|5%–6%|5 to 6|5 or 6|5 and 6|5, 6|3+2|2*3|2 × 3|3:4|10:30|1/2 π"
    r"|2/3√5|3/4/5|2\frac{5}{3}|\frac{1}{0}|5/0|0^0|\sqrt{-1}|\sqrt12|\sqrt[3]{2}|√x|x|2x|x + 2 = 5|4 = 5|1/3 = 0.34"
    r"|±5|5 \pm 1|at least 5|more than 5|nearly 5|not 5|5?|5 more|5 times|5 out of 10|5 of 7|5 thirds|5 hundredths"
    r"|There are 5 dogs and 3 cats|[1,2]|{1, 2}|5 M|5 K|five dogs|two hundred|x_1|5₂|٣|1e99|9^99|5 cm = 5 m"
    r"|the answer is not 5|the wrong answer is 5|NaN|inf|0x10|1_000|5\n6|2007-2008|June 5|5 pm"
)


@pytest.mark.parametrize(
    ("form", "canonical"), [(f, c) for c, forms in READ.items() for f in forms.split("|")]
)
def test_a_number_is_read(form: str, canonical: str) -> None:
    assert str(parse_quantity(form)) == canonical


@pytest.mark.parametrize("form", NOT_READ.split("|"))
def test_what_a_careful_person_would_not_read_is_not_read(form: str) -> None:
    assert parse_quantity(form.replace("\\n", "\n")) is None


def value(target: str, reply: str, **options: object) -> float | None:
    return score_answer("number", target, Completion(reply, "stop"), **options).value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "right", "wrong"),
    [
        ("3.14", "3.14|3.14159|\\pi|22/7|3.140", "3.1|3|3.15|3.2"),
        ("3", "3|3.0|6/2", "3.4|2.9999|4"),
        ("0.50", "0.5|1/2|.5|0.504|50%", "0.4|0.51|5"),
        ("1/3", "1/3|0.3333333|2/6", "0.33|0.3334"),
        (r"2\sqrt{3}", r"2\sqrt{3}|\sqrt{12}|3.4641016", "3.46|2√5|2"),
        (r"\frac{\pi}{4}", r"π/4|0.25\pi|0.7853982", "0.785|π/2|1/4"),
        ("45%", "45%|45|45 percent", "0.45|45 cm|0.45%"),
        ("5 cm", "5|5 cm|5 centimeters|5.0cm", "5 m|5 apples cm|50 mm|5 cm^2"),
        ("5", "5 cm|5 m|5 dogs|$5", "5.5"),
        ("1,234", "1234|1,234", "1.234"),
    ],
)
def test_right_and_wrong_forms_of_a_target(target: str, right: str, wrong: str) -> None:
    for form in right.split("|"):
        assert value(target, f"<answer>{form}</answer>") == 1.0, form
    for form in wrong.split("|"):
        assert value(target, f"<answer>{form}</answer>") == 0.0, form


def test_unit_tolerance_and_decimals() -> None:
    assert [value("5", reply, unit="cm") for reply in ("5", "5 cm", "5 m", "5 dollars")] == [1, 1, 0, 0]
    assert [value("5", reply, unit="goals") for reply in ("5", "5 goals", "5 points", "5 cm")] == [1, 1, 1, 0]
    assert [value("100", reply, tolerance=5) for reply in ("95", "105", "94.9", "106")] == [1, 1, 0, 0]
    assert [value("3", reply, decimals=0) for reply in ("3.4", "2.5", "3.6")] == [1, 1, 0]
    assert [value("2.50", reply, decimals=1) for reply in ("2.54", "2.56")] == [1, 0]


def test_a_contradicting_unit_is_part_of_the_answer_that_is_reported() -> None:
    score = score_answer("number", "5", Completion("The answer is 5 m.", "stop"), unit="cm")
    assert (score.value, score.answer) == (0.0, "5 m")


def test_equal_forms_do_not_contradict_each_other() -> None:
    assert value("0.5", "The answer is 1/2 = 0.5. \\boxed{\\frac{1}{2}}") == 1.0
    assert value("5", "The answer is 5 cm. <answer>5</answer>") == 1.0
    assert value("5", "The answer is 5 cm, that is 6.") != 1.0


@pytest.mark.parametrize("target", ["[1, 2]", "5-6", "3:4", "10:30", "5 or 6", "x > 3", "5±1"])
def test_targets_of_several_numbers_need_a_judge(target: str) -> None:
    assert check_target("number", target) == "it is several numbers, an interval, a ratio or a time"


@pytest.mark.parametrize("target", ["x+1", "a long sentence", "June 5"])
def test_targets_that_are_no_number(target: str) -> None:
    assert check_target("number", target) == "it is not one number in a form that is read"


INTEGERS = st.integers(-(10**7), 10**7)
DENOMINATORS = st.integers(2, 99)
TARGETS = st.one_of(
    INTEGERS.map(str),
    INTEGERS.map(lambda n: f"{n:,}"),
    st.decimals(-(10**5), 10**5, places=2).map(str),
    st.builds("{}/{}".format, INTEGERS, DENOMINATORS),
    st.builds(r"\frac{{{}}}{{{}}}".format, INTEGERS, DENOMINATORS),
    st.builds(r"{}\sqrt{{{}}}".format, DENOMINATORS, DENOMINATORS),
    st.builds(r"\frac{{{}\pi}}{{{}}}".format, DENOMINATORS, DENOMINATORS),
    st.builds(r"{}+\sqrt{{{}}}".format, INTEGERS.filter(bool), st.sampled_from([2, 3, 5, 6])),
    st.builds("{} {}".format, INTEGERS, st.sampled_from(["cm", "%", "°", "dollars", "kg", "m^2"])),
)


@settings(max_examples=examples(200), deadline=None)
@given(TARGETS)
@pytest.mark.slow
def test_gold_replies_are_right_and_wrong_ones_are_not(target: str) -> None:
    assert check_target("number", target) is None
    for reply in gold_replies("number", target):
        assert value(target, reply) == 1.0
    for reply in wrong_replies("number", target):
        assert value(target, reply) == 0.0


TWO = (
    "<answer>{a} or {b}</answer>|<answer>{a}; {b}</answer>|The answer is {a} or {b}.|{a}\n{b}|{a} or {b}"
    "|The answer is {a}. The answer is {b}.|- {a}\n- {b}|between {a} and {b}|\\boxed{{{a}}} \\boxed{{{b}}}"
    "|The answer is {a}, maybe {b}.|<answer>{a}</answer><answer>{b}</answer>|{a}, {b}|{a} = {b}|{a}–{b}|{a}/{b}"
    "|{a} - {b}|{a} — {b}|{a} + {b}|{a} -> {b}|So {a} - {b} apples remain.|The answer is {a} - {b}.|{a} × {b}"
    "|<answer>{a} - {b}</answer>|{a} ({b})|{a} : {b}|{a} <br> {b}|{a} < {b}|x = {a} - {b}|{a} but {b}|{a}. Wait, {b}."
    "|The answer is {a} but {b}."
)


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from(TWO.split("|")), st.booleans())
def test_a_right_and_another_value_are_never_right(a: int, b: int, template: str, swapped: bool) -> None:
    one, two = (b, a) if swapped else (a, b)
    if a != b and not (template == "{a}/{b}" and two and Fraction(one, two) == a):
        assert value(str(a), template.format(a=one, b=two)) != 1.0


def test_of_two_statements_that_of_a_last_line_counts() -> None:
    """As for letters (docs/reading.md); two statements in a line contradict each other."""
    assert value("4", "The answer is 3.\n\nThe answer is 4.") == 1.0
    assert value("3", "The answer is 3.\n\nThe answer is 4.") == 0.0
    assert value("4", "The answer is 3. The answer is 4.") == 0.0


FORMS = (
    r"5|12|1,234|.5|0|3/4|\frac|{|}|(|)|\sqrt|√|π|\pi|^|10|e8|-|−|+|*|×|=|≈|%|$|°| |cm|m^2|dollars|million|five|dogs"
    r"|or|in the picture|the value is |x = |½|²|\text{|.|,|\ud800|İ|٣"
)
FRAGMENTS = [*FORMS.split("|"), "\n", "\ud800"]
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join),
    st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(" ".join),
)


@settings(max_examples=examples(1000), deadline=None)
@given(TEXTS)
@pytest.mark.slow
def test_any_text_is_parsed_and_the_canonical_form_is_stable(text: str) -> None:
    quantity = parse_quantity(text)
    if quantity is not None:
        assert parse_quantity(str(quantity)) == quantity
        assert number_target(str(quantity)) is not None


@pytest.mark.parametrize(
    "text", ["(" * 190, "-" * 200, "(1+√2)" * 33, "9" * 200, "√" * 200, "2^99" * 50, "1/" * 90]
)
def test_hostile_numbers_are_not_read(text: str) -> None:
    assert parse_quantity(text) is None
