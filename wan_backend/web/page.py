"""The page: a prompt, a button, the queue, the takes. Gradio is imported here and in `command` alone.

Gradio has the form; the queue and the takes are a component of our own, whose script (`page.js`) asks `board` once a
second what has changed, and puts that on the screen without touching the rest: a movie that plays goes on playing.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ..protocol import ProtocolError
from ..protocol.messages import MAX_REFERENCES, MAX_STRENGTH, MIN_STRENGTH, ModelRow, Quality, Task
from . import take_form, uploads
from .board import Board
from .server_line import ServerLine
from .take_form import Choices, Unusable
from .uploads import Uploads

HERE = Path(__file__).parent
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
FIXED_FONTS = ["ui-monospace", "Menlo", "Consolas", "monospace"]
USUAL_SIZE = "Usual"
MAX_SEED_DIGITS = 10


@dataclass(frozen=True)
class Studio:
    """What the page works with."""

    line: ServerLine
    uploads: Uploads
    board: Board
    takes_folder: Path
    lora_folders: Sequence[Path] = ()

    def models_for(self, task: str) -> list[ModelRow]:
        """The models that are here and can do a task."""
        return [row for row in self.line.models.models if row.here and not row.broken and Task(task) in row.tasks]


def build(studio: Studio) -> gr.Blocks:
    """The page."""
    board = studio.board
    with gr.Blocks(title="Wan", analytics_enabled=False, fill_width=True) as page:
        with gr.Row(elem_id="columns", equal_height=False):
            with gr.Column(elem_id="form", scale=4, min_width=320):
                form = _Form(studio)
            with gr.Column(elem_id="board-column", scale=7, min_width=320):
                shown = gr.HTML(
                    html_template=(HERE / "page.html").read_text("utf-8"),
                    js_on_load=(HERE / "page.js").read_text("utf-8"),
                    apply_default_css=False,
                    elem_id="board",
                    server_functions=_functions(board.board, board.cancel, board.repeat, board.retry, board.remove),
                )
        form.connect(page, shown)
    page.queue(api_open=False, default_concurrency_limit=8, max_size=100)
    return page


def _functions(*functions: Callable[[Any], Any]) -> list[Callable[[Any], Any]]:
    """What the script may call, by name; Gradio marks them, which it can't do with methods."""

    def marked(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @functools.wraps(function)
        def call(asked: Any = None) -> Any:
            return function(asked)

        return call

    return [*map(marked, functions)]


def settings() -> dict[str, Any]:
    """How the page looks, and what of it is shown, as Gradio is given it where the page is mounted."""
    fonts, fixed = ([gr.themes.Font(name) for name in names] for names in (FONTS, FIXED_FONTS))
    theme = gr.themes.Default(primary_hue="orange", neutral_hue="zinc", radius_size="md", font=fonts, font_mono=fixed)
    return {
        "theme": theme,
        "css": (HERE / "page.css").read_text("utf-8"),
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "mcp_server": False,
        "pwa": False,
        "show_error": False,
    }


class _Form:
    """The choices for a take, and what they do."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._loras = take_form.loras_in(studio.lora_folders)
        usual = Choices()
        self.task = gr.Radio(
            [(words, task.value) for task, words in take_form.TASKS.items()],
            value=usual.task.value,
            show_label=False,
            container=False,
            elem_id="task",
        )
        self.upload = self._upload("upload", "Drop a picture or a movie here, or press to choose one", visible="hidden")
        with gr.Row(visible=False, elem_id="references") as self.beside:
            self.references = [
                self._upload(f"reference-{number}", f"Reference picture {number} (optional)", optional=True)
                for number in range(1, MAX_REFERENCES + 1)
            ]
        self.prompt = gr.Textbox(
            label="Prompt",
            placeholder="A red car drives along a road by the sea, and gulls fly over it",
            lines=4,
            max_lines=10,
            elem_id="prompt",
        )
        self.make = gr.Button("Make Take", variant="primary", elem_id="make")
        self.said = gr.HTML(elem_id="said")
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self._add_settings(usual)

    def _upload(self, name: str, words: str, optional: bool = False, visible: bool | str = True) -> gr.HTML:
        """A field for a file; `optional`: what is in it can be taken out."""
        return gr.HTML(
            "",
            html_template=(HERE / "upload.html").read_text("utf-8"),
            js_on_load=(HERE / "upload.js").read_text("utf-8"),
            apply_default_css=False,
            server_functions=_functions(self._studio.board.picture),
            visible=visible,
            elem_id=name,
            elem_classes=["sent"],
            min_width=120,
            limit=uploads.MAX_BYTES,
            too_large=uploads.TOO_LARGE,
            invite=words,
            optional=optional,
        )

    def _add_settings(self, usual: Choices) -> None:
        self.model = gr.Dropdown([], label="Model", elem_id="model")
        self.quality = gr.Radio(
            [(quality.value.capitalize(), quality.value) for quality in Quality],
            value=usual.quality.value,
            label="Quality",
            info="Draft is quick and rough, Best takes its time.",
            elem_id="quality",
        )
        with gr.Row():
            self.size = gr.Dropdown([USUAL_SIZE], value=USUAL_SIZE, label="Size", min_width=120, elem_id="size")
            self.shape = gr.Dropdown([*take_form.SHAPES], value=usual.shape, label="Shape", min_width=120)
        self.seconds = gr.Slider(
            take_form.MIN_SECONDS,
            take_form.MAX_SECONDS,
            value=usual.seconds,
            step=0.5,
            label="Length in Seconds",
            elem_id="seconds",
        )
        self.strength = gr.Slider(
            0.0,
            1.0,
            value=usual.strength,
            step=0.05,
            label="Strength",
            info="How far the take may leave the movie: 0 changes little, 1 makes everything new.",
            visible=False,
        )
        self.avoid = gr.Textbox(label="Avoid", lines=1, placeholder="What the take should not show")
        self.seed = gr.Textbox(  # a number's field has no way of being empty
            label="Seed", lines=1, max_lines=1, info="Leave it empty for another one with each take.", elem_id="seed"
        )
        self.loras = gr.Dropdown(
            [*self._loras], value=[], multiselect=True, label="LoRAs", visible=bool(self._loras), elem_id="loras"
        )
        self.strengths = gr.State({})
        self._add_strengths()

    def _add_strengths(self) -> None:
        """A slider for each LoRA that is chosen."""

        @gr.render(inputs=[self.loras, self.strengths], triggers=[self.loras.change])  # type: ignore[untyped-decorator]
        def draw(names: list[str], strengths: dict[str, float]) -> None:
            for name in names or []:
                slider = gr.Slider(
                    MIN_STRENGTH / 2, MAX_STRENGTH / 2, value=strengths.get(name, 1.0), step=0.05, label=name, key=name
                )
                slider.change(
                    lambda known, value, name=name: {**known, name: value},
                    [self.strengths, slider],
                    self.strengths,
                    queue=False,
                )

    @property
    def _fields(self) -> list[Any]:
        """In the order of `_read` and `_written`."""
        return [
            *(self.task, self.prompt, self.upload, self.model, self.quality, self.size, self.shape, self.seconds),
            *(self.seed, self.avoid, self.strength, self.loras, self.strengths, *self.references),
        ]

    def connect(self, page: gr.Blocks, board: gr.HTML) -> None:
        """Have it do something."""
        quick: dict[str, Any] = {"show_progress": "hidden", "queue": False}
        offered = [self.model, self.size, self.seconds, self.said]
        shown = [self.upload, self.strength, self.shape, self.beside]
        page.load(self._offer, [self.task, self.model], offered, **quick)
        board.change(self._offer, [self.task, self.model], offered, **quick)
        self.task.change(self._show_fields, [self.task], shown, **quick).then(
            self._offer, [self.task, self.model], offered, **quick
        )
        self.model.input(self._fit, [self.model], [self.size, self.seconds], **quick)
        gr.on([self.make.click], self._make, self._fields, self.said, concurrency_limit=8)
        board.select(self._use, None, self._fields, **quick).then(self._show_fields, [self.task], shown, **quick)

    def _show_fields(self, task: str) -> tuple[Any, ...]:
        needs = Task(task) in take_form.ROLES
        return (
            gr.update(visible=True if needs else "hidden"),
            gr.update(visible=task == Task.RESTYLE),
            gr.update(visible=not needs),
            gr.update(visible=task == Task.EDIT),
        )

    def _offer(self, task: str, model: str | None) -> tuple[Any, ...]:
        rows = self._studio.models_for(task)
        chosen = next((row for row in rows if row.model == model), rows[0] if rows else None)
        choices = [(row.label, row.model) for row in rows]
        known = not self._studio.line.models.looking and bool(self._studio.line.models.models)
        said = gr.update(value=_sentence(take_form.NO_MODEL, bad=True)) if known and not rows else gr.skip()
        fitting = (gr.skip(), gr.skip()) if chosen is not None and chosen.model == model else _fit_for(chosen)
        return gr.update(choices=choices, value=chosen.model if chosen else None), *fitting, said

    def _fit(self, model: str | None) -> tuple[Any, ...]:
        return _fit_for(next((row for row in self._studio.line.models.models if row.model == model), None))

    def _make(self, *values: Any) -> str:
        if not self._studio.line.models.models:
            return _sentence(
                self._studio.line.sentence or "The server is still starting. Try again in a moment.", bad=True
            )
        try:
            choices = _read(values)
            request = take_form.to_request(
                choices, self._studio.models_for(choices.task), self._studio.uploads, self._loras,
                self._studio.takes_folder,
            )  # fmt: skip
            for upload_id in (choices.upload, *choices.references):
                self._studio.uploads.touch(upload_id)
            return _sentence(self._studio.board.make(request))
        except Unusable as unusable:
            return _sentence(str(unusable), bad=True)
        except ProtocolError as refused:
            return _sentence(str(refused.message), bad=True)

    def _use(self, event: gr.EventData) -> tuple[Any, ...]:
        """Put a take's choices back into the form."""
        request = self._studio.board.request_of(str(event.id))
        if request is None:
            return tuple(gr.skip() for _ in self._fields)
        choices = take_form.from_request(request, self._studio.uploads, self._loras)
        return _written(take_form.without_lost(choices, self._studio.uploads))


def _read(values: Sequence[Any]) -> Choices:
    """The choices in the form's fields, whatever was sent in their place. Raises Unusable."""
    task, prompt, upload, model, quality, size, shape, seconds, seed, avoid, strength, loras, strengths, *seen = values
    try:
        return Choices(
            Task(task),
            str(prompt or ""),
            str(upload or ""),
            tuple(str(each) for each in seen if each),
            str(model or ""),
            Quality(quality),
            "" if size == USUAL_SIZE else str(size or ""),
            str(shape or ""),
            float(seconds),
            _seed(seed),
            str(avoid or ""),
            float(strength),
            {name: float(strengths.get(name, 1.0)) for name in loras or []},
        )
    except (TypeError, ValueError, OverflowError, AttributeError):
        raise Unusable("One of the settings makes no sense; load the page again.") from None


def _seed(text: Any) -> int | None:
    """None for an empty field. Raises Unusable."""
    words = str(text or "").strip()
    if words and not (words.isascii() and words.isdecimal() and len(words) <= MAX_SEED_DIGITS):
        raise Unusable("The seed has to be a whole number; leave it empty for another one with each take.")
    return int(words) if words else None


def _shown(seed: int | None) -> str:
    return "" if seed is None else str(seed)


def _written(choices: Choices) -> tuple[Any, ...]:
    return (
        *(choices.task.value, choices.prompt, choices.upload, choices.model, choices.quality.value),
        *(
            choices.size or USUAL_SIZE,
            choices.shape,
            choices.seconds,
            _shown(choices.seed),
            choices.avoid,
            choices.strength,
        ),
        *([*choices.loras], dict(choices.loras)),
        *(choices.references[number] if number < len(choices.references) else "" for number in range(MAX_REFERENCES)),
    )


def _fit_for(row: ModelRow | None) -> tuple[Any, ...]:
    """Size and length as the model has them: as much as it makes in one go, if that isn't very long."""
    if row is None:
        return gr.update(choices=[USUAL_SIZE], value=USUAL_SIZE), gr.skip()
    names = [USUAL_SIZE, *(size.name for size in row.sizes)]
    return gr.update(choices=names, value=USUAL_SIZE), gr.update(value=take_form.usual_seconds(row))


def _sentence(words: str, bad: bool = False) -> str:
    return f'<p class="{"bad" if bad else "note"}">{html.escape(words)}</p>' if words else ""
