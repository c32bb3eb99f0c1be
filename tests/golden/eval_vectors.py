"""Vectors of VLMEvalKit's functions, one JSON object a line: {id, benchmark, function, inputs,
expected}.

`CHECKERS` says for each function what computes its value. JSON's null stands for NaN; an expected
object with a list `split` has columns over those splits, whose order does not matter; `raises`
names an exception.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from rapidfuzz.distance import Levenshtein

from golden import eval_prompts
from golden.compare import Finding, findings
from golden.report import Result, guarded
from valley.evaluate import roundtrip
from valley.evaluate.items import Item, Judge, Scored, Verdict
from valley.evaluate.profiles import VLMEVALKIT
from valley.evaluate.scorers import (
    asking,
    cells,
    choice,
    crpe,
    dynamath,
    grouping,
    judged,
    latex,
    mathematics,
    normalising,
    ocr,
    video,
    vqa,
    wemath,
    yes_no,
)

#: (inputs, name of the benchmark) -> the value of a function.
Compute: TypeAlias = Callable[[Mapping[str, Any], str], Any]

KEYS = {"id", "benchmark", "function", "inputs", "expected"}


def check(group: str, rows: Iterable[Any]) -> Iterator[Result]:
    """One result a vector."""
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != KEYS:
            yield Result(group, f"line {number + 1}", error=f"no vector: keys are not {KEYS}")
            continue
        function = row["function"]
        case = f"{row['id']} {function}"
        if function in CHECKERS:
            yield guarded(group, case, lambda row=row: _compare(row))  # type: ignore[misc]
        else:
            yield Result(group, case, error=f"unknown function {function}")


def _compare(row: Mapping[str, Any]) -> tuple[Finding, ...]:
    expected, compute = row["expected"], CHECKERS[row["function"]]
    if isinstance(expected, dict) and expected.keys() == {"raises"}:
        return findings({}, expected, {"raises": _raised(compute, row)})
    actual = plain(compute(row["inputs"], row["benchmark"]))
    return findings({}, _keyed(plain(expected)), _keyed(actual))


def _raised(compute: Compute, row: Mapping[str, Any]) -> str:
    try:
        return f"nothing, but gives {compute(row['inputs'], row['benchmark'])!r}"
    except Exception as error:
        return type(error).__name__


def _keyed(value: Any) -> dict[str, Any]:
    """A value by keys: those of an object, or of its splits, or the one key `value`. How many
    there are is a value too, so that none can be too many."""
    if not isinstance(value, dict):
        return {"value": value}
    columns = list(value.values())
    if isinstance(splits := value.get("split"), list) and all(
        isinstance(column, list) and len(column) == len(splits) for column in columns
    ):
        value = {
            f"{name}[{split}]": column[place]
            for name, column in value.items()
            for place, split in enumerate(splits)
        }
    return {**value, "keys": sorted(value)}


def plain(value: Any) -> Any:
    """A value as it is compared: NaN is null, and 0 is 0.0."""
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return None if math.isnan(value) else float(value)
    return value


# -- what the functions of VLMEvalKit are here ----------------------------------------------------


def text_of(value: Any) -> str:
    """A cell as `str` gives it."""
    return "nan" if value is None else str(value)


def row_of(row: Mapping[str, Any]) -> Item:
    """A row of a table, whose missing cells are gone."""
    named = {name: text_of(cell) for name, cell in row.items() if cell is not None}
    return Item(named.pop("index", "0"), named)


def scored_of(rows: Iterable[Mapping[str, Any]]) -> list[Scored]:
    """Rows with the scores they hold, each a row of its own."""
    return [
        Scored(
            Item(str(row.get("index", number)), row_of(row).cells),
            Verdict(_score_of(row), row.get("extracted")),
        )
        for number, row in enumerate(rows)
    ]


def _score_of(row: Mapping[str, Any]) -> float:
    value = row.get("hit", row.get("score", 0.0))
    return math.nan if value is None else float(value)


def options_of(inputs: Mapping[str, Any]) -> dict[str, str]:
    return {name: text_of(value) for name, value in inputs["choices"].items() if value is not None}


def can_infer(inputs: Mapping[str, Any], _: str, verbose: bool = False) -> Any:
    found = choice.can_infer(text_of(inputs["prediction"]), options_of(inputs), verbose)
    return found or False


def choice_item(inputs: Mapping[str, Any], answer: str) -> Item:
    return Item("0", {"question": "q", "answer": answer, **options_of(inputs)})


def vanilla(inputs: Mapping[str, Any], _: str) -> Verdict:
    item = choice_item(inputs, inputs.get("answer", ""))
    return VLMEVALKIT.scorers["choice"].score(item, inputs["prediction"])


def circular(inputs: Mapping[str, Any]) -> list[Verdict]:
    scorer = VLMEVALKIT.scorers["choice_circular"]
    pairs = zip(inputs["predictions"], inputs["answers"], strict=True)
    return [scorer.score(choice_item(inputs, answer), said) for said, answer in pairs]


def prefetch_circular(inputs: Mapping[str, Any], _: str) -> Any:
    verdicts = circular(inputs)
    if any(verdict.resolved and not verdict.score for verdict in verdicts):
        return 0
    return 1 if all(verdict.score for verdict in verdicts) else None


def report_acc(inputs: Mapping[str, Any], _: str) -> Any:
    return accuracy_table(scored_of(inputs["rows"]))


def accuracy_table(scored: Sequence[Scored]) -> dict[str, Any]:
    """Accuracies from 0 to 1 by split: those of 100 times as much, which are exact, divided."""
    parts = grouping.by(scored, "split") or {"none": list(scored)}
    table: dict[str, Any] = {"split": list(parts)}
    for name in dict.fromkeys(n for rows in parts.values() for n in grouping.accuracies(rows)):
        table[name] = [_mean(rows, name) for rows in parts.values()]
    return table


def _mean(scored: Sequence[Scored], name: str) -> float:
    """One figure as a share; multiplying by 100 may lose a last digit, so it is found again."""
    percent = grouping.accuracies(scored).get(name, math.nan)
    shares = (n / d for d in range(1, len(scored) + 1) for n in range(d + 1))
    return next((share for share in shares if share * 100 == percent), percent / 100)


def preprocessed(inputs: Mapping[str, Any], _: str) -> Any:
    items = map(row_of, inputs["rows"])
    keys = ("A", "B")
    return [
        {
            k: (item.options if "A" in item.options else choice.reformulated(item)[0])[k]
            for k in keys
        }
        for item in items
    ]


def as_it_is(text: str) -> str:
    return text


def vqa_row(
    measure: Callable[..., list[float]],
    total: Callable[[Sequence[float]], float],
    truth: Callable[[str], str] = as_it_is,
    reply: Callable[[str], str] = as_it_is,
) -> Compute:
    """A line of short answers: what is compared, what comes of it, and the score."""

    def compute(inputs: Mapping[str, Any], _: str) -> Any:
        truths = cells.listed(text_of(inputs["answer"]))
        said = text_of(inputs["prediction"])
        matches = measure(said, truths)
        score: Any = total(matches)
        if measure is vqa.relaxed:
            matches, score = [bool(match) for match in matches], bool(score)
        gt = [truth(text) for text in truths]
        return {"gt": gt, "pred": reply(said), "match": matches, "score": score}

    return compute


def yes_no_rates(inputs: Mapping[str, Any], _: str) -> Any:
    scorer = yes_no.Pope(yes_no.extraction)
    return split_table(scorer.figures(scored_of(inputs["rows"])))


def split_table(figures: Mapping[str, float]) -> dict[str, Any]:
    """POPE's figures as columns over "Overall" and the categories."""
    columns = ("Overall", "acc", "precision", "recall")
    parts = [name for name in figures if ":" not in name and name not in columns[1:]]
    table: dict[str, Any] = {"split": parts}
    for column in columns:
        table[column] = [
            figures[
                part
                if column == "Overall"
                else column
                if part == "Overall"
                else f"{part}: {column}"
            ]
            for part in parts
        ]
    return table


def hallusion_rates(scored: Sequence[Scored]) -> dict[str, Any]:
    figures = yes_no.Hallusion(yes_no.extraction).figures(scored)
    parts = list(dict.fromkeys(n.partition(": ")[0] for n in figures if ": " in n))
    return {
        "split": ["Overall", *parts],
        **{
            name: [figures[name], *(figures[f"{part}: {name}"] for part in parts)]
            for name in ("aAcc", "fAcc", "qAcc")
        },
    }


def mme(inputs: Mapping[str, Any], _: str) -> Any:
    figures = yes_no.Mme(yes_no.extraction).figures(scored_of(inputs["rows"]))
    return {name: [value] for name, value in figures.items() if name != "Overall"}


def default_rating(inputs: Mapping[str, Any], _: str) -> Any:
    figures = yes_no.YesNo(yes_no.extraction).figures(scored_of(inputs["rows"]))
    return {name: [value] for name, value in figures.items()}


def ocrbench(inputs: Mapping[str, Any], _: str) -> Any:
    item = Item("0", {name: text_of(inputs[name]) for name in ("answer", "category")})
    scorer = ocr.OcrBench(ocr.holds)
    figures = scorer.figures([Scored(item, scorer.score(item, text_of(inputs["prediction"])))])
    counts = {name: int(value) for name, value in figures.items()}
    final = counts.pop("Overall")
    return {**counts, "Final Score": final, "Final Score Norm": final / 10}


def post_check(prefetch: bool) -> Compute:
    """MathVista's or MathVision's check of a reply, or of what a judge took out of it."""

    def compute(inputs: Mapping[str, Any], benchmark: str) -> Any:
        item = row_of(inputs["line"])
        text = text_of(inputs["prediction" if prefetch else "res"])
        if benchmark.startswith("MathVista"):
            found, right = mathematics.found_in_mathvista(item, text)
            chosen = item.cells.get("question_type") == mathematics.MULTIPLE_CHOICE
            if not prefetch:
                return right
            return (found or False) if chosen else found if right else False
        if not prefetch:
            return bool(mathematics.mathvision_then(item, text).score)
        verdict = mathematics.mathvision_first(item, text)
        return verdict.extracted if verdict.resolved else False

    return compute


def same_text(inputs: Mapping[str, Any], _: str) -> Any:
    item = Item("0", {"answer": text_of(inputs["answer"])})
    verdict = mathematics.same_text(item, text_of(inputs["extract"]))
    return verdict.extracted if verdict.resolved else False


def mathvista_acc(inputs: Mapping[str, Any], _: str) -> Any:
    """The table of MathVista from rows that hold the answers taken out."""
    scorer = VLMEVALKIT.scorers["mathvista"]
    rows = [(row, row_of(row)) for row in inputs["rows"]]
    scored = [
        Scored(item, mathematics.mathvista_then(item, text_of(row["res"]))) for row, item in rows
    ]
    early = [Scored(item, Verdict(float(row["log"] == "Prefetch succeed"))) for row, item in rows]
    accuracy, rate = scorer.figures(scored), scorer.figures(early)
    names = ["Overall"]
    for _row, item in rows:
        names += [*cells.listed(item.cells["skills"]), item.cells["task"]]
    names = list(dict.fromkeys(names))
    tot = [sum(_in(item, name) for _, item in rows) for name in names]
    return {
        "Task&Skill": names,
        "tot": tot,
        "prefetch": [round(rate[n] * t / 100) for n, t in zip(names, tot, strict=True)],
        "hit": [round(accuracy[n] * t / 100) for n, t in zip(names, tot, strict=True)],
        "prefetch_rate": [rate[name] for name in names],
        "acc": [accuracy[name] for name in names],
    }


def _in(item: Item, name: str) -> bool:
    skills = cells.listed(item.cells["skills"])
    return name == "Overall" or name in skills or name == item.cells["task"]


def mmvet_acc(inputs: Mapping[str, Any], _: str) -> Any:
    scored = scored_of(inputs["rows"])
    figures = judged.MMVet(doubled=True).figures(scored)
    categories = [row.item.cells["category"] for row in scored]
    combined = list(dict.fromkeys(category.replace(",", "_") for category in categories))

    def table(names: list[str]) -> dict[str, Any]:
        held = [
            sum(name in c for c in categories) * (name in judged.CAPABILITIES)
            + sum(name == c.replace(",", "_") for c in categories)
            + len(categories) * (name == "Overall")
            for name in names
        ]
        return {"Category": names, "tot": held, "acc": [figures[name] for name in names]}

    return {
        "capability": table([*judged.CAPABILITIES, "Overall"]),
        "integration": table([*combined, "Overall"]),
    }


def judge_of(outputs: Sequence[str]) -> Judge:
    """A judge that says these words in turn, the last of them for ever."""
    rest = list(outputs)
    return lambda question: rest.pop(0) if len(rest) > 1 else rest[0]


def mmvet_judged(inputs: Mapping[str, Any], _: str) -> Any:
    item = Item("0", {"question": "q", "answer": "a"})
    return judged.MMVet().score(item, "p", judge_of(inputs["judge_outputs"])).score


def yes_no_judged(inputs: Mapping[str, Any], _: str) -> Any:
    item = Item("0", {"question": "q", "answer": "Yes"})
    scorer = yes_no.YesNo(yes_no.extraction)
    return scorer.score(item, "hmm", judge_of(inputs["judge_outputs"])).extracted or "Unknown"


def logicvista_judged(inputs: Mapping[str, Any], _: str) -> Any:
    item = Item("0", {"question": "q", "answer": inputs["answer"]})
    return int(judged.LogicVista().score(item, "p", judge_of(inputs["judge_outputs"])).score)


def dynamath_judged(inputs: Mapping[str, Any], _: str) -> Any:
    item = Item("0", {name: inputs[name] for name in ("answer_type", "answer")})
    verdict = dynamath.published(item, text_of(inputs["prediction"]), judge_of([""]))
    found: Any = verdict.extracted
    if found is not None and inputs["answer_type"] == "float":
        found = float(found)
    return {"parse": found is not None, "extracted": found, "correct": bool(verdict.score)}


def dynamath_parsed(inputs: Mapping[str, Any], _: str) -> Any:
    found = dynamath.parsed(inputs["answer"], inputs["answer_type"])
    return [found is not None, found]


def wemath_letter(inputs: Mapping[str, Any], _: str) -> Any:
    found = wemath.after_answer(text_of(inputs["prediction"]))
    return {"processed": found, "joker": found == inputs["answer"]}


def wemath_table(inputs: Mapping[str, Any], _: str) -> Any:
    scored = scored_of(inputs["rows"])
    figures, counts = VLMEVALKIT.scorers["wemath"].figures(scored), wemath.counted(scored)
    table = {}
    for kind, score, mastered, rote in (
        ("Strict", "Overall", counts.mastered_strict, counts.rote_strict),
        ("Loose", "Score (Loose)", counts.mastered_loose, counts.rote_loose),
    ):
        rows = {
            "InsufficientKnowledge": ("InsufficientKnowledge", counts.insufficient),
            "InadequateGeneralization": ("InadequateGeneralization", counts.inadequate),
            "CompleteMastery": (f"CompleteMastery ({kind})", mastered),
            "RoteMemorization": (f"RoteMemorization ({kind})", rote),
        }
        table[f"Score ({kind})"] = f"{figures[score]:.2f}%"
        for name, (figure, count) in rows.items():
            table[f"{name} ({kind})"] = f"{figures[figure]:.2f}% ({count})"
    return table


def mvbench_judged(inputs: Mapping[str, Any], _: str) -> Any:
    letter = inputs["answer"].partition(" ")[0]
    options = inputs["choices"]
    item = Item("0", {"answer": options[letter.strip("()")], **options})
    return bool(VLMEVALKIT.scorers["mvbench"].score(item, inputs["prediction"]).score)


def mvbench_rating(inputs: Mapping[str, Any], _: str) -> Any:
    scored = scored_of(inputs["rows"])
    figures = VLMEVALKIT.scorers["mvbench"].figures(scored)
    parts = {**grouping.by(scored, "task_type"), "overall": scored}
    table = {}
    for name, rows in parts.items():
        percent = figures["Overall" if name == "overall" else name]
        table[name] = [round(percent * len(rows) / 100), len(rows), f"{percent:.2f}%"]
    return table


def tempcompass(rule: video.Rule) -> Compute:
    def compute(inputs: Mapping[str, Any], _: str) -> Any:
        cells_of = {n: v for n, v in inputs.items() if n != "prediction" and v is not None}
        right = rule(Item("0", cells_of), inputs["prediction"])
        return "fail" if right is None else int(right)

    return compute


def end_to_end(kind: str, table: Callable[[list[Scored]], Any]) -> Compute:
    """A table of replies that goes through files and is scored."""

    def compute(inputs: Mapping[str, Any], benchmark: str) -> Any:
        replies = VLMEVALKIT.prepare([text_of(row["prediction"]) for row in inputs["rows"]])
        bare = [{n: v for n, v in row.items() if n != "prediction"} for row in inputs["rows"]]
        items = VLMEVALKIT.read([row_of(row) for row in bare])
        scorer = VLMEVALKIT.scorers[kind_of(benchmark, kind)]
        verdicts = (scorer.score(item, said) for item, said in zip(items, replies, strict=True))
        return table([Scored(i, v) for i, v in zip(items, verdicts, strict=True)])

    return compute


def kind_of(benchmark: str, default: str) -> str:
    """The scorer of a benchmark whose function scores several."""
    names = {
        "MMBench": "choice_circular",
        "TextVQA": "vqa_soft",
        "DocVQA": "anls",
        "InfoVQA": "anls",
        "ChartQA": "relaxed",
        "OCRVQA": "vqa_exact",
        "POPE": "pope",
        "HallusionBench": "hallusion",
        "MME": "mme",
    }
    return next((kind for name, kind in names.items() if benchmark.startswith(name)), default)


def circular_table(scored: list[Scored]) -> Any:
    """The table of multiple choice, circular where the index says so."""
    large = any(row.item.id.isdecimal() and int(row.item.id) >= 10**6 for row in scored)
    if not large:
        return accuracy_table(scored)
    scorer = choice.Circular(choice.can_infer)
    groups = grouping.groups(scored, scorer.cluster)
    return accuracy_table(
        [Scored(g[0].item, Verdict(float(grouping.all_right(g)))) for g in groups]
    )


def vqa_table(scored: list[Scored]) -> Any:
    figures = vqa.Vqa(vqa.relaxed, vqa.best).figures(scored)
    return {name: [value] for name, value in figures.items()}


def yes_no_table(scored: list[Scored]) -> Any:
    if "_" in scored[0].item.id:
        return hallusion_rates(scored)
    return split_table(yes_no.Pope(yes_no.extraction).figures(scored))


def cell_of(
    read: Callable[[Sequence[str]], Sequence[str | None]], beside: str, own: bool
) -> Compute:
    """One of the two cells of a column that went through a file."""

    def compute(inputs: Mapping[str, Any], _: str) -> Any:
        column = read([inputs["prediction"], beside])
        return text_of(column[0 if own else 1])

    return compute


def prompt_hash(name: str) -> Compute:
    def compute(inputs: Mapping[str, Any], _: str) -> Any:
        values = {
            "question": inputs.get("question", inputs.get("question_for_eval", "")),
            "reply": inputs.get("prediction", ""),
            "options": inputs.get("options", ""),
            "answer": with_spaces(inputs.get("answer", ""))
            if name == "mmvet"
            else inputs.get("answer", ""),
            "extracted": inputs.get("extract", ""),
        }
        return hashed(asking.prompt(name, **values))

    return compute


def with_spaces(truth: str) -> str:
    return truth.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")


def hashed(text: str) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "length": len(text)}


def mmvet_tail(inputs: Mapping[str, Any], _: str) -> Any:
    values = {"question": inputs["question"], "reply": inputs["prediction"]}
    return asking.prompt("mmvet", answer=with_spaces(inputs["answer"]), **values)[-60:]


def said(function: Callable[[str], Any], key: str = "prediction", none: Any = None) -> Compute:
    """A function of one text."""

    def compute(inputs: Mapping[str, Any], _: str) -> Any:
        value = function(text_of(inputs[key]))
        return none if value is None else value

    return compute


XLSX, TSV = roundtrip.spreadsheet, roundtrip.column
E2E = "evaluate(exact_matching) end to end via xlsx"
SHA = " sha256(utf-8)"

CHECKERS: dict[str, Compute] = {
    **eval_prompts.CHECKERS,
    "can_infer": can_infer,
    "can_infer with env VERBOSE=0": lambda i, b: can_infer(i, b, verbose=True),
    "can_infer with env VERBOSE=1": lambda i, b: can_infer(i, b, verbose=True),
    "extract_answer_from_item(model=None)": lambda i, b: vanilla(i, b).extracted or choice.REFUSED,
    "eval_vanilla(model=None)": lambda i, b: int(vanilla(i, b).score),
    "prefetch_circular_group": prefetch_circular,
    "eval_circular_group(model=None)": lambda i, _: int(all(v.score for v in circular(i))),
    "report_acc": report_acc,
    "MMMU_preproc": preprocessed,
    "process_punctuation": said(normalising.punctuation, "text"),
    "process_answer": said(normalising.answer, "text"),
    "process_line(vqa_score)+hit_calculate": vqa_row(
        vqa.soft, vqa.mean, normalising.answer, normalising.answer
    ),
    "levenshtein_distance": lambda i, _: Levenshtein.distance(i["a"], i["b"]),
    "process_line(anls)+hit_calculate": vqa_row(vqa.distances, vqa.similarity),
    "process_line(relaxed_accuracy)+hit_calculate": vqa_row(vqa.relaxed, vqa.best, reply=str.strip),
    "process_line(accuracy)+hit_calculate": vqa_row(vqa.exact, vqa.best, reply=str.strip),
    "YOrN_Extraction": said(yes_no.extraction, none="Unknown"),
    "YOrN_auxeval": yes_no_judged,
    "MME_rating": mme,
    "Hallusion_rating": lambda i, _: hallusion_rates(scored_of(i["rows"])),
    "POPE_rating": yes_no_rates,
    "default_rating": default_rating,
    "OCRBench.evaluate": ocrbench,
    "post_check(prefetch=True)": post_check(prefetch=True),
    "post_check(prefetch=False)": post_check(prefetch=False),
    "is_equal": lambda i, _: latex.is_equal(i["pred"], i["answer"]),
    "post_check_score(prefetch=True)": same_text,
    "MathVista_acc": mathvista_acc,
    "MMVet_acc": mmvet_acc,
    "MMVet_auxeval": mmvet_judged,
    "build_mmvet_gpt4_prompt(tail)": mmvet_tail,
    "is_correct": lambda i, _: crpe.is_correct(i["answer"], i["prediction"]),
    'DynaMath_auxeval(judge always "none")': dynamath_judged,
    "parse_answer": dynamath_parsed,
    "LogicVista_auxeval": logicvista_judged,
    "load_and_process_data": wemath_letter,
    "wemath_evaluate_models (pandas 2.2.3)": wemath_table,
    "videomme.extract_characters_regex": said(video.first_video_mme, none=""),
    "multiple_choice.extract_characters_regex": said(video.first_mme_realworld, none=""),
    "mvbench.check_ans": lambda i, _: video.check_answer(i["prediction"], i["answer"]),
    "mvbench.check_ans_with_model(model=None)": mvbench_judged,
    "mvbench.get_dimension_rating": mvbench_rating,
    "eval_rule_multi_choice": tempcompass(video.multi_choice),
    "eval_rule_caption_matching": tempcompass(video.caption_matching),
    "eval_rule_YorN": said(video.starts_with, none=False),
    "llm_output_to_rating": lambda i, _: int(video.rating(i["judge_output"])),
    'dump+load xlsx, str() of cell 0 (column also holds "word")': cell_of(XLSX, "word", own=True),
    'dump+load xlsx, str() of cell 1 ("3")': cell_of(XLSX, "3", own=False),
    'dump+load tsv, str() of cell 0 (column also holds "word")': cell_of(TSV, "word", own=True),
    'dump+load tsv, str() of cell 1 ("3")': cell_of(TSV, "3", own=False),
    f"ImageMCQDataset.{E2E}": end_to_end("choice", circular_table),
    f"MMMUDataset.{E2E}": end_to_end("mmmu", accuracy_table),
    f"ImageVQADataset.{E2E}": end_to_end("vqa_soft", vqa_table),
    f"ImageYORNDataset.{E2E}": end_to_end("yes_no", yes_no_table),
    f"build_option_str{SHA}": lambda i, _: hashed(choice.option_list(i["choices"])),
    f"multiple_choice.build_prompt{SHA}": prompt_hash("choice"),
    f"multiple_choice.build_prompt_cn{SHA}": prompt_hash("choice_cn"),
    f"multiple_choice.build_prompt_wemath{SHA}": prompt_hash("choice_wemath"),
    f"YOrN_match_prompt{SHA}": prompt_hash("yes_no"),
    f"build_mathvista_gpt4_prompt{SHA}": prompt_hash("mathvista"),
    f"build_mathv_gpt4_prompt{SHA}": prompt_hash("mathvision"),
    f"build_mathverse_gpt4_extract_prompt{SHA}": prompt_hash("mathverse_extract"),
    f"build_mathverse_gpt4_score_prompt{SHA}": prompt_hash("mathverse_score"),
    f"build_mmvet_gpt4_prompt{SHA}": prompt_hash("mmvet"),
    f"build_prompt_logicvista{SHA}": prompt_hash("logicvista"),
}
