"""The documentation's own tools: what must stop the build does. Needs Sphinx, ``pip install -e '.[docs]'``."""

import importlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastnn_ref.shared import metrics

pytest.importorskip("sphinx", reason="Sphinx is missing: the documentation's tools are NOT tested")
pytest.importorskip("onnx", reason="onnx is missing: the documentation's tools are NOT tested")

DOCS = Path(__file__).parents[1] / "docs"
NAME = "gradient_descent"


def tool(name):
    """A module of docs/, not of the package, made anew."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pages(monkeypatch, tmp_path):
    """concept_pages over a copy of one experiment's results, which a test may change."""
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    sys.modules.pop("concept_pages", None)
    found = importlib.import_module("concept_pages")
    for folder in ("", "bugs"):
        (tmp_path / folder).mkdir(exist_ok=True)
        shutil.copy(DOCS / "lab_results" / folder / f"{NAME}.json", tmp_path / folder)
    monkeypatch.setattr(found, "RESULTS", tmp_path)
    yield found
    sys.modules.pop("concept_pages", None)


def change(path, edit):
    """Edits the records in a result file."""
    document = json.loads(path.read_text("utf-8"))
    for record in document["results"]:
        edit(record)
    path.write_text(json.dumps(document), "utf-8")


def test_a_fresh_result_is_shown(pages, monkeypatch):
    """On a page that has nothing written by hand yet."""
    assert pages.check(NAME) == [] and pages.names() == [NAME]
    monkeypatch.setattr(pages, "parts_of", lambda name: {})
    text = pages.page(NAME)
    assert re.findall(r"^## (.+)$", text, re.M) == [
        "Predict", "Picture", "Code", "Experiment", "When it does not work", "Pitfalls", "Sources"]
    assert "fastnn_ref/optim.py" in text


@pytest.mark.parametrize(("file", "edit", "message"), [
    (f"{NAME}.json", lambda record: record.update(file_hash="another"), "stale"),
    (f"bugs/{NAME}.json", lambda record: record.update(file_hash="another"), "stale"),
    (f"{NAME}.json", lambda record: record["values"].update(safe=[5.0] * 24), "expected PASS, got FAIL"),
    (f"bugs/{NAME}.json", lambda record: record["values"].update(unsafe=[16.0] * 4, safe=[-3.0] * 4, rises=[0.0] * 4),
     "was not caught"),
])
def test_what_is_wrong_with_a_result_stops_the_build(pages, tmp_path, file, edit, message):
    change(tmp_path / file, edit)
    assert any(message in each for each in pages.check(NAME))


def test_a_bug_that_was_not_measured_stops_the_build(pages, tmp_path):
    document = json.loads((tmp_path / "bugs" / f"{NAME}.json").read_text("utf-8"))
    document["results"].pop()
    (tmp_path / "bugs" / f"{NAME}.json").write_text(json.dumps(document), "utf-8")
    assert "not measured" in pages.check(NAME)[0]


def test_code_that_is_shown_is_a_part_of_its_file():
    """A page that says what a formula looks like in C showed the whole file of the kernels for penalties."""
    for path in (DOCS / "concepts" / "parts").glob("*.md"):
        for shown in re.findall(r"^```\{literalinclude\}.*?^```", path.read_text("utf-8"), re.M | re.S):
            assert re.search(r"^:(pyobject|start-at|start-after):", shown, re.M), f"{path.name}: {shown}"


def test_an_unknown_heading_stops_the_build(pages, monkeypatch, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f"{NAME}.md").write_text("# Descent\n\nIntro.\n\n## Excercises\n\nText.\n", "utf-8")
    monkeypatch.setattr(pages, "CONCEPTS", tmp_path)
    with pytest.raises(Exception, match=r"expected a heading among .* got 'Excercises'"):
        pages.page(NAME)


@pytest.mark.parametrize(("text", "found"), [
    ('<script src="https://cdn.example/mathjax.js">', True), ("<img src=//cdn.example/a.png>", True),
    ('<link rel="stylesheet" href="https://fonts.example/a.css">', True),
    ("@import url(https://a.example/b.css);", True),
    ('<a href="https://www.sphinx-doc.org/">', False), ('<script src="_static/scripts/furo.js">', False),
    ("url('data:image/svg+xml,<svg xmlns=\"http://www.w3.org/2000/svg\">')", False),
])
def test_what_would_be_loaded_from_elsewhere_is_seen(tmp_path, text, found):
    (tmp_path / "page.html").write_text(text, "utf-8")
    assert bool(tool("build").other_hosts(tmp_path)) is found


def test_a_link_to_no_file_is_seen(tmp_path):
    (tmp_path / "page.html").write_text('<a href="page.html#top"> <a href="#x"> <a class="a" href="ru/page.html"> '
                                        '<a href="https://example.org/">', "utf-8")
    assert tool("build").dead_links(tmp_path) == ["page.html: ru/page.html"]


def test_every_public_name_has_one_kind(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    api = importlib.import_module("api_pages")
    api.check()
    title, sentence, names = api.KINDS["checks"]
    monkeypatch.setitem(api.KINDS, "checks", (title, sentence, names[1:]))
    with pytest.raises(Exception, match="expected each public name once, got gradcheck otherwise"):
        api.check()


def test_modules_show_what_users_call(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    public = importlib.import_module("api_pages").public
    found = public("fastnn_ref.shared.metrics")
    assert sorted(found) == sorted({"Metric", "top_k_accuracy", *metrics.METRICS} - {"top_5_accuracy"})
    assert not {"as_init", "create", "default_init", "drawn"} & {*public("fastnn_ref.init")}


def test_marks_of_restructuredtext_are_escaped(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    escaped = importlib.import_module("api_pages").escaped
    assert escaped(["R = l1·Σ |w|, ``a|b*`` and *args_", ">>> x = a * b | c", "'|'", "", "`n`"]) == [
        r"R = l1·Σ \|w\|, ``a|b*`` and \*args\_", ">>> x = a * b | c", "'|'", "", r"\`n\`"]
    assert escaped(["``pip install", '"fastnn[torch]"`` and *', "", "``a|b`` *"]) == [
        "``pip install", r'"fastnn[torch]"`` and \*', "", r"``a|b`` \*"]


@pytest.mark.parametrize(("message", "translation", "wrong"), [
    ("A new sentence.", None, "no translation"), ("A new sentence.", "", "no translation"),
    ("A gain of {lab}`l2: gain`.", "Выигрыш {lab}`l2: gain`.", ""),
    ("A gain of {lab}`l2: gain`.", "Выигрыш {lab}`l2: clean`.", "in one language only"),
    ("As $x > 0$, use `fit`.", "Так как $x > 0$, вызовите `fit`.", ""),
    ("As $x > 0$, use `fit`.", "Так как $x < 0$, вызовите `fit`.", "in one language only"),
    ("As $x > 0$, use `fit`.", "Так как $x > 0$, вызовите fit.", "in one language only"),
    ("See [L2](l2.md).", "См. [L2](l1.md).", "in one language only"),
    ("AdamW", "AdamW", ""), ("AdamW", None, "no translation"), ("$x > 0$, `fit`: {lab}`l2: gain` %", None, ""),
])
def test_a_lost_translation_is_seen(monkeypatch, message, translation, wrong):
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    lost = importlib.import_module("translations").lost
    catalog = importlib.import_module("babel.messages").Catalog()
    if translation is not None:
        catalog.add(message, translation)
    assert lost(message, catalog).startswith(wrong) and bool(lost(message, catalog)) is bool(wrong)
    if translation and not wrong:
        catalog[message].flags.add("fuzzy")
        assert lost(message, catalog) == "only a fuzzy translation"


def test_words_in_formulas_are_translated(monkeypatch, caplog):
    """Sphinx would show "::" in place of a formula with a translation of its own."""
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    russian = importlib.import_module("mathml").russian
    assert russian(r"a_\text{in} \text{ if } b > 0", None) == r"a_\text{in} \text{ при } b > 0"
    assert russian(r"12 \cdot 9{,}610 = (1, 2)", None) == r"12 \cdot 9\,610 = (1, 2)"
    assert not caplog.records
    assert russian(r"\text{unless}", None) == r"\text{unless}"
    assert "no Russian for 'unless'" in caplog.text


def test_formulas_have_decimal_commas_in_russian(monkeypatch):
    """And semicolons in a list of such numbers; a list of whole ones keeps its commas."""
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    from docutils import nodes

    mathml = importlib.import_module("mathml").mathml
    shown = {language: [re.sub(r"<[^>]*>|\s", "", mathml(
        SimpleNamespace(config=SimpleNamespace(language=language)), nodes.math("", formula), as_block=False))
        for formula in (r"(-1.07,\ 0) = 9{,}610.5", "(1, 2)")] for language in ("en", "ru")}
    assert shown == {"en": ["(−1.07,0)=9,610.5", "(1,2)"], "ru": ["(−1,07;0)=9610,5", "(1,2)"]}


def test_an_index_stands_beside_an_accented_letter(monkeypatch):
    """docutils takes the accent and the index for what stands over and under it, as with a sum."""
    from docutils import nodes

    monkeypatch.syspath_prepend(DOCS / "_extensions")
    mathml = importlib.import_module("mathml").mathml
    writer = SimpleNamespace(config=SimpleNamespace(language="en"))
    shown = mathml(writer, nodes.math("", r"\hat x_i + \bar x_{ij} + \sum_{i}^n x"), as_block=True)
    assert shown.count("<msub><mover") == 2 and shown.count("<munderover>") == 1
    assert "<msub><mover accent=\"true\"><mi>x</mi><mo stretchy=\"false\">ˆ</mo></mover><mi>i</mi></msub>" in shown


def test_formulas_as_tex_reads_them(monkeypatch):
    """A half was shown as 12 over nothing; and the last bar of a norm with an exponent stretched below the line."""
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    from docutils import nodes

    mathml = importlib.import_module("mathml").mathml
    writer = SimpleNamespace(config=SimpleNamespace(language="en"))
    shown = mathml(writer, nodes.math("", r"\tfrac12\,\|x\|^2 + \frac1N"), as_block=True)
    assert "<mn>12</mn>" not in shown and re.search(r"<mfrac[^>]*>\s*<mn>1</mn>\s*<mn>2</mn>\s*</mfrac>", shown)
    shown += mathml(writer, nodes.math("", r"-\ln p_t = \log(x)"), as_block=False)          # "lnp" read as a name
    assert shown.count("ApplyFunction") == 2 and shown.count('<mo rspace="0.1667em">&ApplyFunction;') == 1
    assert shown.count('<mo stretchy="false">‖</mo>') == 2 and re.search(r"<mn>1</mn>\s*<mi>N</mi>\s*</mfrac>", shown)


def test_a_comma_stays_with_its_formula(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    keep_together = importlib.import_module("mathml").keep_together
    context = {"body": "<p>As <math><mi>x</mi></math>, <math>1</math> and (<math>2</math>). <math>3</math></p>"}
    keep_together(None, "", "", context, None)
    assert context["body"] == (
        '<p>As <span class="formula"><math><mi>x</mi></math>,</span> <math>1</math> and '
        '(<span class="formula"><math>2</math>).</span> <math>3</math></p>')
    keep_together(None, "", "", context := {}, None)            # a page without a body, such as the search
    assert not context.get("body")


def test_a_sentence_has_one_full_stop(pages):
    context = {"body": "на 2 п. п.. А"}
    pages.one_full_stop(None, "", "", context, None)
    assert context["body"] == "на 2 п. п. А"


# ---- notebooks ----


@pytest.fixture
def notebooks(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    pytest.importorskip("nbformat", reason="nbformat is missing: notebooks are NOT tested")
    return importlib.import_module("notebooks")


PAGE = """# Title

A gain of {tutorial}`layer accuracy`, see
[L2](concepts/l2.md#code).

```{literalinclude} ../examples/plain_python.py
:pyobject: Layer.update
```

```{cell}
1 + 1
```

:::{solution}
1. One,
   and more.
2. Two.
:::
"""


def test_a_notebook_is_made_of_its_page(notebooks):
    """Code of the examples is cells, a method is put into its class, roles are numbers, links lead to the site."""
    found = notebooks.Maker("tutorial", "en", "https://example.org/docs/").notebook(PAGE)
    kinds = "".join(cell.cell_type[0] for cell in found.cells)
    assert kinds == "mcmccm"
    head, install, text, method, code, solution = (cell.source for cell in found.cells)
    assert head.startswith("# Title\n") and install.startswith('%pip install -q "fastnn[lab] @ https://example.org/docs/')
    assert re.fullmatch(r"A gain of \d\d\.\d %, see \[L2\]\(https://example\.org/docs/concepts/l2\.html#code\)\.", text)
    assert method.startswith("def update(self, lr):") and method.endswith("\n\nLayer.update = update")
    assert code == "1 + 1"
    assert solution == "<details><summary>Solution</summary>\n\n1. One, and more.\n2. Two.\n\n</details>"
    with pytest.raises(ValueError, match="no notebook can be made of the directive figure"):
        notebooks.Maker("tutorial", "en").notebook("# Title\n\n```{figure} a.png\n```\n")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_notebook_is_whole(notebooks, caplog, language):
    """In both languages: nothing of a directive or role is left, and no translation is missing."""
    for page in notebooks.PAGES:
        made = notebooks.make(page, language)
        text = "\n".join(cell.source for cell in made.cells)
        assert not re.search(r"\{[a-z-]+\}`|^:::|^```\{|п\. п\.\.|Text\(en=", text, re.M), page
        assert language == "en" or not re.search(r"\\text\{(examples|batch|of the shape)", text), page
        assert sum(cell.cell_type == "code" for cell in made.cells) >= 5
        assert made.cells[1].source == f'%pip install -q "./{notebooks.ARCHIVE}[lab]"'
    assert not caplog.records


def test_the_archive_has_what_pip_builds_from(notebooks, tmp_path):
    notebooks.archive(tmp_path / "a.tar.gz")
    root = notebooks.ARCHIVE.removesuffix(".tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as file:
        found = {name.removeprefix(f"{root}/") for name in file.getnames()}
    wanted = {str(path.relative_to(DOCS.parent)) for folder in ("fastnn", "fastnn_ref")
              for path in (DOCS.parent / folder).rglob("*")
              if path.is_file() and path.suffix in (".py", ".pyx", ".pxd", ".pyi", ".c", ".h", ".typed")}
    assert wanted | {"setup.py", "pyproject.toml", "README.md", "LICENSE"} <= found
    assert not [name for name in found if name.endswith((".so", ".pyc"))]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "language"), [
    ("tutorial", "en"), ("concepts/gradient_descent", "en"), ("concepts/l2", "en"), ("concepts/dropout", "en"),
    ("concepts/batchnorm_initialisation", "en"), ("concepts/gradient_descent", "ru")])
def test_a_notebook_runs(notebooks, tmp_path, page, language):
    """In an empty folder, but for the line that installs; the first error fails."""
    pytest.importorskip("nbclient", reason="nbclient is missing: notebooks do NOT run")
    pytest.importorskip("ipykernel", reason="ipykernel is missing: notebooks do NOT run")
    made = notebooks.make(page, language)
    made.cells = [cell for cell in made.cells if "install" not in cell.metadata.get("tags", ())]
    path = tmp_path / notebooks.file_name(page)
    path.write_text(json.dumps(made), "utf-8")
    command = [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace", str(path)]
    run = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(DOCS.parent)},
                         stderr=subprocess.PIPE, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    outputs = [output for cell in json.loads(path.read_text("utf-8"))["cells"] for output in cell.get("outputs", ())]
    assert outputs and not [each for each in outputs if each.get("name") == "stderr"]
    assert page == "tutorial" or any("image/png" in each.get("data", {}) for each in outputs)


def test_every_page_with_a_notebook_runs(notebooks):
    run = next(mark for mark in test_a_notebook_runs.pytestmark if mark.name == "parametrize").args[1]
    assert {page for page, _ in run} == set(notebooks.PAGES)


# ---- examples ----


@pytest.fixture
def example_pages(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(DOCS / "_extensions")
    sys.modules.pop("example_pages", None)
    found = importlib.import_module("example_pages")
    yield found
    sys.modules.pop("example_pages", None)


def test_every_example_has_its_output_and_page(example_pages, monkeypatch, tmp_path):
    """None is stale; another program is."""
    examples = example_pages.examples
    assert len(examples.names()) >= 8 and not [name for name in examples.names() if examples.stale(name)]
    assert example_pages.page("gan").startswith("# A small GAN\n\nA small GAN: a generator")
    shutil.copytree(examples.PROGRAMS, tmp_path / "examples")
    monkeypatch.setattr(examples, "PROGRAMS", tmp_path / "examples")
    monkeypatch.setattr(example_pages, "PAGES", tmp_path / "pages")
    with (tmp_path / "examples" / "plain_python.py").open("a") as file:
        file.write("\n")
    with pytest.raises(Exception, match=r"stale one, of plain_python, tutorial: python docs/run_examples\.py"):
        example_pages.write_pages(None, None)


def test_what_an_example_prints_is_kept(example_pages, monkeypatch, tmp_path):
    examples = example_pages.examples
    monkeypatch.setattr(examples, "PROGRAMS", tmp_path / "examples")
    monkeypatch.setattr(examples, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(examples, "OUTPUTS", tmp_path / "outputs.json")
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "one.py").write_text('"""One."""\nprint("a\\nb")\n')
    assert examples.stale("one")
    examples.run("one")
    assert not examples.stale("one") and examples.kept()["one"]["output"] == ["a", "b"]


def test_the_theme_speaks_russian():
    """What Furo's templates say is translated by Sphinx or by us, and the labels that ours replaces are there."""
    furo = Path(pytest.importorskip("furo").__file__).parent / "theme" / "furo"
    extract = importlib.import_module("jinja2.ext").babel_extract
    catalog = importlib.import_module("babel.messages.pofile").read_po
    locale = importlib.import_module("sphinx.locale")
    theirs = locale.init([Path(locale.__file__).parent], "ru")[0]
    ours = catalog(io.BytesIO((DOCS / "locales/ru/LC_MESSAGES/sphinx.po").read_bytes()))
    said = {message for name in ("page.html", "search.html", "genindex.html", "sidebar/search.html")
            for _, _, message, _ in extract(io.BytesIO((furo / name).read_bytes()), ("_",), [],
                                            {"extensions": "jinja2.ext.i18n"})}
    known = {message.id for message in ours if message.string}
    missing = {each for each in said - known if theirs.gettext(each) == each}
    names = re.compile("<.*?>|%\\(.*?\\)s|Furo|Copyright|&#169;|\\s")
    assert not {each for each in missing if names.sub("", each)}
    labels = set(re.findall(r'replace\("(.+?)", ', (DOCS / "_templates/page.html").read_text("utf-8")))
    assert labels == set(re.findall('aria-label="(Toggle .+?)"', (furo / "page.html").read_text("utf-8")))
