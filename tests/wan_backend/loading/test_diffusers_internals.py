"""What is used of diffusers' private parts is all there, and is named in one module."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import diffusers
import pytest
import torch

import wan_backend
from wan_backend.loading import diffusers_internals
from wan_backend.loading.diffusers_internals import ARGUMENTS, ATTRIBUTES
from wan_backend.loading.wan_model import WanModel

HOUSE = Path(wan_backend.__file__).parent
OWN = Path(diffusers_internals.__file__)


@pytest.fixture(scope="module")
def objects(t2v_folder, vace_folder) -> dict[str, list[object]]:
    """The objects of a small model, by the names of their classes and of those that they inherit from."""
    plain, control = (WanModel(folder, torch.device("cpu")) for folder in (t2v_folder, vace_folder))
    plain.vae.clear_cache()
    found: dict[str, list[object]] = {}
    residual = diffusers.AutoencoderKLWan(
        base_dim=4, decoder_base_dim=4, num_res_blocks=1, z_dim=4, is_residual=True, patch_size=2, in_channels=12,
        out_channels=12,
    )  # fmt: skip
    residual.clear_cache()
    modules = [*plain.transformer.modules(), *control.transformer.modules()]
    modules += [*plain.vae.modules(), *residual.modules()]
    modules += [layer.processor for layer in modules if hasattr(layer, "processor")]
    for each in [*modules, diffusers.UniPCMultistepScheduler()]:
        for kind in type(each).__mro__:
            found.setdefault(kind.__name__, []).append(each)
    return found


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_the_attributes_are_there(objects, kind):
    missing = {name for each in objects[kind] for name in ATTRIBUTES[kind] if not hasattr(each, name)}
    assert not missing


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_the_arguments_are_there(objects, kind):
    known = inspect.signature(type(objects[kind][0]).forward).parameters
    assert set(ARGUMENTS[kind]) <= set(known)


def test_no_other_module_reaches_below_the_top_level_of_diffusers():
    around = []
    for file in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if file != OWN and any(module.startswith("diffusers.") for module in modules):
                around.append(f"{file.relative_to(HOUSE)}:{node.lineno}")
    assert not around


OF_TORCH = {"_version", "_parameters", "_is_view"}
"""torch's own: how often a tensor was changed in place; the parameters of a module itself, which are replaced there;
whether a tensor has memory of its own."""


def test_no_other_module_names_a_private_attribute_of_diffusers_that_is_not_listed():
    """Underscored attributes of what isn't `self`, in the modules that compute with diffusers' objects."""
    listed = {name for names in ATTRIBUTES.values() for name in names} | OF_TORCH
    around = []
    for file in [*HOUSE.glob("loading/*.py"), *HOUSE.glob("pipelines/*.py")]:
        tree = ast.parse(file.read_text("utf-8"))
        own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_own(node)}
        own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(tree):
            private = isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
            if private and not _is_own(node) and node.attr not in own | listed:
                around.append(f"{file.relative_to(HOUSE)}:{node.lineno} {node.attr}")
    assert not around


def _is_own(node: ast.Attribute) -> bool:
    """An attribute of the module's own objects, or of torch's namespace: none of diffusers."""
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "torch")
