"""What is set of a LoRA: its expert only where the model has two."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from test_drawing import Recorder


class Props(Recorder):
    """Remembers the drawn settings as well."""

    def _take(self, name: str, *values: Any, **named: Any) -> Any:
        if name == "prop":
            self.orders.append(values[1])
        super()._take(name, *values, **named)
        return Props(self.words, self.orders)


@pytest.mark.parametrize("two_experts", [True, False])
def test_an_expert_is_chosen_where_there_are_two(addon, stand_in, settings, two_experts) -> None:
    settings.model_id = "big"
    stand_in.server.models = [
        dataclasses.replace(model, two_experts=two_experts and model.model == "big") for model in stand_in.server.models
    ]
    row = addon("jobs.lora_rows").add(settings, "/loras/film.safetensors")
    loras, layout = addon("ui.lora_list"), Props()
    loras.draw_chosen(layout, row, loras.has_two_experts(settings))
    assert ("expert" in layout.orders) == two_experts and "path" in layout.orders
