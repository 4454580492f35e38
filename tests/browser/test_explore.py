"""The explorer in a real browser: what a person sees, clicks and types."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictured import ResNet, Siamese, UNet, lenet, second_derivative
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import data, graph, nn

Look = Callable[..., Any]


def readme() -> nn.Module:
    """The model of the README."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 3 * 3, 10),
    )  # fmt: skip


def digits(count: int = 4) -> tuple[tg.Tensor, tg.Tensor]:
    _, test = data.mnist()
    images, labels = test.tensors()
    return images[:count], labels[:count]


def seen(driver: Any, selector: str) -> list[str]:
    """The texts of what is in sight."""
    return [e.text for e in driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()]


def titles(driver: Any) -> list[str]:
    return seen(driver, ".box .name")


def box(driver: Any, title: str) -> Any:
    """The box with a title, in sight."""
    found = [
        e
        for e in driver.find_elements(By.CSS_SELECTOR, ".box")
        if e.find_element(By.CSS_SELECTOR, ".name").text == title
    ]
    assert len(found) == 1, f"{len(found)} boxes are called {title}: {titles(driver)}"
    return found[0]


def details(driver: Any) -> str:
    text: str = driver.find_element(By.ID, "details").text
    return text


def press(driver: Any, *keys: str) -> None:
    ActionChains(driver).send_keys(*keys).perform()


def number_after(text: str, label: str) -> float:
    """The number in the line after `label` in the details."""
    lines = text.splitlines()
    return float(lines[lines.index(label) + 1].split()[0])


def assert_quiet(driver: Any) -> None:
    """No error or warning in the console, and no request but for the page itself and what it carries."""
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url[:60] for url in urls if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in urls) == 1


# What the eye would complain of: boxes on boxes, text out of its box, a child out of its frame, a line through a box.
FAULTS = Path(__file__).with_name("faults.js").read_text("utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_shows_every_layer_and_asks_nobody(look: Look, screenshots: Path, theme: str) -> None:
    images, labels = digits()
    driver = look(graph.capture(lenet(), images, title="LeNet"), theme, target=labels)
    assert driver.title == "LeNet: graph explorer"
    assert "51,902 parameters" in driver.find_element(By.ID, "totals").text
    driver.save_screenshot(str(screenshots / f"lenet-{theme}.png"))
    driver.find_element(By.ID, "fit").click()
    assert set(titles(driver)) == {"input", *map(str, range(10)), "target", "softmax_cross_entropy", "loss"}
    assert "Conv2d 1→6 k5 s1 p2" in seen(driver, ".box .words")
    assert "156 params" in seen(driver, ".box .note")
    assert "(4, 6, 28, 28)" in seen(driver, "#labels text")
    page = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, page[4:-1].split(","))) > 382) == (theme == "light")
    assert_quiet(driver)


def test_a_click_opens_the_details(look: Look, screenshots: Path) -> None:
    images, labels = digits()
    model = lenet()
    driver = look(graph.capture(model, images), target=labels)
    box(driver, "3").click()
    text = details(driver)
    assert text.startswith("3\nConv2d · 6→16 k5 s1 p0")
    assert "(4, 16, 10, 10), 25.6 kB" in text
    assert "conftest.py:" in text  # the line that had a Sequential, which has no line of its own, run
    assert "graph.explore(path, **options)" in text
    assert "Gradient of the loss by the result" in text
    assert "3.weight (16, 6, 5, 5)" in text
    panel = driver.find_element(By.ID, "details")
    assert len(panel.find_elements(By.CSS_SELECTOR, "svg.histogram")) == 4  # result, weight, and their gradients
    assert len(panel.find_elements(By.CSS_SELECTOR, ".values")) == 2  # bias and its gradient, number by number
    pictures = panel.find_elements(By.CSS_SELECTOR, "img")
    assert [int(p.get_property("naturalWidth")) for p in pictures] == [8 * 11 - 1, 8 * 11 - 1, 8 * 6 - 1]
    assert all(" by " in str(p.get_attribute("alt")) for p in pictures)
    assert min(value.rect["width"] for value in panel.find_elements(By.CSS_SELECTOR, "dd")) > 100
    out = model[:4](images).array
    assert number_after(text, "std") == pytest.approx(out.std(), rel=1e-2)
    driver.save_screenshot(str(screenshots / "details.png"))
    panel.find_element(By.XPATH, ".//button[text()='4']").click()
    assert details(driver).startswith("4\nReLU")
    assert_quiet(driver)


def test_modules_fold_and_unfold(look: Look, screenshots: Path) -> None:
    images, labels = digits(2)
    driver = look(graph.capture(ResNet(2), images), target=labels)
    assert "blocks.0.conv1" in titles(driver)
    before = driver.execute_script("return scene.heads.get(state.selected ?? 'g1').getBoundingClientRect().top")
    head = next(
        e for e in driver.find_elements(By.CSS_SELECTOR, ".head") if e.text.endswith("params") and "blocks.0" in e.text
    )
    assert head.get_attribute("aria-expanded") == "true"
    head.click()
    assert "blocks.0.conv1" not in titles(driver)
    assert "blocks.1.conv1" in titles(driver)
    folded = box(driver, "blocks.0")
    assert folded.get_attribute("aria-expanded") == "false"
    assert "304 params" in folded.text
    after = driver.execute_script("return scene.boxes.get(state.selected).getBoundingClientRect().top")
    assert abs(after - before) < 12  # what one folds stays where one looks
    folded.find_element(By.CSS_SELECTOR, ".fold-sign").click()
    assert "blocks.0.conv1" in titles(driver)
    driver.find_element(By.ID, "fold-all").click()
    assert set(titles(driver)) == {"image", "stem", "blocks", "mean", "head", "target", "softmax_cross_entropy", "loss"}
    driver.save_screenshot(str(screenshots / "folded.png"))
    driver.find_element(By.ID, "unfold-all").click()
    driver.find_element(By.ID, "fit").click()
    assert "blocks.1.conv2" in titles(driver)
    assert_quiet(driver)


def test_the_slider_steps_forward_and_then_backward(look: Look, screenshots: Path) -> None:
    images, labels = digits()
    model = lenet()
    driver = look(graph.capture(model, images), target=labels)
    slider = driver.find_element(By.ID, "slider")
    words = driver.find_element(By.ID, "moment")
    assert words.text.startswith("Overview: the whole step")
    ActionChains(driver).click(driver.find_element(By.ID, "next")).perform()
    out = model[0](images).array
    assert words.text.startswith(f"Forward 1 of 11: 0 (conv2d) gives (4, 6, 28, 28), mean {out.mean():.3g}"[:50])
    assert "later" in str(box(driver, "1").get_attribute("class"))
    assert "later" not in str(box(driver, "0").get_attribute("class"))
    assert "Backward has not reached this yet." in details(driver)
    driver.execute_script("arguments[0].focus()", slider)
    press(driver, *[Keys.ARROW_RIGHT] * 11)
    assert words.text.startswith("Backward 1 of 11")
    assert "later" not in str(box(driver, "9").get_attribute("class"))
    assert seen(driver, "#labels .norm.shown") != []
    press(driver, Keys.END)
    assert words.text.startswith("Backward 11 of 11: to 0 (conv2d) comes a gradient of norm")
    F.cross_entropy(model(images), labels).backward()
    assert model[0].weight.grad is not None
    norm = float(np.linalg.norm(model[0].weight.grad.array))
    assert float(words.text.partition("weight ")[2].partition(",")[0]) == pytest.approx(norm, rel=1e-3)
    driver.save_screenshot(str(screenshots / "backward.png"))
    driver.find_element(By.ID, "first").click()
    assert words.text.startswith("Overview")
    assert driver.find_elements(By.CSS_SELECTOR, ".later") == []
    assert_quiet(driver)


def test_playing_moves_through_the_step(look: Look) -> None:
    driver = look(graph.capture(nn.Linear(2, 2), tg.ones(1, 2)), target=tg.zeros(1, 2))
    driver.find_element(By.ID, "play").click()
    end = time.monotonic() + 5
    while driver.execute_script("return state.moment") < 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert driver.execute_script("return state.moment") >= 2
    press(driver, "p")
    assert "Play" in driver.find_element(By.ID, "play").text


def test_search_marks_what_it_finds_also_inside_folded_modules(look: Look, screenshots: Path) -> None:
    images, _ = digits(1)
    driver = look(graph.capture(ResNet(2), images))
    driver.find_element(By.ID, "fold-all").click()
    press(driver, "/")
    press(driver, "blocks.1 batchnorm")
    assert driver.find_element(By.ID, "found").text == "1 hit"
    assert [
        e.find_element(By.CSS_SELECTOR, ".name").text for e in driver.find_elements(By.CSS_SELECTOR, ".box.found")
    ] == ["blocks"]
    press(driver, Keys.ENTER)
    assert [
        e.find_element(By.CSS_SELECTOR, ".name").text for e in driver.find_elements(By.CSS_SELECTOR, ".box.found")
    ] == ["blocks.1.norm"]
    assert details(driver).startswith("blocks.1.norm\nBatchNorm2d")
    driver.save_screenshot(str(screenshots / "search.png"))
    press(driver, Keys.ESCAPE)
    assert driver.find_elements(By.CSS_SELECTOR, ".box.found") == []
    press(driver, "/")
    press(driver, "nothing like it")
    assert driver.find_element(By.ID, "found").text == "no hits"
    assert_quiet(driver)


def test_overlays_paint_and_say_their_numbers(look: Look, screenshots: Path) -> None:
    images, labels = digits()
    driver = look(graph.capture(lenet(), images), target=labels)
    names = [o.text for o in driver.find_elements(By.CSS_SELECTOR, "#overlay option")]
    assert len(names) >= 8
    bar = driver.find_element(By.ID, "colour-bar")
    assert not bar.is_displayed()
    fills = {}
    for name in names[1:]:
        driver.find_element(By.XPATH, f"//select[@id='overlay']/option[.={json.dumps(name)}]").click()
        assert bar.is_displayed()
        assert bar.text.startswith(name)
        ticks = seen(driver, "#colour-bar .ticks span")
        assert len(ticks) == 5 or "finite" in bar.text
        driver.save_screenshot(str(screenshots / f"overlay-{names.index(name)}.png"))
        fills[name] = box(driver, "3").find_element(By.CSS_SELECTOR, ".shape").value_of_css_property("fill")
        assert driver.execute_script(FAULTS) == []
    assert len(set(fills.values())) > 3
    driver.find_element(By.XPATH, "//select[@id='overlay']/option[1]").click()
    driver.find_element(By.ID, "overlay").send_keys(Keys.ARROW_DOWN)
    assert "1.93 M" in box(driver, "3").text
    assert_quiet(driver)


def test_everything_works_by_keyboard(look: Look) -> None:
    images, labels = digits(2)
    driver = look(graph.capture(ResNet(1), images), target=labels)
    driver.execute_script("document.getElementById('picture').focus()")
    press(driver, Keys.ARROW_DOWN)
    assert details(driver).startswith("image\ninput")
    press(driver, Keys.ARROW_DOWN)
    assert details(driver).startswith("stem\nConv2d")
    assert driver.switch_to.active_element.get_attribute("aria-label").startswith("stem, Conv2d 1→4 k3 s1 p1")
    press(driver, Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "details"
    driver.execute_script("document.getElementById('picture').focus()")
    press(driver, Keys.ARROW_DOWN)
    assert details(driver).startswith("blocks.0.conv1")
    press(driver, Keys.SPACE)
    assert "blocks.0.conv1" not in titles(driver)
    press(driver, Keys.SPACE)
    assert "blocks.0.conv1" in titles(driver)
    press(driver, "g")
    assert seen(driver, "#labels .norm.shown") != []
    press(driver, "o")
    assert driver.find_element(By.ID, "colour-bar").is_displayed()
    press(driver, "m")
    assert driver.find_elements(By.CSS_SELECTOR, ".box image") == []
    press(driver, "]")
    assert driver.find_element(By.ID, "moment").text.startswith("Forward 1")
    press(driver, "d")
    assert driver.find_element(By.ID, "theme").text == "Light"
    press(driver, "?")
    dialog = driver.find_element(By.ID, "help-dialog")
    assert dialog.is_displayed()
    for word in ("walk from box to box", "fold or unfold", "one moment back", "next overlay", "light or dark"):
        assert word in dialog.text
    press(driver, Keys.ESCAPE)
    assert not dialog.is_displayed()
    assert_quiet(driver)


def test_pan_and_zoom(look: Look) -> None:
    images, _ = digits(1)
    driver = look(graph.capture(lenet(), images))
    picture = driver.find_element(By.ID, "picture")

    def place() -> dict[str, float]:
        rect: dict[str, float] = box(driver, "3").rect
        return rect

    first = place()
    ActionChains(driver).move_to_element_with_offset(picture, 300, 0).click_and_hold().move_by_offset(
        40, -60
    ).release().perform()
    moved = place()
    assert (round(moved["x"] - first["x"]), round(moved["y"] - first["y"])) == (40, -60)
    driver.find_element(By.ID, "zoom-in").click()
    assert place()["width"] == pytest.approx(1.25 * first["width"], rel=0.02)
    press(driver, "0")
    stage = picture.rect
    for element in driver.find_elements(By.CSS_SELECTOR, ".box"):
        rect = element.rect
        assert rect["y"] >= stage["y"]
        assert rect["y"] + rect["height"] <= stage["y"] + stage["height"]
    assert_quiet(driver)


def test_the_outline_says_it_all_in_text(look: Look) -> None:
    images, labels = digits(1)
    driver = look(graph.capture(ResNet(1), images), target=labels)
    driver.find_element(By.ID, "tab-outline").click()
    outline = driver.find_element(By.ID, "outline")
    for words in ("blocks.0.conv1", "Conv2d", "(1, 8, 28, 28)", "cross_entropy", "loss"):
        assert words in outline.text
    outline.find_element(By.XPATH, ".//button[starts-with(., 'head')]").click()
    driver.find_element(By.ID, "tab-details").click()
    assert details(driver).startswith("head\nLinear")
    unnamed = driver.execute_script(
        "return [...document.querySelectorAll('[role=button], button, input, select')]"
        ".filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).length"
    )
    assert unnamed == 0


@pytest.mark.parametrize("name", ["readme", "lenet", "resnet", "unet", "siamese", "second"])
def test_pictures_have_no_faults(look: Look, screenshots: Path, name: str) -> None:
    images, labels = digits(2)
    small = tg.rand(2, 1, 16, 16)
    if name == "second":
        driver = look(second_derivative())
    else:
        g, options = {
            "readme": (graph.capture(readme(), tg.rand(32, 1, 8, 8)), {"target": tg.randint(0, 10, (32,))}),
            "lenet": (graph.capture(lenet(), images), {"target": labels}),
            "resnet": (graph.capture(ResNet(12), images), {"target": labels}),
            "unet": (graph.capture(UNet(), small), {"loss": lambda y: (y**2).mean()}),
            "siamese": (graph.capture(Siamese(), small[..., :8, :8], small[..., 8:, 8:]), {"loss": lambda y: y.sum()}),
        }[name]
        driver = look(g, **options)
    driver.save_screenshot(str(screenshots / f"{name}.png"))
    assert driver.execute_script(FAULTS) == []
    driver.find_element(By.ID, "fold-all").click()
    assert driver.execute_script(FAULTS) == []
    driver.find_element(By.ID, "unfold-all").click()
    driver.find_element(By.ID, "fit").click()
    driver.save_screenshot(str(screenshots / f"{name}-unfolded.png"))
    assert driver.execute_script(FAULTS) == []
    assert_quiet(driver)


def test_hostile_names_are_only_text(look: Look) -> None:
    name = "</script><img src=x onerror=\"window['hacked']=1\">'&\n日本"
    model = nn.Sequential()
    model.add_module(name, nn.Linear(2, 2))
    driver = look(graph.capture(model, tg.ones(1, 2), title="<script>window.hacked=1</script>"), loss=lambda y: y.sum())
    box(driver, titles(driver)[1]).click()
    assert details(driver).startswith(name.replace("\n", " "))
    assert driver.find_element(By.ID, "title").text == "<script>window.hacked=1</script>"
    assert driver.execute_script("return window.hacked") is None
    assert driver.execute_script("return document.images.length") == 0
    assert_quiet(driver)


def test_nan_and_failures_are_marked_with_a_sign(look: Look, screenshots: Path) -> None:
    driver = look(graph.capture(lambda x: (x.log() * 2).sum(), tg.tensor([-1.0, 1.0, 2.0])))
    assert "⚠ NaN" in seen(driver, ".flag-text")
    broken = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3))
    driver = look(graph.capture(broken, tg.ones(2, 4), on_error="draw"))
    assert seen(driver, ".flag-text") == ["⚠ failed"]
    driver.execute_script("reveal(ops.find((node) => node.error))")
    assert "(2, 3)" in driver.find_element(By.CSS_SELECTOR, "#details .alert").text
    driver.save_screenshot(str(screenshots / "failed.png"))
    assert_quiet(driver)


def test_a_gradient_that_is_not_finite_is_painted_where_it_began(look: Look) -> None:
    x = tg.tensor([0.0, 4.0])
    driver = look(graph.capture(lambda x: (tg.sqrt(x * 1) * 0).sum(), x))
    driver.find_element(By.XPATH, "//select[@id='overlay']/option[text()='NaN and inf']").click()
    assert "NaN gradient first" in box(driver, "sqrt").text
    assert "finite" in box(driver, "sum").text
    bar = driver.find_element(By.ID, "colour-bar").text
    assert "NaN gradient first" in bar
    assert "NaN gradient\n" in bar
    assert_quiet(driver)


def test_the_ops_of_a_gradient_say_so(look: Look) -> None:
    driver = look(second_derivative())
    driver.find_element(By.ID, "unfold-all").click()
    words = seen(driver, ".box.of-gradient .words")
    assert {"gradient of sin", "2nd gradient of mul"} <= set(words)
    assert "op of a gradient" in driver.find_element(By.ID, "legend").text
    assert len(driver.find_elements(By.CSS_SELECTOR, ".box.op:not(.of-gradient)")) == 3  # sin, mul, exp
    assert_quiet(driver)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_all_of_it(look: Look, screenshots: Path, theme: str) -> None:
    images, labels = digits(2)
    driver = look(graph.capture(lenet(), images), theme, target=labels)
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        driver.refresh()
        assert driver.execute_script("return document.scrollingElement.scrollWidth") == 390
        assert not driver.find_element(By.ID, "legend").get_property("open")
        for name in ("search", "overlay", "fold-all", "fit", "theme", "help", "slider", "play", "details", "picture"):
            rect = driver.find_element(By.ID, name).rect
            assert rect["x"] >= 0
            assert rect["x"] + rect["width"] <= 390
            assert rect["y"] + rect["height"] <= 844
        ends = [driver.find_element(By.ID, f"phase-{name}").rect for name in ("overview", "forward", "backward")]
        assert all(a["x"] + a["width"] <= b["x"] for a, b in itertools.pairwise(ends))
        ActionChains(driver).click(box(driver, "0").find_element(By.CSS_SELECTOR, ".shape")).perform()
        assert details(driver).startswith("0\nConv2d")
        driver.save_screenshot(str(screenshots / f"phone-{theme}.png"))
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_picture_stands_beside_the_legend(look: Look) -> None:
    images, labels = digits(2)
    driver = look(graph.capture(ResNet(2), images), target=labels)
    legend = driver.find_element(By.ID, "legend").rect
    left = min(e.rect["x"] for e in driver.find_elements(By.CSS_SELECTOR, ".container"))
    assert left > legend["x"] + legend["width"]


def test_without_backward_the_page_says_so(look: Look) -> None:
    driver = look(graph.capture(nn.Linear(2, 2), tg.ones(1, 2)))
    assert "Backward has not run" in details(driver)
    press(driver, "g")
    assert driver.find_element(By.ID, "notice").text == "Backward has not run."
    box(driver, "linear").click()
    assert "Backward has not run." in details(driver)


def test_ten_thousand_ops_start_folded_and_draw_at_once(look: Look) -> None:
    def chain(x: tg.Tensor) -> tg.Tensor:
        for _ in range(10_000):
            x = x + 1.0
        return x.sum()

    driver = look(graph.capture(chain, tg.zeros(2)))
    assert len(titles(driver)) < 100
    milliseconds = driver.execute_script("const start = performance.now(); render(); return performance.now() - start")
    assert milliseconds < 2000
    driver.find_element(By.ID, "unfold-all").click()
    assert "too many to draw at once" in driver.find_element(By.ID, "notice").text
    assert len(titles(driver)) < 100
    assert_quiet(driver)
